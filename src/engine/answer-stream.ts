import { present } from "../errors.js";
import type { ThinkingForm } from "../llama/types.js";
import type { CallOpening } from "../protocol/protocol.js";
import { TextStream, unfinishedBytes } from "./text-stream.js";

/** What one token, or the end, makes safe to show of an answer. */
export interface AnswerParts<T> {
  /** What was thought. */
  reasoning: string;
  text: string;
  /** Tokens whose text is now shown, and marks, which are shown as nothing; those of a thought first. */
  thoughts: T[];
  tokens: T[];
}

const nothing = <T>(): AnswerParts<T> => ({ reasoning: "", text: "", thoughts: [], tokens: [] });

/**
 * The text of an answer, what was thought apart from what is said. Stop strings end what is said only. White space
 * around a thought is dropped, and so are the marks.
 */
export class AnswerStream<T> {
  readonly #form: ThinkingForm | null;
  readonly #content: TextStream<T>;
  /** What is being thought; null: nothing. */
  #thought: TextStream<T> | null = null;
  #hasThought = false;
  #hasReasoning = false;
  /** White space that is shown if more is thought. */
  #space = "";
  /** Before anything is said: tokens that may come to be a mark; null: something has been said. */
  #undecided: { token: T; bytes: Uint8Array }[] | null;

  /** @param isOpen the answer begins within a thought */
  constructor(
    stops: readonly string[],
    form: ThinkingForm | null,
    isOpen: boolean,
    opening: CallOpening | null = null,
  ) {
    this.#form = form;
    this.#content = new TextStream(stops, opening);
    this.#undecided = form === null ? null : [];
    if (form !== null && isOpen) this.#thought = new TextStream([form.closing]);
  }

  /** The stop string that ended the text, if one did. */
  get stopFound(): string | null {
    return this.#content.stopFound;
  }

  push(token: T, bytes: Uint8Array): AnswerParts<T> {
    if (this.#thought !== null) return this.#think(this.#thought, token, bytes);
    if (this.#form === null || this.#undecided === null)
      return { ...nothing<T>(), ...this.#content.push(token, bytes) };
    this.#undecided.push({ token, bytes });
    return this.#decide(this.#form, this.#undecided);
  }

  /**
   * No more tokens: what was held back is shown.
   *
   * @param isCut more would have come: what may have begun a mark is not said
   */
  finish(isCut = false): AnswerParts<T> {
    if (this.#thought !== null) {
      const { text, tokens } = this.#thought.finish();
      return { ...nothing<T>(), reasoning: this.#reasoning(text), thoughts: tokens };
    }
    const left = this.#undecided ?? [];
    const parts = this.#say(left, isCut ? Infinity : this.#hasThought ? spaceOf(left) : 0);
    const rest = this.#content.finish(isCut);
    return { ...parts, text: parts.text + rest.text, tokens: [...parts.tokens, ...rest.tokens] };
  }

  /** Tokens that were never shown. */
  takeHidden(): T[] {
    return [...(this.#thought?.takeHidden() ?? []), ...this.#content.takeHidden()];
  }

  #think(thought: TextStream<T>, token: T, bytes: Uint8Array): AnswerParts<T> {
    const released = thought.push(token, bytes);
    const reasoning = this.#reasoning(released.text);
    if (thought.stopFound === null) return { ...nothing<T>(), reasoning, thoughts: released.tokens };
    const { rest } = thought;
    this.#thought = null;
    this.#hasThought = true;
    this.#space = "";
    this.#undecided = [];
    const thoughts = [...released.tokens, ...thought.takeHidden()];
    if (rest.length === 0) return { ...nothing<T>(), reasoning, thoughts };
    // The token goes on: what it is of is told by what follows.
    const after = this.push(token, rest);
    return {
      ...after,
      reasoning: reasoning + after.reasoning,
      thoughts: [...thoughts.filter((one) => one !== token), ...after.thoughts],
    };
  }

  #decide(
    { opening, answer, closing, preamble = "" }: ThinkingForm,
    undecided: { token: T; bytes: Uint8Array }[],
  ): AnswerParts<T> {
    const joined = Buffer.concat(undecided.map(({ bytes }) => bytes));
    const numUnfinished = unfinishedBytes(joined);
    const whole = joined.subarray(0, joined.length - numUnfinished).toString();
    const text = whole.trimStart();
    const numSpace = Buffer.byteLength(whole) - Buffer.byteLength(text);
    const mayBe = (mark: string) => mark.length > text.length && mark.startsWith(text);
    const marks = [answer, preamble].filter((mark) => mark !== "");
    if ([opening, ...marks].some(mayBe) || (text === "" && numUnfinished === 0)) return nothing();
    const found = marks.find((mark) => text.startsWith(mark));
    if (found !== undefined) return this.#say(undecided, numSpace + Buffer.byteLength(found));
    // White space before anything was thought is the answer's, where that has no mark.
    if (opening === "" || !text.startsWith(opening))
      return this.#say(undecided, this.#hasThought || answer !== "" ? numSpace : 0);
    this.#undecided = [];
    this.#thought = new TextStream([closing]);
    const thoughts = undecided.map(({ token }) => token);
    const last = present(thoughts.pop(), "token");
    const begun = this.#think(this.#thought, last, joined.subarray(numSpace + Buffer.byteLength(opening)));
    return { ...begun, thoughts: [...thoughts, ...begun.thoughts] };
  }

  /** @param start bytes that are not said */
  #say(undecided: readonly { token: T; bytes: Uint8Array }[], start: number): AnswerParts<T> {
    this.#undecided = null;
    const parts = nothing<T>();
    let at = 0;
    for (const { token, bytes } of undecided) {
      const said = bytes.subarray(Math.max(0, start - at));
      at += bytes.length;
      if (said.length === 0 && bytes.length > 0) parts.thoughts.push(token);
      else {
        const released = this.#content.push(token, said);
        parts.text += released.text;
        parts.tokens.push(...released.tokens);
      }
    }
    return parts;
  }

  #reasoning(text: string): string {
    const all = this.#hasReasoning ? this.#space + text : text.trimStart();
    const shown = all.trimEnd();
    if (shown !== "") this.#hasReasoning = true;
    this.#space = this.#hasReasoning ? all.slice(shown.length) : "";
    return shown;
  }
}

/** Bytes of white space, where there is nothing else. */
function spaceOf(undecided: readonly { bytes: Uint8Array }[]): number {
  const joined = Buffer.concat(undecided.map(({ bytes }) => bytes));
  return joined.toString().trim() === "" ? joined.length : 0;
}
