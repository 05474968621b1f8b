import { ShouldersError } from "../errors.js";
import type { ModelSlot } from "./loaded-models.js";
import type { PlannedSequence } from "./scheduler.js";
import type { Sequence } from "./sequence.js";

/** A sequence whose rows of this step are there, in every model; valid until the next decode. */
export interface ReadySequence {
  sequence: Sequence;
  /** Model index to the row's index in that model's batch. */
  rowOf: ReadonlyMap<number, number>;
}

export interface Decoded {
  ready: ReadySequence[];
  /** Sequences that a model could not decode. */
  failed: { sequence: Sequence; error: ShouldersError }[];
  /** Model index to ms of its decode. */
  msOf: ReadonlyMap<number, number>;
}

/**
 * Fills every model's batch from the plan and decodes them.
 *
 * @param together whether all models decode at the same time: in steps of one token a model, and in others.
 */
export async function decode(
  plan: readonly PlannedSequence<Sequence>[],
  slots: readonly ModelSlot[],
  together: { single: boolean; batch: boolean },
): Promise<Decoded> {
  for (const slot of slots) slot.context.batch.clear();
  const rows = plan.map((planned) => fillBatches(planned, slots));
  const msOf = new Map<number, number>();
  const errorOf = new Map<number, ShouldersError>();
  const decodeOne = async ({ context }: ModelSlot, model: number) => {
    if (context.batch.numTokens === 0) return;
    const startMs = performance.now();
    try {
      await context.decode();
    } catch (error) {
      errorOf.set(model, ShouldersError.from(error));
    }
    msOf.set(model, performance.now() - startMs);
  };
  const isSingle = slots.every(({ context }) => context.batch.numTokens <= 1);
  if (isSingle ? together.single : together.batch) await Promise.all(slots.map(decodeOne));
  else for (const [model, slot] of slots.entries()) await decodeOne(slot, model);
  const decoded = { ready: [] as ReadySequence[], failed: [] as Decoded["failed"], msOf };
  plan.forEach(({ sequence, numTokens, completes }, index) => {
    const broken = sequence.cursors.find((cursor, i) => (numTokens[i] ?? 0) > 0 && errorOf.has(cursor.model));
    if (broken) {
      decoded.failed.push({ sequence, error: errorOf.get(broken.model) as ShouldersError });
      return;
    }
    sequence.cursors.forEach((cursor, i) => (cursor.numDecoded += numTokens[i] ?? 0));
    if (completes) decoded.ready.push({ sequence, rowOf: rows[index] as ReadonlyMap<number, number> });
  });
  return decoded;
}

/** @returns the row of the last token, per model; empty when the sequence does not complete in this step. */
function fillBatches(
  { sequence, numTokens, completes }: PlannedSequence<Sequence>,
  slots: readonly ModelSlot[],
): Map<number, number> {
  const rowOf = new Map<number, number>();
  const sequenceId = sequence.lease?.sequenceId ?? 0;
  sequence.cursors.forEach(({ model, tokens, numDecoded }, index) => {
    const { batch } = (slots[model] as ModelSlot).context;
    const end = numDecoded + (numTokens[index] ?? 0);
    for (let position = numDecoded; position < end; position++) {
      const wantsRow = completes && position >= end - sequence.numRows;
      const row = batch.add(tokens[position] as number, position, sequenceId, wantsRow);
      if (wantsRow) rowOf.set(model, row);
    }
  });
  return rowOf;
}
