import { present, ShouldersError } from "../errors.js";
import type { FusionKernel, Plausibility } from "../fusion/types.js";
import { BatchCosts } from "./batch-costs.js";
import type { Cursor } from "./cursor.js";
import type { Decoded, ReadySequence } from "./decode.js";
import type { BatchCurves } from "../protocol/protocol.js";
import { type Draft, draftsOf } from "./draft.js";
import { chooseFarGuesses, chooseGuesses, ExpertDrafts, type Guessable, rateOf } from "./draft-policy.js";
import { endsAnswer } from "./ends-answer.js";
import { rowIn } from "./fuse.js";
import { HeldRows } from "./held-rows.js";
import type { LoadedConfig, ModelSlot } from "./loaded-models.js";
import { draftRows } from "./model-needs.js";
import type { PlannedSequence } from "./scheduler.js";
import type { Sequence } from "./sequence.js";

export interface DraftingParts {
  slots: readonly ModelSlot[];
  kernel: FusionKernel;
  curves: Readonly<BatchCurves>;
  end: (sequence: Sequence, error: ShouldersError) => void;
}

/** An answer whose expert may guess. */
interface Able extends Guessable {
  sequence: Sequence;
  drafter: Cursor;
  /** The plausible set of its expert, where that may settle tokens; null: every token is a guess. */
  set: Plausibility | null;
}

interface Guessing extends Able {
  /** Guesses that may still be made. */
  numGuesses: number;
}

/** The reference has not read on while nobody asked it: more tokens than this are not worth a guess. */
const mostCatchUp = 32;
/** Of an expert's tokens that no plausible set bounds, those below this share of the best one's probability are not guessed. */
const leastRatio = 0.001;

/**
 * What may come next in answers, found before the base is asked: tokens that are given, guesses from an answer's own
 * texts, and guesses of its expert, which are made for all answers of a step in lockstep. Once a mixture has left all its
 * experts the reference guesses.
 */
export class Drafting {
  readonly #parts: DraftingParts;
  /** By model; null before the first decode of an answer. */
  #costs: readonly BatchCosts[] | null = null;
  /** By model. */
  readonly heldRows: readonly HeldRows[];
  /** By config and its drafter's model. */
  readonly #known = new Map<LoadedConfig, Map<number, ExpertDrafts>>();
  readonly #scratch: Float32Array;

  constructor(parts: DraftingParts) {
    const { slots } = parts;
    this.#parts = parts;
    this.heldRows = slots.map(() => new HeldRows());
    this.#scratch = new Float32Array(Math.max(...slots.map(({ model }) => model.vocabulary.size)));
  }

  /** A batch of a model was decoded. */
  observeDecode(model: number, ms: number): void {
    const { numTokens, numRows } = this.#slot(model).context.batch;
    this.#costsOf(model).observe(numTokens, numRows, ms);
  }

  /** Whether experts settled a token of an answer of which they may. */
  observeSettled(sequence: Sequence, isCertain: boolean): void {
    this.#knownOf(sequence).observeSettled(isCertain);
  }

  /** A guess was right or wrong. */
  observeGuess(sequence: Sequence, { source }: Draft, isRight: boolean): void {
    if (source === "expert") this.#knownOf(sequence).observe(isRight);
    if (source === "text") sequence.draftPolicy.observe(isRight);
  }

  /**
   * Gives sequences tokens to decode together with their last one: those that are given, and guesses from texts where they
   * pay. Each wants a row of every model and room in its batch, and all those that are wrong have to be taken back.
   */
  propose(sequences: readonly Sequence[]): void {
    for (const sequence of sequences) {
      if (!this.#mayDraft(sequence)) continue;
      const { given, mostDrafts } = sequence;
      const most = Math.min(this.#room(sequences).rows, mostDrafts);
      if (most <= 0) continue;
      if (given.length > 0) sequence.propose(draftsOf(given.slice(0, most), "given"));
      else sequence.propose(draftsOf(this.#fromText(sequence, most, sequences.length), "text"));
    }
  }

  /**
   * Lets experts guess for the sequences that have no other drafts, where that pays.
   *
   * @param decode of a plan of this step.
   */
  async guess(
    sequences: readonly Sequence[],
    decode: (plan: readonly PlannedSequence<Sequence>[]) => Promise<Decoded>,
  ): Promise<void> {
    let guessing = this.#choose(sequences);
    while (guessing.length > 0) {
      const readyOf = new Map<Sequence, ReadySequence>();
      const isHeld = ({ sequence, drafter }: Guessing) => drafter.numHeld > sequence.drafts.length;
      const plan = guessing.filter((one) => !isHeld(one)).map(planOf);
      if (plan.length > 0) for (const ready of (await decode(plan)).ready) readyOf.set(ready.sequence, ready);
      guessing = guessing.filter((one) =>
        this.#guard(one, () => {
          const row = isHeld(one) ? one.drafter.lastHeld : this.#rowOf(one, readyOf.get(one.sequence));
          return row !== null && this.#extend(one, row, this.#room(sequences).tokens);
        }),
      );
    }
  }

  /** The row that was decoded for a guess; null: it could not be. */
  #rowOf({ sequence, drafter: { model } }: Guessing, ready: ReadySequence | undefined): Float32Array | null {
    if (ready === undefined) return null;
    return rowIn(this.#slot(model), ready.rowsOf.get(model)?.at(-1), sequence.config);
  }

  /**
   * Proposes the next token by the row of an expert.
   * @returns whether there may be more.
   */
  #extend(one: Guessing, row: Float32Array, room: number): boolean {
    const { sequence, drafter, set } = one;
    const { drafts } = sequence;
    const isHeld = drafter.numHeld > drafts.length;
    // The first token is known not to be settled, or not allowed to be.
    const sole = set !== null && drafts.length > 0 ? this.#parts.kernel.soleToken(row, set) : null;
    const mayGo = room > 0 && drafts.length < sequence.mostDrafts;
    const token = sole ?? (one.numGuesses > 0 ? this.#guessOf(sequence, row) : null);
    const isOver = token === null || !mayGo || endsAnswer(sequence, token, this.#parts.slots);
    const isCertain = sole !== null && !isOver;
    if (!isHeld)
      drafter.hold(isCertain ? null : present(this.heldRows[drafter.model], "held rows").copy(row));
    if (isOver) return false;
    sequence.extend({ token, source: "expert", isCertain });
    if (!isCertain) one.numGuesses--;
    return set !== null || one.numGuesses > 0;
  }

  #guessOf(sequence: Sequence, row: Float32Array): number {
    const { run, drafts, sampler } = sequence;
    const expert = run.active.find(({ model }) => model === sequence.drafter?.model);
    const ratio = (expert && run.axisOf(expert).plausibility?.ratio) ?? leastRatio;
    return sampler.guess(row, drafts.length, { ratio, scratch: this.#scratch });
  }

  /** Who is to guess, and how often. */
  #choose(sequences: readonly Sequence[]): Guessing[] {
    const able = sequences.flatMap((sequence) => this.#able(sequence, sequences.length) ?? []);
    const { rows } = this.#room(sequences);
    if (able.length === 0 || rows <= 0) return [];
    const farDrafts = able.map(
      ({ sequence }) => this.#slot(sequence.base.model).remote?.settings.draft ?? null,
    );
    const counts = farDrafts.every((draft) => draft !== null)
      ? chooseFarGuesses(able, rows, farDrafts)
      : chooseGuesses(able, rows, (numsGuesses) => this.#costOf(able, numsGuesses));
    let left = rows - counts.reduce((sum, count) => sum + count, 0);
    return able.flatMap((one, index) => {
      const count = counts[index] ?? 0;
      if (count > 0) return [{ ...one, numGuesses: count }];
      const isProbe = one.most > 0 && this.#knownOf(one.sequence).refuse() && left-- > 0;
      return isProbe ? [{ ...one, numGuesses: 1 }] : [];
    });
  }

  #able(sequence: Sequence, numSequences: number): Able | null {
    const { drafter, run, settling, given, mostDrafts: most } = sequence;
    if (drafter === null || given.length > 0 || !this.#mayDraft(sequence)) return null;
    const { capacity } = this.#slot(drafter.model).context.batch;
    const mostLate = Math.min(mostCatchUp, capacity / numSequences);
    if (run.active.length === 0 && drafter.numRemaining > mostLate) return null;
    // Where the base has a share, behind a guess it is asked.
    const set = run.active.length === 1 && run.baseShare === 0 ? (settling?.[0] ?? null) : null;
    const { acceptance, unsure } = this.#knownOf(sequence);
    return { sequence, drafter, set, acceptance, unsure: set === null ? 1 : unsure, most };
  }

  /**
   * Milliseconds until each of these answers needs the base again, with so many guesses each. An answer's block has
   * (1 + guesses) ÷ unsure tokens: its expert decodes them one by one, the others at once, with a row for each that is
   * not settled.
   */
  #costOf(able: readonly Able[], counts: readonly number[]): number {
    return this.#parts.slots.reduce((sum, _, model) => {
      const costs = this.#costsOf(model);
      let [tokens, rows, singles, rounds] = [0, 0, 0, 0];
      able.forEach(({ sequence, drafter, unsure }, index) => {
        const numRows = 1 + (counts[index] ?? 0);
        if (drafter.model === model) {
          singles += numRows / unsure;
          rounds = Math.max(rounds, numRows / unsure);
        } else if (sequence.cursors.some((cursor) => cursor.model === model)) {
          tokens += numRows / unsure;
          rows += numRows;
        }
      });
      const each = rounds > 0 ? singles / rounds : 0;
      const ofBlocks = rows > 0 ? costs.expected(rows, rows / tokens) : 0;
      return sum + ofBlocks + rounds * costs.of(each, each);
    }, 0);
  }

  /** Whether nothing is proposed for it yet, and what may be can be taken back. */
  #mayDraft({ config, isReading, isSettled, drafts, given, request, allCursors }: Sequence): boolean {
    if (config.reader !== null || isReading || isSettled || drafts.length > 0) return false;
    if (request.speculation === "off" && given.length === 0) return false;
    return allCursors.every(({ model }) => this.#slot(model).canTakeBack);
  }

  /** What drafts may still take of a step, of every model: rows, and tokens of its batch. */
  #room(sequences: readonly Sequence[]): { rows: number; tokens: number } {
    const drafts = sequences.flatMap((sequence) => sequence.drafts);
    const capacity = Math.min(...this.#parts.slots.map(({ context }) => context.batch.capacity));
    const tokens = capacity - sequences.length - drafts.length;
    const rows = draftRows - drafts.filter(({ isCertain }) => !isCertain).length;
    return { rows: Math.min(rows, tokens), tokens };
  }

  /** Guesses from texts, where they promise more than those of an expert, which has to be decoded for them. */
  #fromText(sequence: Sequence, most: number, numSequences: number): number[] {
    const { draftPolicy, textGuess } = sequence;
    const guess = textGuess.next(most);
    if (guess.length === 0) return guess;
    const costOf = (numTokens: number) =>
      sequence.cursors.reduce((sum, { model }) => {
        const count = numSequences - 1 + numTokens;
        return sum + this.#costsOf(model).of(count, count);
      }, 0);
    const count = draftPolicy.choose(guess.length, costOf);
    const able = count > 0 ? this.#able(sequence, numSequences) : null;
    if (able !== null) {
      const expertCost = (counts: readonly number[]) => this.#costOf([able], counts);
      const counts = chooseGuesses([able], most, expertCost);
      const text = { acceptance: draftPolicy.acceptance, unsure: 1 };
      if (rateOf([able], counts, expertCost) > rateOf([text], [count], () => costOf(count + 1))) return [];
    }
    return guess.slice(0, count);
  }

  #costsOf(model: number): BatchCosts {
    const { slots, curves } = this.#parts;
    this.#costs ??= slots.map(({ id }) => new BatchCosts(curves[id]));
    return present(this.#costs[model], "costs");
  }

  #knownOf({ config, drafter }: Sequence): ExpertDrafts {
    const ofConfig = this.#known.get(config) ?? new Map<number, ExpertDrafts>();
    this.#known.set(config, ofConfig);
    const model = drafter?.model ?? config.base.model;
    const known = ofConfig.get(model) ?? new ExpertDrafts();
    ofConfig.set(model, known);
    return known;
  }

  #slot(model: number): ModelSlot {
    return present(this.#parts.slots[model], "slot");
  }

  /** What goes wrong with a sequence ends it, and nobody else. */
  #guard({ sequence }: Guessing, work: () => boolean): boolean {
    try {
      return work();
    } catch (error) {
      this.#parts.end(sequence, ShouldersError.from(error));
      return false;
    }
  }
}

/** The drafter of an answer alone, with the row after what there is. */
function planOf({ sequence, drafter }: Guessing): PlannedSequence<Sequence> {
  return { sequence, cursors: [drafter], numTokens: [drafter.numRemaining], completes: true };
}
