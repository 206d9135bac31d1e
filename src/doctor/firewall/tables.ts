import { Nftables } from "../../kernel/nftables/nftables.ts";
import { isErrno, SystemError } from "../../kernel/system-error.ts";
import { type BaseChain, decodeBaseChain } from "../../netlink/nftables/decode.ts";
import { NFPROTO, nfproto } from "../../netlink/nftables/match.ts";
import { listChains, type Table, tableName } from "../../netlink/nftables/object.ts";
import { type ChainSource, judgeChain, type Judged, type Outcome } from "./evaluate.ts";
import { familyOf, type Packet } from "./packet.ts";

/** A base chain that surely does something with a packet. */
export interface Decision {
  table: Table;
  chain: string;
  /** the chain whose rule decides; absent where the policy does */
  decidedIn?: string;
  outcome: Outcome;
}

/** So many rules are followed: kube-proxy and network policies have tens of thousands, for each packet anew. */
const MOST_RULES = 50_000;

/** The tables of this namespace, everybody's: read as far as a packet comes, each chain once. */
export class Tables {
  private left = MOST_RULES;
  private readonly sources = new Map<string, ChainSource>();

  private constructor(
    private readonly nft: Nftables,
    private readonly chains: readonly BaseChain[],
  ) {}

  /** Runs `use` with them; undefined where the kernel has no nftables, and so no rules. */
  static read<T>(use: (tables: Tables) => T): T | undefined {
    return Nftables.use((nft) => {
      let replies;
      try {
        replies = nft.socket.dump(listChains({ family: 0, name: "" }));
      } catch (error) {
        if (isErrno(error, "EPERM", "EACCES")) throw error;
        return undefined;
      }
      return use(
        new Tables(
          nft,
          replies.flatMap((reply) => decodeBaseChain(reply) ?? []),
        ),
      );
    });
  }

  /** Base chains of a hook that see packets of the family, in the order in which they do. */
  private at(hook: number, type: string, packet: Packet): BaseChain[] {
    const family = nfproto(familyOf(packet));
    return this.chains
      .filter((chain) => chain.hook === hook && chain.type === type)
      .filter(({ table }) => table.family === NFPROTO.INET || table.family === family)
      .toSorted((a, b) => a.priority - b.priority);
  }

  /** The first base chain of a filter hook that surely drops the packet. */
  findDrop(hook: number, packet: Packet): Decision | undefined {
    for (const { table, name, policy } of this.at(hook, "filter", packet)) {
      const { outcomes, decidedIn } = this.judge(table, name, packet);
      const surely = [...outcomes].every((each) => each === "drop" || (each === "continue" && policy === 0));
      if (surely) {
        return { table, chain: name, outcome: "drop", ...(decidedIn !== undefined && { decidedIn }) };
      }
    }
    return undefined;
  }

  /** The first base chain of a nat hook, below a priority, that surely translates the packet. */
  findTranslation(hook: number, packet: Packet, below: number): Decision | undefined {
    for (const { table, name, priority } of this.at(hook, "nat", packet)) {
      if (priority >= below) continue;
      const { outcomes, decidedIn } = this.judge(table, name, packet);
      if ([...outcomes].every((each) => each === "translate")) {
        return { table, chain: name, outcome: "translate", ...(decidedIn !== undefined && { decidedIn }) };
      }
    }
    return undefined;
  }

  private judge(table: Table, chain: string, packet: Packet): Judged {
    return judgeChain(this.sourceOf(table), chain, packet);
  }

  private sourceOf(table: Table): ChainSource {
    const key = `${table.family} ${table.name}`;
    const known = this.sources.get(key);
    if (known) return known;
    const rules = new Map<string, readonly Uint8Array[]>();
    const source: ChainSource = {
      rules: (chain) => {
        if (this.left <= 0) return undefined;
        const found = rules.get(chain) ?? this.nft.rules(table, chain).map(({ expressions }) => expressions);
        rules.set(chain, found);
        this.left -= found.length;
        return found;
      },
      lookUp: (set, key) => {
        try {
          return this.nft.findElement({ table, set, key });
        } catch (error) {
          if (!(error instanceof SystemError)) throw error;
          return "unknown"; // another length of key, or another kind of set
        }
      },
    };
    this.sources.set(key, source);
    return source;
  }
}

/** linux/netfilter.h: where packets that are routed through pass. */
export const NF_INET_LOCAL_IN = 1;
export const NF_INET_FORWARD = 2;
export const NF_INET_PRE_ROUTING = 0;

/** `table ip filter`, as nft calls it. */
export const describeTable = (table: Table): string => `table ${tableName(table)}`;
