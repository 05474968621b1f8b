import type { TextReader } from "../../src/engine/own/text-reader.js";
import type { LoadedModel, ModelContext, Token } from "../../src/llama/types.js";

/** What a small model of another vocabulary can write, counted: straight over libllama, without the engine. */

/** Own tokens after a prompt. */
export interface Written {
  tokens: readonly Token[];
  /** Their bytes. */
  text: string;
  /** ln of their probability. */
  log: number;
  /** One of them ends where the text that is gone on with does. */
  isParted: boolean;
}

/** Which of them are gone on with. What is not counts for the base's token in its bytes. */
export interface Rule {
  isFollowed: (written: Written) => boolean;
  /** Fewest own tokens that tokens are read after. */
  from: number;
}

const numSequences = 64;

/** Asks a model for rows after a prompt. */
export class RowTeller {
  readonly #context: ModelContext;
  readonly #prompt: readonly Token[];
  readonly #first: Float64Array;
  /** Rows that were asked for. */
  numAsked = 1;

  private constructor(context: ModelContext, prompt: readonly Token[], first: Float64Array) {
    [this.#context, this.#prompt, this.#first] = [context, prompt, first];
  }

  static async open(model: LoadedModel, prompt: readonly Token[]): Promise<RowTeller> {
    const context = model.createContext({
      ...{ numCells: 4096, numSequences, batchTokens: 1024, maxRows: numSequences, threads: 1 },
    });
    let row = -1;
    prompt.forEach((token, at) => (row = context.batch.add(token, at, 0, at === prompt.length - 1)));
    await context.decode();
    const first = normalised(context.logits(row));
    for (let id = 1; id < numSequences; id++) context.copyPrefix(0, id, prompt.length);
    return new RowTeller(context, prompt, first);
  }

  /** Log-probabilities after each. */
  async after(all: readonly Written[]): Promise<Float64Array[]> {
    const rows: Float64Array[] = [];
    for (let from = 0; from < all.length; from += numSequences)
      rows.push(...(await this.#decode(all.slice(from, from + numSequences))));
    return rows;
  }

  async #decode(some: readonly Written[]): Promise<Float64Array[]> {
    const { batch } = this.#context;
    batch.clear();
    const numbers = some.map(({ tokens }, id) => {
      let row = -1;
      tokens.forEach((token, at) => {
        row = batch.add(token, this.#prompt.length + at, id, at === tokens.length - 1);
      });
      return row;
    });
    if (batch.numTokens > 0) await this.#context.decode();
    this.numAsked += batch.numRows;
    const rows = numbers.map((row) => (row < 0 ? this.#first : normalised(this.#context.logits(row))));
    some.forEach((_, id) => this.#context.removePositions(id, this.#prompt.length, null));
    return rows;
  }

  close(): PromiseLike<void> {
    return this.#context[Symbol.asyncDispose]();
  }
}

function normalised(logits: Float32Array): Float64Array {
  const best = Math.max(...logits);
  const logSum = best + Math.log(logits.reduce((sum, logit) => sum + Math.exp(logit - best), 0));
  return Float64Array.from(logits, (logit) => logit - logSum);
}

/** Strings as improbable as this add nothing, ln. */
const nothing = -32;

/** An answer so far. */
export interface Answer {
  text: string;
  /** How the base has written it. */
  written: readonly Token[];
}

/**
 * Probabilities [base's tokens] that what a small model writes goes on after an answer with the bytes of a token, which
 * the base would read as that token: the sum over all strings of its own tokens, that with a last one over the end too.
 *
 * @param read by it the base reads bytes
 */
export async function countWays(
  teller: RowTeller,
  { text, written }: Answer,
  { read, rule }: { read: TextReader; rule: Rule },
): Promise<Float64Array> {
  const { own, base, ownEnds, baseEnds, baseSize } = read;
  const chances = new Float64Array(baseSize);
  const boundaries = written.map((_, index) => written.slice(0, index).map(textOf).join("").length);
  function textOf(token: Token): string {
    return base.text(token);
  }
  const nextOf = (all: string, isParted: boolean): Token | undefined => {
    if (isParted) return read.baseIds(all.slice(text.length))[0];
    const ids = read.baseIds(all);
    return written.every((token, index) => ids[index] === token) ? ids[written.length] : undefined;
  };
  const mayGoOn = (all: string, isParted: boolean) =>
    [text.length, ...(isParted ? [] : boundaries)].some((from) => base.isBegun(all.slice(from)));
  const count = (token: Token | undefined, log: number) => {
    if (token !== undefined) chances[token]! += Math.exp(log);
  };
  let open: Written[] = [{ tokens: [], text: "", log: 0, isParted: text === "" }];
  while (open.length > 0) {
    const rows = await teller.after(open);
    const next: Written[] = [];
    open.forEach((way, index) => {
      const row = rows[index]!;
      const isRead = way.tokens.length >= rule.from;
      row.forEach((chance, token) => {
        const log = way.log + chance;
        if (log < nothing) return;
        const bytes = own.text(token);
        const all = way.text + bytes;
        if (bytes === "") {
          if (!ownEnds.includes(token) || way.text.length < text.length || !isRead) return;
          count(all === text ? baseEnds[0] : nextOf(all, way.isParted), log);
          return;
        }
        const isWithin = all.length <= text.length;
        if (isWithin ? !text.startsWith(all) : !all.startsWith(text)) return;
        const longer: Written = {
          ...{ tokens: [...way.tokens, token], text: all, log },
          isParted: way.isParted || all === text,
        };
        const isOpen = isWithin || mayGoOn(all, longer.isParted);
        if (isOpen && rule.isFollowed(longer)) next.push(longer);
        else if (!isWithin && isRead) count(nextOf(all, longer.isParted), log);
      });
    });
    open = next;
  }
  return chances;
}

/** By what the engine follows (decision 19) instead of everything. */
export interface Followed {
  read: TextReader;
  /** Tokens of the base that it finds likely. */
  likely: readonly Token[];
  /** Of the text's probability what an expert's tokens must have. */
  share: number;
  /** Own tokens at the end of the text that are looked at anew. */
  numReread: number;
}

/** What the decision says is followed: see `followedWays`. */
class FollowedWays {
  /** Tokens of the text before the first that is looked at anew. */
  readonly from: number;
  /** ln of the text's probability under the expert. */
  logText = -Infinity;
  readonly #answer: Answer;
  readonly #read: TextReader;
  readonly #share: number;
  readonly #ways = new Set<string>();
  /** How tokens of the base begin in those of the small model. */
  readonly #begun = new Set<string>();

  constructor(answer: Answer, { read, likely, share, numReread }: Followed) {
    [this.#answer, this.#read, this.#share] = [answer, read, share];
    const now = read.ownIds(answer.text);
    this.from = Math.max(0, now.length - numReread);
    this.#add(now);
    for (const token of likely) {
      const bytes = read.base.text(token);
      const ids = read.ownIds(answer.text + bytes);
      if (bytes !== "" && now.slice(0, this.from).every((one, at) => ids[at] === one))
        this.#add(ids.slice(0, -1));
    }
    for (let token = 0; token < read.baseSize; token++) {
      const ids = read.ownIds(read.base.text(token));
      for (let length = 1; length < ids.length; length++) this.#begun.add(ids.slice(0, length).join());
    }
  }

  get size(): number {
    return this.#ways.size;
  }

  #add(tokens: readonly Token[]): void {
    for (let length = 1; length <= tokens.length; length++) this.#ways.add(tokens.slice(0, length).join());
  }

  has({ tokens }: Written): boolean {
    return this.#ways.has(tokens.join());
  }

  /** Adds one that the expert finds likely. @returns whether it is followed */
  addLikely(way: Written): boolean {
    const { text } = this.#answer;
    if (this.has(way)) return true;
    if (way.text.length <= text.length || way.log < this.logText + Math.log(this.#share)) return false;
    if (!(way.isParted ? this.#isWritten(way) : this.#isBegun(way))) return false;
    this.#ways.add(way.tokens.join());
    return true;
  }

  #isWritten({ tokens }: Written): boolean {
    const { own } = this.#read;
    let numBefore = 0;
    for (let length = 0; length < this.#answer.text.length; numBefore++)
      length += own.text(tokens[numBefore]!).length;
    return this.#begun.has(tokens.slice(numBefore).join());
  }

  #isBegun({ text: all }: Written): boolean {
    const { base } = this.#read;
    const { text, written } = this.#answer;
    let at = 0;
    const boundaries = written.map((token) => (at += base.text(token).length) - base.text(token).length);
    return [text.length, ...boundaries].some((from) => base.isBegun(all.slice(from)));
  }
}

/**
 * The ways that the engine follows: the text's own, those to the base's likely tokens, and what the expert finds likely
 * where a token of the base is written so.
 */
export async function followedWays(expert: RowTeller, answer: Answer, followed: Followed): Promise<Rule> {
  const { read } = followed;
  const ways = new FollowedWays(answer, followed);
  const { from } = ways;
  const known: Rule = { from, isFollowed: (way) => ways.has(way) };
  const all = await countWays(expert, answer, { read, rule: known });
  ways.logText = Math.log(all.reduce((sum, chance) => sum + chance, 0));
  for (let size = -1; size < ways.size;) {
    size = ways.size;
    await countWays(expert, answer, { read, rule: { from, isFollowed: (way) => ways.addLikely(way) } });
  }
  return known;
}
