/** What prints the lines of a table. */
export interface Printer {
  /** all of it, as iptables-save does */
  whole(): string;
  /** those of some chains, as `iptables -S` does, nothing for one that is not there; undefined where it cannot */
  some?(chains: readonly string[]): string | undefined;
}

/** The rules of a table of iptables, by chain, as iptables prints them; read when they are asked for. */
export class ChainRules {
  private readonly read = new Map<string, string[] | undefined>();
  private isWhole = false;

  constructor(private readonly printer: Printer) {}

  /** The chain's rules, undefined where there is no such chain. */
  get(chain: string): string[] | undefined {
    this.load([chain]);
    return this.read.get(chain);
  }

  has(chain: string): boolean {
    return this.get(chain) !== undefined;
  }

  /** Reads chains, and those known already not again: one call for several is faster than one for each. */
  load(chains: readonly string[]): void {
    const unread = this.isWhole ? [] : chains.filter((chain) => !this.read.has(chain));
    if (unread.length === 0) return;
    const lines = this.printer.some?.(unread);
    if (lines === undefined) return this.loadAll();
    for (const chain of unread) this.read.set(chain, undefined);
    this.take(lines);
  }

  /**
   * All chains; those that are neither the kernel's own nor of a CNI plugin have an empty list, for they may be ten
   * thousand.
   */
  all(): [chain: string, rules: string[]][] {
    if (!this.isWhole) this.loadAll();
    return [...this.read].flatMap(([chain, rules]) => (rules ? [[chain, rules]] : []));
  }

  private loadAll(): void {
    this.isWhole = true;
    this.read.clear();
    this.take(this.printer.whole());
  }

  /** `:CHAIN ...`, `-N CHAIN` and `-P CHAIN ...` begin one, `-A CHAIN rule` is one of its rules. */
  private take(lines: string): void {
    for (const line of lines.split("\n")) {
      const [, begun] = /^(?::|-[NP] )(\S+)/.exec(line) ?? [];
      if (begun !== undefined) this.read.set(begun, []);
      else if (line.startsWith("-A ")) {
        const end = line.indexOf(" ", 3);
        const chain = line.slice(3, end);
        if (!this.isWhole || !chain.includes("-") || chain.startsWith("CNI-")) {
          this.read.get(chain)!.push(line.slice(end + 1));
        }
      }
    }
  }
}
