import type { CallOpening } from "../protocol/protocol.js";
import { findStop, heldLength } from "./stop.js";

/** What one push, or the end, makes safe to show. */
export interface Released<T> {
  text: string;
  /** Tokens whose text is now shown, in order. */
  tokens: T[];
}

interface PendingToken<T> {
  token: T;
  /** Where its text begins and ends, in UTF-16 units of the whole text; an unfinished character counts as one. */
  start: number;
  end: number;
}

/** Length of a character cut off at the end of `bytes`: 0 to 3 bytes that more bytes may complete. */
export function unfinishedBytes(bytes: Uint8Array): number {
  for (let back = 1; back <= Math.min(3, bytes.length); back++) {
    const [lead = 0, second] = bytes.subarray(bytes.length - back);
    if (lead >= 0x80 && lead < 0xc0) continue;
    return characterLength(lead) > back && mayContinue(lead, second) ? back : 0;
  }
  return 0;
}

/** Bytes of the UTF-8 character that begins with `lead`; 1 for what begins none. */
function characterLength(lead: number): number {
  if (lead < 0xc2 || lead > 0xf4) return 1;
  return lead < 0xe0 ? 2 : lead < 0xf0 ? 3 : 4;
}

/** Second bytes that make an overlong form, a surrogate or a value past U+10FFFF never become a character. */
function mayContinue(lead: number, second: number | undefined): boolean {
  if (second === undefined) return true;
  if (lead === 0xe0) return second >= 0xa0;
  if (lead === 0xed) return second < 0xa0;
  if (lead === 0xf0) return second >= 0x90;
  return lead !== 0xf4 || second < 0x90;
}

/**
 * Turns the bytes of tokens into text that may be shown: a character split over tokens waits for its last byte,
 * and text that may be the beginning of a stop string waits until it is known not to be. Stop strings end what is said:
 * from where calls of functions begin, the text is not looked at.
 */
export class TextStream<T> {
  readonly #stops: readonly string[];
  readonly #decoder = new TextDecoder("utf-8", { ignoreBOM: true });
  #unfinished = new Uint8Array(0);
  #held = "";
  #shownLength = 0;
  #pending: PendingToken<T>[] = [];
  #stopFound: string | null = null;
  #rest: Uint8Array = new Uint8Array(0);
  readonly #opening: CallOpening | null;
  #isInCalls = false;

  constructor(stops: readonly string[], opening: CallOpening | null = null) {
    this.#stops = stops;
    this.#opening = opening;
  }

  /** The stop string that ended the text, if one did. */
  get stopFound(): string | null {
    return this.#stopFound;
  }

  /** What came after the stop string. */
  get rest(): Uint8Array {
    return this.#rest;
  }

  push(token: T, bytes: Uint8Array): Released<T> {
    const start = this.#shownLength + this.#held.length;
    const joined = Buffer.concat([this.#unfinished, bytes]);
    const numUnfinished = unfinishedBytes(joined);
    this.#held += this.#decoder.decode(joined.subarray(0, joined.length - numUnfinished));
    this.#unfinished = joined.subarray(joined.length - numUnfinished);
    const end = this.#shownLength + this.#held.length + (numUnfinished > 0 ? 1 : 0);
    this.#pending.push({ token, start, end });

    const callsAt = this.#callsAt();
    const found = this.#isInCalls ? null : findStop(this.#held.slice(0, callsAt), this.#stops);
    if (found !== null) return this.#stop(found);
    if (this.#isInCalls) return this.#release(this.#held.length);
    if (this.#opensAt(callsAt)) {
      this.#isInCalls = true;
      return this.#release(this.#held.length);
    }
    const numSafe = Math.min(callsAt, this.#held.length - heldLength(this.#held, this.#stops));
    return this.#release(numSafe);
  }

  /** Where calls begin in what is held, or may: its end, where they do not. */
  #callsAt(): number {
    const { length } = this.#held;
    if (this.#opening === null || this.#stops.length === 0) return length;
    const { texts, leading } = this.#opening;
    const isBeginning = leading.some((text) => text.startsWith(this.#held) || this.#held.startsWith(text));
    if (isBeginning && this.#shownLength === 0) return 0;
    return findStop(this.#held, texts)?.index ?? length - heldLength(this.#held, texts);
  }

  #opensAt(at: number): boolean {
    const { texts = [], leading = [] } = this.#opening ?? {};
    const isFirst = at === 0 && this.#shownLength === 0;
    return [...texts, ...(isFirst ? leading : [])].some((text) => this.#held.startsWith(text, at));
  }

  #stop({ index, stop }: { index: number; stop: string }): Released<T> {
    this.#stopFound = stop;
    const released = this.#release(index);
    // A token that is shown in part is shown; the rest of the held text is the stop string and is dropped.
    released.tokens.push(...this.#takeWhile(({ start }) => start < this.#shownLength));
    this.#rest = Buffer.concat([Buffer.from(this.#held.slice(stop.length)), this.#unfinished]);
    this.#held = "";
    return released;
  }

  /**
   * No more tokens: what was held back is shown. A character that was never finished shows as U+FFFD.
   *
   * @param isCut more would have come: what may have begun a call is not looked at
   */
  finish(isCut = false): Released<T> {
    if (this.#stopFound === null && this.#unfinished.length > 0) this.#held += "\uFFFD";
    this.#unfinished = new Uint8Array(0);
    // Of an answer that has come to its end, what might have begun a call has not.
    const said = isCut ? this.#held.slice(0, this.#callsAt()) : this.#held;
    const found = this.#isInCalls || this.#stopFound !== null ? null : findStop(said, this.#stops);
    return found === null ? this.#release(this.#held.length) : this.#stop(found);
  }

  /** Tokens that were never shown. */
  takeHidden(): T[] {
    return this.#pending.splice(0).map((pending) => pending.token);
  }

  #release(length: number): Released<T> {
    const text = this.#held.slice(0, length);
    this.#held = this.#held.slice(length);
    this.#shownLength += length;
    const tokens = this.#takeWhile(({ end }) => end <= this.#shownLength);
    return { text, tokens };
  }

  /** The first of the tokens that wait, up to one that is not like this. */
  #takeWhile(isTaken: (pending: PendingToken<T>) => boolean): T[] {
    const numTaken = this.#pending.findIndex((pending) => !isTaken(pending));
    return this.#pending.splice(0, numTaken < 0 ? this.#pending.length : numTaken).map(({ token }) => token);
  }
}
