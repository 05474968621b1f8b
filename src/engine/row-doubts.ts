import type { Fused } from "./fuse.js";
import type { ModelSlot } from "./model-slot.js";
import { plausibleIds, widest } from "./row-wishes.js";
import type { Sequence } from "./sequence.js";

/** Whether enough of the base's row was known for a token, and what to ask for where it was not. */

/** A law may differ by this total variation from that of the whole row without more entries being asked for. */
const mostUnknown = 1e-3;
/** So many times as many entries are asked for next. */
const growth = 4;
/** Where a grammar allows no more tokens than this, all of them are asked about. */
const mostAllowed = 128;

/**
 * Total variation at most between the law of the next token and the one that the whole of the base's row would give; 0:
 * it is that law, or its choice is the same. Of a greedy choice only the best token counts, and laws that differ by δ agree
 * on it where it leads by more than 2δ.
 */
export function unknownOf({ fusion }: Fused, { sampler }: Sequence): number {
  const { unknown, row } = fusion;
  if (unknown === 0 || !sampler.isGreedy) return unknown;
  const [first, second] = row.top(2);
  const lead = Math.exp(first?.logprob ?? -Infinity) - Math.exp(second?.logprob ?? -Infinity);
  return lead > 2 * unknown ? 0 : unknown;
}

/**
 * Whether too much of the base's row is not known, and the server gives more: then the sequence asks for that with its next
 * step, in which the row is decoded anew.
 *
 * @param unknown see `unknownOf`.
 */
export function mustAskAgain(
  { rows: { rest = null, experts } }: Fused,
  { remote }: ModelSlot,
  { sequence, unknown }: { sequence: Sequence; unknown: number },
): boolean {
  if (remote === null || rest === null || unknown === 0) return false;
  const { server, usualWish } = remote.context;
  const asked = sequence.doubt ?? { top: widest(usualWish.top, sequence.neededTop), ids: [] };
  const missing = plausibleIds(sequence, experts).filter((token) => !rest.known.has(token));
  const ids = [...new Set([...asked.ids, ...missing])];
  if (server.givesIds && ids.length > asked.ids.length) {
    sequence.doubt = { top: asked.top, ids };
    return true;
  }
  if (unknown <= mostUnknown || asked.top === "all" || asked.top >= server.mostTop) return false;
  sequence.doubt = { top: Math.min(server.mostTop, growth * asked.top), ids };
  return true;
}

/**
 * The same as `unknownOf`, of a token that was drawn again because a grammar refused the first draw. Where entries of
 * tokens that it allows are not known, they are asked for with the sequence's next step.
 *
 * @param isOfBase the fusion left none of them, so the base's row decided.
 * @param unknown of the law before the grammar's mask.
 * @returns null: they are asked for.
 */
export function unknownOfAllowed(
  { rows: { base, rest = null } }: Fused,
  { remote }: ModelSlot,
  { sequence, unknown, isOfBase }: { sequence: Sequence; unknown: number; isOfBase: boolean },
): number | null {
  if (remote === null || rest === null || (unknown === 0 && !isOfBase)) return unknown;
  const { sampler, doubt, maxTokens, numGenerated, neededTop } = sequence;
  const allowed = sampler.allowed(base.length, maxTokens - numGenerated);
  if (allowed.every((token) => rest.known.has(token))) return 0;
  const { server, usualWish } = remote.context;
  const { top, ids } = doubt ?? { top: widest(usualWish.top, neededTop), ids: [] };
  const isAsked = allowed.every((token) => ids.includes(token));
  if (!server.givesIds || allowed.length > mostAllowed || isAsked) return isOfBase ? 1 : unknown;
  sequence.doubt = { top, ids: [...new Set([...allowed, ...ids])] };
  return null;
}
