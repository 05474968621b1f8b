/**
 * Which tokens of which sequence go into which model's batch. Pure: it sees numbers of tokens, no native state.
 */

/** One model's view of a sequence: how much of its own prompt and answer it has yet to decode. */
export interface CursorView {
  /** Index of the model (its batch and budget). */
  model: number;
  /** Tokens known but not yet decoded. */
  numRemaining: number;
  /**
   * How many of them, the last ones, are decoded in the step in which the sequence's rows are wanted: those whose rows
   * are, and what comes between them. 0: its row is in hand.
   */
  numTail: number;
}

export interface SequenceView {
  cursors: readonly CursorView[];
  /** Not null: it is not known yet which models take part; all but the tails is decoded meanwhile. */
  routing: Routing | null;
  /** It has not had its rows since it got its place: what it has yet to decode is a prompt. */
  isReading: boolean;
  /** No rows are wanted in this step: some models only catch up with the others. */
  isSettled: boolean;
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
  /** Its models that take part in this step. */
  cursors: S["cursors"];
  /** Tokens to decode, per cursor, in their order. */
  numTokens: number[];
  /** All rows of the sequence come out of this step; otherwise it decodes a part of its prompt, without rows. */
  completes: boolean;
}

/**
 * Decoding sequences go first, in full; then prompts, in the order given, in chunks that fit what is left of
 * each model's budget, and the prefill budget while others decode. The tail of a prompt waits
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
  const isWaiting = (sequence: S) => isDecoding(sequence) && !sequence.isSettled;
  const decoding = sequences.filter(isWaiting);
  const prompts = sequences.filter((sequence) => !isWaiting(sequence));
  const left = [...budgets];
  const planned = takeFrom(left, decoding, 0);
  const promptRoom = planned.length > 0 ? left.map((room) => Math.min(room, prefillTokens)) : left;
  return [...planned, ...takeFrom(promptRoom, prompts, routingRows)];
}

/** Its prompt has been read, but for the tokens whose rows are wanted. */
export function isDecoding({ routing, isReading, cursors }: SequenceView): boolean {
  return routing === null && (!isReading || cursors.every((cursor) => cursor.numRemaining <= cursor.numTail));
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
    const { cursors, routing, isSettled } = sequence;
    const completes =
      routing === null && !isSettled && cursors.every((cursor) => cursor.numRemaining <= room(cursor));
    const numTokens = cursors.map((cursor) =>
      completes
        ? cursor.numRemaining
        : Math.max(0, Math.min(cursor.numRemaining - cursor.numTail, room(cursor))),
    );
    const reader = routing === null ? -1 : cursors.findIndex(({ model }) => model === routing.model);
    if (routing !== null && reader >= 0) {
      const most = Math.min(numTokens[reader] ?? 0, routing.numBefore + rowsLeft);
      numTokens[reader] = most;
      rowsLeft -= Math.max(0, most - routing.numBefore);
    }
    if (!completes && numTokens.every((count) => count === 0)) continue;
    cursors.forEach((cursor, index) => (left[cursor.model] = room(cursor) - (numTokens[index] ?? 0)));
    planned.push({ sequence, cursors, numTokens, completes });
  }
  return planned;
}
