import { present, ShouldersError } from "../errors.js";
import type { ModelSlot } from "./loaded-models.js";
import type { PlannedSequence } from "./scheduler.js";
import { wishFor } from "./row-wishes.js";
import type { Sequence } from "./sequence.js";

/** A sequence whose rows of this step are there, in every model. */
export interface ReadySequence {
  sequence: Sequence;
  /**
   * Model index to the numbers, in that model's context, of the rows after its last token and after each draft, but for
   * those that are held (−1: one that is not needed); the next decode makes them void.
   */
  rowsOf: ReadonlyMap<number, readonly number[]>;
  /** Drafts whose rows are there. */
  numDrafts: number;
}

export interface Decoded {
  ready: ReadySequence[];
  /** The reference's rows that tell about a sequence's prompt, by number. */
  routed: { sequence: Sequence; rows: number[] }[];
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
  const filled = plan.map((planned) => ({ ...planned, ...fillBatches(planned, slots) }));
  const msOf = new Map<number, number>();
  const errorOf = new Map<number, ShouldersError>();
  const faultOf = (model: number, sequence: Sequence) =>
    errorOf.get(model) ?? slots[model]?.remote?.context.failures.get(sequence.lease?.sequenceId ?? 0);
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
  // Another server works while the models here do.
  const elsewhere = [...slots.entries()].filter(([, { remote }]) => remote !== null);
  const awaited = Promise.all(elsewhere.map(([model, slot]) => decodeOne(slot, model)));
  // The largest first: a device has its work in hand while the small models are still being handed over.
  const inOrder = [...slots.entries()]
    .filter(([, { remote }]) => remote === null)
    .sort(([, a], [, b]) => b.model.sizeBytes - a.model.sizeBytes);
  if (isSingle ? together.single : together.batch)
    await Promise.all(inOrder.map(([model, slot]) => decodeOne(slot, model)));
  else for (const [model, slot] of inOrder) await decodeOne(slot, model);
  await awaited;
  const decoded: Decoded = { ready: [], routed: [], failed: [], msOf };
  for (const { sequence, cursors, numTokens, completes, rowsOf, route } of filled) {
    const [error] = cursors.flatMap(
      ({ model }, i) => ((numTokens[i] ?? 0) > 0 && faultOf(model, sequence)) || [],
    );
    if (error) {
      decoded.failed.push({ sequence, error });
      continue;
    }
    cursors.forEach((cursor, i) => (cursor.numDecoded += numTokens[i] ?? 0));
    for (const [model, rows] of rowsOf) {
      const roles = sequence.config.roles.get(model);
      for (const row of roles === undefined ? [] : rows)
        if (row >= 0) roles?.adapt(present(slots[model], "slot").context.logits(row));
    }
    if (route.length > 0) decoded.routed.push({ sequence, rows: route });
    if (completes) decoded.ready.push({ sequence, rowsOf, numDrafts: sequence.drafts.length });
  }
  return decoded;
}

interface FilledRows {
  /** The rows of the last tokens, per model; empty when the sequence does not complete in this step. */
  rowsOf: Map<number, number[]>;
  /** The reference's rows that tell about the prompt, as far as this step brings them. */
  route: number[];
}

function fillBatches(
  { sequence, cursors, numTokens, completes }: PlannedSequence<Sequence>,
  slots: readonly ModelSlot[],
): FilledRows {
  const rowsOf = new Map<number, number[]>();
  const route: number[] = [];
  const sequenceId = sequence.lease?.sequenceId ?? 0;
  cursors.forEach((cursor, index) => {
    const { model, numDecoded, numTail } = cursor;
    const rows: number[] = [];
    rowsOf.set(model, rows);
    const { context, remote } = present(slots[model], "slot");
    const { batch } = context;
    const end = numDecoded + (numTokens[index] ?? 0);
    for (let position = numDecoded; position < end; position++) {
      const isLast = completes && position >= end - numTail;
      const isRoute = sequence.isRoutedBy(cursor, position);
      const isWanted = isRoute || (isLast && cursor.isRowNeeded(position));
      const row = batch.add(cursor.tokenAt(position), position, sequenceId, isWanted);
      if (isWanted) remote?.context.wish(row, wishFor(sequence, position, remote.context.usualWish));
      if (isLast) rows.push(row);
      if (isRoute) route.push(row);
    }
  });
  return { rowsOf, route };
}
