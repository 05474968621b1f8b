/**
 * Which tokens of which sequence go into which model's batch. Pure: it sees numbers of tokens, no native state.
 */

/** One model's view of a sequence: how much of its own prompt and answer it has yet to decode. */
export interface CursorView {
  /** Index of the model (its batch and budget). */
  model: number;
  /** Tokens known but not yet decoded; at least `SequenceView.numRows`. */
  numRemaining: number;
}

export interface SequenceView {
  cursors: readonly CursorView[];
  /**
   * Rows of logits wanted from the last tokens, in every model in the same step: 1 for plain generation, more
   * where several positions are looked at together.
   */
  numRows: number;
  /** Not null: it is not known yet which models take part; all but the last `numRows` tokens are decoded meanwhile. */
  routing: Routing | null;
}

/** The part of a prompt that tells which models take part: every token from there on gives a row. */
export interface Routing {
  /** Index of the model that reads it. */
  model: number;
  /** Tokens that this model has yet to decode before. */
  numBefore: number;
}

/** Most that prompts put into a step. */
export interface PromptBudgets {
  /** Tokens, per model, of a step in which other sequences decode. */
  prefillTokens: number;
  /** Rows that tell about prompts, of all sequences. */
  routingRows: number;
}

/** What one sequence puts into the batches of a step. */
export interface PlannedSequence<S extends SequenceView> {
  sequence: S;
  /** Tokens to decode, per cursor, in the order of `sequence.cursors`. */
  numTokens: number[];
  /** All rows of the sequence come out of this step; otherwise it decodes a part of its prompt, without rows. */
  completes: boolean;
}

/**
 * Decoding sequences go first, in full; then prompts, in the order given, in chunks that fit what is left of
 * each model's budget, and the prefill budget while others decode. The last `numRows` tokens of a prompt wait
 * until every model of the sequence can take them in the same step, because fusion needs the rows of all models
 * at once, whatever their prompts' lengths, and until it is known which models these are.
 *
 * @param budgets most tokens in a step, per model.
 */
export function schedule<S extends SequenceView>(
  sequences: readonly S[],
  budgets: readonly number[],
  { prefillTokens, routingRows }: PromptBudgets,
): PlannedSequence<S>[] {
  const decoding = sequences.filter(isDecoding);
  const prompts = sequences.filter((sequence) => !isDecoding(sequence));
  const left = [...budgets];
  const planned = takeFrom(left, decoding, 0);
  const promptRoom = planned.length > 0 ? left.map((room) => Math.min(room, prefillTokens)) : left;
  return [...planned, ...takeFrom(promptRoom, prompts, routingRows)];
}

/** All that is left of the sequence are the tokens whose rows are wanted. */
export function isDecoding(sequence: SequenceView): boolean {
  return (
    sequence.routing === null && sequence.cursors.every((cursor) => cursor.numRemaining === sequence.numRows)
  );
}

/** Plans what fits into `left` (tokens, per model), in order of the sequences, and takes it off. */
function takeFrom<S extends SequenceView>(
  left: number[],
  sequences: readonly S[],
  routingRows: number,
): PlannedSequence<S>[] {
  const planned: PlannedSequence<S>[] = [];
  let rowsLeft = routingRows;
  for (const sequence of sequences) {
    const room = (cursor: CursorView) => left[cursor.model] ?? 0;
    const completes =
      sequence.routing === null && sequence.cursors.every((cursor) => cursor.numRemaining <= room(cursor));
    const numTokens = sequence.cursors.map((cursor) =>
      completes ? cursor.numRemaining : Math.min(cursor.numRemaining - sequence.numRows, room(cursor)),
    );
    const { routing } = sequence;
    const reader = routing === null ? -1 : sequence.cursors.findIndex(({ model }) => model === routing.model);
    if (routing !== null && reader >= 0) {
      const most = Math.min(numTokens[reader] ?? 0, routing.numBefore + rowsLeft);
      numTokens[reader] = most;
      rowsLeft -= Math.max(0, most - routing.numBefore);
    }
    if (numTokens.every((count) => count === 0)) continue;
    sequence.cursors.forEach(
      (cursor, index) => (left[cursor.model] = room(cursor) - (numTokens[index] ?? 0)),
    );
    planned.push({ sequence, numTokens, completes });
  }
  return planned;
}
