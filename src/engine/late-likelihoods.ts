import { present } from "../errors.js";
import type { FusionKernel } from "../fusion/types.js";
import type { ReadySequence } from "./decode.js";
import { rowIn } from "./fuse.js";
import type { ModelSlot } from "./loaded-models.js";
import type { PlannedSequence } from "./scheduler.js";
import type { Sequence } from "./sequence.js";

/**
 * The base alone, up to the row that tells of the first token that it was not asked about. What it has read from there
 * on is taken back.
 *
 * @param most tokens.
 */
export function latePlan(sequence: Sequence, slot: ModelSlot, most: number): PlannedSequence<Sequence> {
  const { base, doze, lease } = sequence;
  const end = present(doze.next, "token that the base was not asked about");
  if (base.returnTo(end - 1))
    slot.context.removePositions(present(lease, "lease").sequenceId, base.numDecoded, null);
  const numTokens = Math.min(end - base.numDecoded, most);
  return {
    sequence,
    cursors: [base],
    numTokens: [numTokens],
    completes: base.numDecoded + numTokens === end,
  };
}

/** Takes in what the base's row tells of that token. */
export function learnLate({ sequence, rowsOf }: ReadySequence, slot: ModelSlot, kernel: FusionKernel): void {
  const { base, doze, run, config } = sequence;
  const row = rowIn(slot, rowsOf.get(base.model)?.at(-1), config);
  kernel.load({ base: row, reference: null, experts: [] }, null);
  const token = base.tokenAt(present(doze.next, "token that the base was not asked about"));
  run.learnOfBase(kernel.fuse(null).row.logprob(token));
  doze.advance();
}
