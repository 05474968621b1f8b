/** Tokens in the order of their bytes: who goes through them looks once at what several begin with. */
export interface TokenOrder {
  readonly tokens: Int32Array;
  /** How many bytes each has in common with the one before it. */
  readonly common: Uint32Array;
  /** Where the bytes of each begin in `text`, and at last where those of the last end. */
  readonly starts: Uint32Array;
  readonly text: Uint8Array;
  /** Bytes of the longest. */
  readonly longest: number;
}

/** Leaves out tokens without bytes. */
export function orderTokens(bytesOf: readonly Uint8Array[]): TokenOrder {
  // As Latin-1 a text is ordered as its bytes are.
  const texts = bytesOf.map((bytes) => Buffer.from(bytes).toString("latin1"));
  const textOf = (token: number) => texts[token] as string;
  const tokens = Int32Array.from(texts.keys()).filter((token) => textOf(token) !== "");
  tokens.sort((a, b) => (textOf(a) < textOf(b) ? -1 : textOf(a) > textOf(b) ? 1 : 0));
  const common = new Uint32Array(tokens.length);
  const starts = new Uint32Array(tokens.length + 1);
  let longest = 0;
  for (let index = 0, before = ""; index < tokens.length; index++) {
    const text = textOf(tokens[index] as number);
    let length = 0;
    while (length < before.length && before.charCodeAt(length) === text.charCodeAt(length)) length++;
    common[index] = length;
    starts[index + 1] = (starts[index] as number) + text.length;
    longest = Math.max(longest, text.length);
    before = text;
  }
  const text = Buffer.from(Array.from(tokens, textOf).join(""), "latin1");
  return { tokens, common, starts, text, longest };
}
