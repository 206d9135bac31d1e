/** The first character of a text that JSON has no place for, and what there should have been. */
export class JsonFault extends Error {
  constructor(
    readonly at: number,
    what: string,
  ) {
    super(what);
  }
}

/**
 * Throws a JsonFault unless the text is JSON (RFC 8259), exactly as JSON.parse judges, whose messages are the engine's
 * own and tell no place. In one pass and without calling itself, so that neither size nor nesting of the text matter.
 */
export const scanJson = (text: string): void => new Scanner(text).scan();

const code = (character: string): number => character.charCodeAt(0);
const [QUOTE, BACKSLASH, MINUS, ZERO, NINE] = [code('"'), code("\\"), code("-"), code("0"), code("9")];
const [OPEN_LIST, CLOSE_LIST, OPEN_OBJECT, CLOSE_OBJECT, COMMA, COLON] = [
  code("["),
  code("]"),
  code("{"),
  code("}"),
  code(","),
  code(":"),
];
const SPACES = [" ", "\t", "\n", "\r"].map(code);
const ESCAPABLE = 'bfnrt"\\/';
const LITERALS = ["true", "false", "null"];

class Scanner {
  private at = 0;
  /** the brackets that are open, by what closes them */
  private readonly open: number[] = [];

  constructor(private readonly text: string) {}

  scan(): void {
    for (;;) {
      if (!this.beginsContainer()) continue; // inside of it, at its first value
      if (!this.continues()) return;
    }
  }

  /**
   * Passes the beginning of a value: false when it was a bracket with something in it, true at the end of the value.
   */
  private beginsContainer(): boolean {
    const first = this.peek();
    if (first !== OPEN_LIST && first !== OPEN_OBJECT) {
      this.scalar(first);
      return true;
    }
    this.at++;
    const close = first === OPEN_LIST ? CLOSE_LIST : CLOSE_OBJECT;
    if (this.peek() === close) {
      this.at++;
      return true;
    }
    this.open.push(close);
    if (close === CLOSE_OBJECT) this.key('a key in double quotes or "}"');
    return false;
  }

  /** Passes what follows a value: true where another one begins, false at the end of the text. */
  private continues(): boolean {
    for (;;) {
      const next = this.peek();
      const close = this.open.at(-1);
      if (close === undefined) {
        if (!Number.isNaN(next)) this.fail("the end of the text");
        return false;
      }
      if (next !== close && next !== COMMA) this.fail(`"," or "${String.fromCharCode(close)}"`);
      this.at++;
      if (next === COMMA) {
        if (close === CLOSE_OBJECT) this.key("a key in double quotes");
        return true;
      }
      this.open.pop();
    }
  }

  private key(what: string): void {
    if (this.peek() !== QUOTE) this.fail(what);
    this.string();
    if (this.peek() !== COLON) this.fail('":"');
    this.at++;
  }

  private scalar(first: number): void {
    if (first === QUOTE) this.string();
    else if (first === MINUS || isDigit(first)) this.number();
    else {
      const literal = LITERALS.find((word) => this.text.startsWith(word, this.at));
      if (literal === undefined) this.fail("a value");
      else this.at += literal.length;
    }
  }

  private string(): void {
    const begin = this.at++;
    for (;;) {
      const next = this.text.charCodeAt(this.at);
      if (Number.isNaN(next)) throw new JsonFault(begin, "this text has no closing quote");
      if (next < 0x20) {
        throw new JsonFault(
          this.at,
          `a control character, ${show(String.fromCharCode(next))}, must be escaped in text`,
        );
      }
      this.at++;
      if (next === QUOTE) return;
      if (next === BACKSLASH) this.escape();
    }
  }

  private escape(): void {
    const escape = this.text.charAt(this.at);
    const isUnicode = escape === "u" && /^[0-9a-fA-F]{4}$/.test(this.text.slice(this.at + 1, this.at + 5));
    if (!isUnicode && (escape === "" || !ESCAPABLE.includes(escape))) {
      throw new JsonFault(
        this.at - 1,
        'a backslash must be followed by one of " \\ / b f n r t or by u and four hex digits',
      );
    }
    this.at += isUnicode ? 5 : 1;
  }

  private number(): void {
    if (this.text.charCodeAt(this.at) === MINUS) this.at++;
    if (this.text.charCodeAt(this.at) === ZERO) this.at++;
    else this.digits();
    if (this.text.charAt(this.at) === ".") {
      this.at++;
      this.digits();
    }
    if (!/[eE]/.test(this.text.charAt(this.at))) return;
    this.at++;
    if (/[+-]/.test(this.text.charAt(this.at))) this.at++;
    this.digits();
  }

  private digits(): void {
    if (!isDigit(this.text.charCodeAt(this.at))) this.fail("a digit");
    while (isDigit(this.text.charCodeAt(this.at))) this.at++;
  }

  /** The next character that is no white space, NaN at the end. */
  private peek(): number {
    for (;;) {
      const next = this.text.charCodeAt(this.at);
      if (!SPACES.includes(next)) return next;
      this.at++;
    }
  }

  private fail(expected: string): never {
    const found = this.text.codePointAt(this.at);
    throw new JsonFault(
      this.at,
      `expected ${expected}, found ${found === undefined ? "the end" : show(String.fromCodePoint(found))}`,
    );
  }
}

const isDigit = (code: number): boolean => code >= ZERO && code <= NINE;

/** A character in quotes, escaped where it would not show. */
const show = (character: string): string =>
  JSON.stringify(character).replace(
    /[^\x20-\x7e]/gu,
    (each) => `U+${each.codePointAt(0)!.toString(16).toUpperCase().padStart(4, "0")}`,
  );
