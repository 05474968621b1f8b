import { isDecoding } from "./scheduler.js";
import type { Sequence } from "./sequence.js";

/** Tokens that the base may be behind where experts settle token after token: then it reads them, all at once. */
const mostLag = 64;

/** Steps for which a sequence waits for the base to be asked for others as well. */
const mostWaited = 4;

/** Sequences that something but scouting can be done for: where the base is worth asking, or prompts are to be read. */
export function baseCandidates(active: readonly Sequence[]): Sequence[] {
  const decoding = active.filter(isDecoding);
  const waiting = decoding.filter(({ isSettled }) => !isSettled);
  const others = active.filter(
    (sequence) => !isDecoding(sequence) || (sequence.isSettled && sequence.lag >= mostLag),
  );
  const isWorthwhile =
    others.length > 0 ||
    2 * waiting.length >= decoding.length ||
    waiting.some(({ isWaitingForBase, numWaited }) => !isWaitingForBase || numWaited >= mostWaited);
  if (isWorthwhile) return [...waiting, ...others];
  for (const sequence of waiting) sequence.numWaited++;
  return [];
}
