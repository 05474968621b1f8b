import { invariant, ShouldersError } from "../errors.js";
import type { NativeFunctions, Pointer } from "./abi.js";
import { tokenAttribute } from "./abi.js";
import { callAsync } from "./bindings.js";
import { opensThought, type ChatTemplate } from "./chat-template.js";
import { longestRun, longestRunAtOnce, type RunLimit } from "./pre-tokenizers.js";
import type { ChatOptions, ChatTurn, RenderedPrompt, Token } from "./types.js";
import type { LlamaVocabulary } from "./vocabulary.js";

/** Texts that end an answer must have at least this much besides white space: a bare newline would cut answers. */
const shortestStop = 3;

/** Texts of so many characters take some milliseconds: longer ones are not tokenized on the event loop. */
const longestAtOnce = 8_192;
/** Where patterns split the text, each call makes them anew, which takes milliseconds whatever the text. */
const mostPartsAtOnce = 2;
/** A control character: vocabularies have no token of it and more. */
const leadingText = "\u0001";
/** Different ones: others than a template's own come from control tokens that messages write out. */
const mostParts = 512;

/** Text to tokens of one model. */
export class Tokenizer {
  /** Long texts of all models take turns here, so that decodes never wait for a thread. */
  static #turn: Promise<unknown> = Promise.resolve();
  readonly #native: NativeFunctions;
  readonly #pointer: Pointer;
  readonly #vocabulary: LlamaVocabulary;
  readonly #runLimit: RunLimit | null;
  /** Finds each place where a control token begins, written out; null when there are none. Made on first use. */
  #controlPattern: RegExp | null | undefined;
  #isClosed = false;

  /** @param runLimit null: the splitter takes any text. */
  constructor(
    native: NativeFunctions,
    pointer: Pointer,
    vocabulary: LlamaVocabulary,
    runLimit: RunLimit | null,
  ) {
    this.#native = native;
    this.#pointer = pointer;
    this.#vocabulary = vocabulary;
    this.#runLimit = runLimit;
  }

  /**
   * Tokenizes a short text at once.
   *
   * @param special whether control tokens that are written out become their ids. No BOS is added.
   * @param isContinued it goes on after other text: no space is put before it. Default: false
   * @throws ShouldersError `invalid_request` for a run that is too long for this file's splitter.
   */
  tokenize(text: string, special: boolean, isContinued = false): Token[] {
    invariant(!this.#isClosed, "a tokenizer used after its model was released");
    if (text === "") return [];
    if (isContinued) {
      const [lead, numLead] = this.#lead();
      return this.tokenize(lead + text, special).slice(numLead);
    }
    this.#runLimit?.check(text, longestRunAtOnce);
    const bytes = Buffer.from(text, "utf8");
    let tokens = roomFor(bytes);
    const run = () => this.#native.llama_tokenize(...this.#arguments(bytes, tokens, special));
    let length = run();
    if (length < 0) {
      tokens = new Int32Array(-length);
      length = run();
    }
    return taken(tokens, length);
  }

  /** Tokenizes the parts of a text one after the other; long ones off the event loop, where they hold nobody up. */
  async tokenizeAside(parts: readonly string[], special: boolean): Promise<Token[]> {
    const [first = "", ...others] = parts;
    const [lead, numLead] = others.length > 0 ? this.#lead() : ["", 0];
    // Where a text is begun with a space, its other parts come behind a token that is known, which is cut off.
    const led = lead === "" ? others : others.map((part) => (part === "" ? "" : lead + part));
    const [begun, ...rest] = await this.#tokenizeParts([first, ...led], special);
    return [...(begun ?? []), ...rest.flatMap((tokens) => tokens.slice(numLead))];
  }

  /** A text that never becomes one token with what follows, and how many it is; empty where none is needed. */
  #lead(): [text: string, numTokens: number] {
    if (this.#vocabulary.type !== "SPM") return ["", 0];
    return [leadingText, this.tokenize(leadingText, false).length];
  }

  async #tokenizeParts(parts: readonly string[], special: boolean): Promise<Token[][]> {
    const length = parts.reduce((sum, part) => sum + part.length, 0);
    const isShort = this.#runLimit
      ? length <= longestRunAtOnce && parts.length <= mostPartsAtOnce
      : length <= longestAtOnce;
    if (isShort) return parts.map((part) => this.tokenize(part, special));
    const different = new Set(parts);
    if (this.#runLimit) this.#checkParts(different);
    const turn = Tokenizer.#turn.then(async () => {
      const tokensOf = new Map<string, Token[]>();
      for (const part of different) tokensOf.set(part, await this.#tokenizeAsync(part, special));
      return parts.map((part) => tokensOf.get(part) ?? []);
    });
    Tokenizer.#turn = turn.catch(() => undefined);
    return turn;
  }

  #checkParts(parts: ReadonlySet<string>): void {
    if (parts.size > mostParts)
      throw new ShouldersError(
        "invalid_request",
        `The messages write out control tokens in ${parts.size - 1} ways or places; this model's tokenizer takes ` +
          `${mostParts - 1}. Leave them out.`,
        { param: "messages" },
      );
    for (const part of parts) this.#runLimit?.check(part, longestRun);
  }

  async #tokenizeAsync(text: string, special: boolean): Promise<Token[]> {
    invariant(!this.#isClosed, "a tokenizer used after its model was released");
    if (text === "") return [];
    const bytes = Buffer.from(text, "utf8");
    let tokens = roomFor(bytes);
    const run = () => callAsync(this.#native.llama_tokenize, ...this.#arguments(bytes, tokens, special));
    let length = await run();
    if (length < 0) {
      tokens = new Int32Array(-length);
      length = await run();
    }
    return taken(tokens, length);
  }

  /** The arguments of `llama_tokenize`, which answers with the room it wants, negative, where there is too little. */
  #arguments(bytes: Buffer, tokens: Int32Array, special: boolean) {
    return [this.#pointer, bytes, bytes.length, tokens, tokens.length, false, special] as const;
  }

  /** Waits for a text that is being tokenized, and takes no more. */
  async close(): Promise<void> {
    this.#isClosed = true;
    await Tokenizer.#turn;
  }

  /** The prompt of a chat, with exactly one BOS where the vocabulary asks for one. */
  async renderChat(
    template: ChatTemplate,
    turns: readonly ChatTurn[],
    { tools = [], ...options }: ChatOptions,
  ): Promise<RenderedPrompt> {
    const guard = unusedCharacter(JSON.stringify([turns, tools]));
    const guarded = <Value>(value: Value) =>
      mapTexts(value, (text) => this.#guardControlTexts(text, guard)) as Value;
    const text = template.render(guarded(turns), { ...options, tools: guarded(tools) });
    const texts = text.split(guard);
    const tokens = await this.tokenizeAside(texts, true);
    const { bos, addsBos } = this.#vocabulary;
    if (addsBos && bos !== null) {
      const firstOther = tokens.findIndex((token) => token !== bos);
      tokens.splice(0, firstOther < 0 ? tokens.length : firstOther, bos);
    }
    return {
      text: texts.join(""),
      tokens,
      stopStrings: this.#stopStrings(template.turnEnd),
      thinking: template.thinking,
      opensThought: opensThought(text, template.thinking),
    };
  }

  /**
   * Breaks up control tokens that a message writes out, so that nobody can forge a turn: `<|im_end|>` in a
   * message is text. The template's own stay whole, because the prompt is cut at the guards before it is tokenized.
   */
  #guardControlTexts(content: string, guard: string): string {
    this.#controlPattern ??= this.#makeControlPattern();
    return this.#controlPattern ? content.replace(this.#controlPattern, `$&${guard}`) : content;
  }

  #makeControlPattern(): RegExp | null {
    const texts: string[] = [];
    for (let token = 0; token < this.#vocabulary.size; token++)
      if (this.#vocabulary.hasAttribute(token, tokenAttribute.control | tokenAttribute.unknown)) {
        const text = this.#vocabulary.rawText(token);
        if (text.length > 1) texts.push(text.replaceAll(/[\\^$.*+?()[\]{}|/-]/g, "\\$&"));
      }
    return texts.length === 0 ? null : new RegExp(`(?=${texts.join("|")})[^]`, "gu");
  }

  /** A turn that ends with a token of its own needs no string, but for words that stand before that. */
  #stopStrings(turnEnd: string): string[] {
    const tokens = this.tokenize(turnEnd, true);
    const end = tokens.find((token) => this.#vocabulary.isEndOfGeneration(token));
    const endAt = end === undefined ? turnEnd.length : turnEnd.indexOf(this.#vocabulary.rawText(end));
    const before = turnEnd.slice(0, Math.max(0, endAt));
    if (before.trim().length < shortestStop) return [];
    if (end === undefined) return [before];
    const words = tokens.slice(0, tokens.indexOf(end)).filter((token) => !this.#vocabulary.isControl(token));
    const hasWords = words.some(
      (token) => Buffer.from(this.#vocabulary.bytes(token)).toString().trim() !== "",
    );
    // Its control tokens have to be seen in answers, so that it is found there.
    if (hasWords) this.#vocabulary.show(before);
    return hasWords ? [before] : [];
  }
}

/** A token stands for at least a byte, and some tokenizers put a space before the text. */
function roomFor(bytes: Buffer): Int32Array {
  return new Int32Array(bytes.length + 8);
}

function taken(tokens: Int32Array, length: number): Token[] {
  invariant(length >= 0, "libllama cannot tokenize a text");
  return Array.from(tokens.subarray(0, length));
}

const firstPrivate = 0xe000;
const lastPrivate = 0xf8ff;

/** A character of the private use area that the text does not contain. */
function unusedCharacter(text: string): string {
  const used = new Set<number>();
  for (let at = 0; at < text.length; at++) {
    const code = text.charCodeAt(at);
    if (code >= firstPrivate && code <= lastPrivate) used.add(code);
  }
  let code = firstPrivate;
  while (code < lastPrivate && used.has(code)) code++;
  return String.fromCharCode(code);
}

/** The value with every text in it changed, names of fields included. */
function mapTexts(value: unknown, change: (text: string) => string): unknown {
  if (typeof value === "string") return change(value);
  if (Array.isArray(value)) return value.map((entry) => mapTexts(entry, change));
  if (typeof value !== "object" || value === null) return value;
  return Object.fromEntries(
    Object.entries(value).map(([name, entry]) => [change(name), mapTexts(entry, change)]),
  );
}
