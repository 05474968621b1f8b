import { featureOf } from "../routing/feature.js";
import { priorOf } from "../routing/prior.js";
import { present, ShouldersError } from "../errors.js";
import type { FusionKernel } from "../fusion/types.js";
import type { BatchCurves, GeneratedToken, RequestEvent, StepSample } from "../protocol/protocol.js";
import { sizeOf } from "./batch-costs.js";
import { baseCandidates } from "./base-candidates.js";
import { commit } from "./commit.js";
import { decode, type Decoded, type ReadySequence } from "./decode.js";
import { fuse, settle } from "./fuse.js";
import { latePlan, learnLate } from "./late-likelihoods.js";
import type { ModelSlot } from "./loaded-models.js";
import { Drafting } from "./drafting.js";
import { endsAnswer } from "./ends-answer.js";
import { OtherLaws } from "./other-laws.js";
import { FirstSteps } from "./first-steps.js";
import { isGuess } from "./draft.js";
import { routingRows } from "./model-needs.js";
import { type SparePlaces, TextRows } from "./own/text-rows.js";
import { PrefillBudget } from "./prefill-budget.js";
import { mustAskAgain, unknownOf, unknownOfAllowed } from "./row-doubts.js";
import { certain, sample } from "./sample.js";
import { isDecoding, type PlannedSequence, schedule } from "./scheduler.js";
import type { Sequence } from "./sequence.js";

export interface StepperParts {
  slots: readonly ModelSlot[];
  kernel: FusionKernel;
  /** Whether the models of a step are decoded at the same time: steps of one token a model, and others. */
  together: Readonly<{ single: boolean; batch: boolean }>;
  curves: Readonly<BatchCurves>;
  spare: SparePlaces;
  /** Takes what is certain before the rest of the step is known. */
  emit: (events: RequestEvent[]) => void;
  end: (sequence: Sequence, error: ShouldersError | null) => void;
}

export interface StepOutcome {
  events: RequestEvent[];
  sample: StepSample;
  /** There was something to decode, and none of it could be. */
  isAllFailed: boolean;
}

/** What a step sums up. */
interface StepClock extends Omit<StepSample, "decodeMs"> {
  startMs: number;
  /** Model index to ms of its decodes. */
  msOf: Map<number, number>;
  /** Sequences that something was decoded for, and those for which that failed. */
  numPlanned: number;
  numFailed: number;
}

/**
 * One token for every running sequence, or the news that it waits for the base: first the experts of those whose tokens
 * experts may settle are decoded, then all models of the others.
 */
export class Stepper {
  readonly #parts: StepperParts;
  readonly #slots: readonly ModelSlot[];
  readonly #firstSteps = new FirstSteps();
  readonly #prefillBudget: PrefillBudget;
  readonly #drafting: Drafting;
  readonly #textRows: TextRows;
  readonly #otherLaws: OtherLaws;

  constructor(parts: StepperParts) {
    this.#parts = parts;
    this.#slots = parts.slots;
    this.#drafting = new Drafting(parts);
    this.#textRows = new TextRows({ ...parts, heldRows: this.#drafting.heldRows });
    this.#otherLaws = new OtherLaws(parts);
    this.#prefillBudget = new PrefillBudget(
      Math.max(...this.#slots.map(({ context }) => context.batch.capacity)),
    );
  }

  /** @param running asked again in the course of the step: sequences end in it. */
  async step(running: () => readonly Sequence[]): Promise<StepOutcome> {
    const clock: StepClock = {
      startMs: performance.now(),
      msOf: new Map(),
      batches: [],
      ...{ numPlanned: 0, numFailed: 0, fuseMs: 0, sampleMs: 0, rows: 0, skippedShare: 0 },
    };
    // What was cancelled meanwhile has not had what the step has made for it so far.
    const allAwake = () => running().filter(({ isPaused, isCancelled }) => !isPaused && !isCancelled);
    const chosen = new Set(this.#firstSteps.choose(allAwake(), this.#prefillBudget.tokensFor([], [])));
    const awake = () => allAwake().filter((sequence) => chosen.has(sequence));
    await this.#count(awake().filter(isCounting), clock);
    const active = () => awake().filter((sequence) => !isCounting(sequence));
    for (const sequence of active()) sequence.isSettled = false;
    const settled = await this.#scout(active(), clock);
    const candidates = baseCandidates(active());
    // What is certain need not wait for the base.
    if (settled.length > 0 && candidates.length > 0) this.#parts.emit(settled.splice(0));
    const events = [...settled, ...(await this.#advanceAll(candidates, clock))];
    const { msOf, numPlanned, numFailed, batches, fuseMs, sampleMs, rows, skippedShare } = clock;
    const decodeMs = Object.fromEntries([...msOf].map(([model, ms]) => [this.#slot(model).id, ms]));
    return {
      events,
      sample: { decodeMs, batches, fuseMs, sampleMs, rows, skippedShare },
      isAllFailed: numPlanned > 0 && numFailed === numPlanned,
    };
  }

  /** Decodes the experts of all sequences whose next token they may settle, and takes the tokens that they do. */
  async #scout(active: readonly Sequence[], clock: StepClock): Promise<RequestEvent[]> {
    const plan = active.filter((sequence) => this.#maySettle(sequence)).map(scoutPlan);
    if (plan.length === 0) return [];
    const decoded = await this.#decode(plan, clock);
    return decoded.ready.flatMap((ready) => this.#settle(ready, clock));
  }

  #maySettle(sequence: Sequence): boolean {
    const { settling, isWaitingForBase, drafts, isDozing, base } = sequence;
    if (settling === null || isWaitingForBase || drafts.length > 0) return false;
    // What the base slept through may have to be read late.
    return !isDozing || this.#slot(base.model).canTakeBack;
  }

  /** Reads late, a token each, what the base was not asked about. */
  async #count(counting: readonly Sequence[], clock: StepClock): Promise<void> {
    if (counting.length === 0) return;
    const slotOf = ({ base }: Sequence) => this.#slot(base.model);
    const plan = counting.map((sequence) => {
      const slot = slotOf(sequence);
      return latePlan(sequence, slot, Math.floor(slot.context.batch.capacity / counting.length));
    });
    const decoded = await this.#decode(plan, clock);
    for (const { sequence } of plan) sequence.countBasePass();
    for (const ready of decoded.ready)
      this.#guard(ready.sequence, () => {
        learnLate(ready, slotOf(ready.sequence), this.#parts.kernel);
        return [];
      });
  }

  /** Takes the token of a sequence whose experts settle it. */
  #settle(ready: ReadySequence, clock: StepClock): RequestEvent[] {
    const { sequence } = ready;
    return this.#guard(sequence, () => {
      const startMs = performance.now();
      const { heldRows } = this.#drafting;
      const token = settle(ready, this.#slots, { kernel: this.#parts.kernel, heldRows });
      const fuseMs = performance.now() - startMs;
      clock.fuseMs += fuseMs;
      this.#drafting.observeSettled(sequence, token !== null);
      if (token === null) return [];
      sequence.isSettled = true;
      const generated = this.#certain(sequence, token, { clock, fuseMs });
      const { events, isDone } = this.#commit(sequence, generated);
      if (isDone) this.#parts.end(sequence, null);
      return events;
    });
  }

  /** A step of these sequences with all their models. */
  async #advanceAll(candidates: readonly Sequence[], clock: StepClock): Promise<RequestEvent[]> {
    this.#drafting.propose(candidates);
    await this.#drafting.guess(candidates, (plan) => this.#decode(plan, clock));
    // One whose expert could not be decoded has ended.
    const sequences = candidates.filter(({ lease }) => lease !== null);
    const budgets = this.#slots.map(({ context }) => context.batch.capacity);
    const reading = sequences.filter((one) => one.isReading && !isDecoding(one));
    const taking = sequences.filter((one) => isDecoding(one) && !one.isSettled);
    const prefillTokens = this.#prefillBudget.tokensFor(reading, taking);
    const plan = schedule(sequences, budgets, { prefillTokens, routingRows });
    if (plan.length === 0) return [];
    const numDecoding = plan.filter(({ sequence }) => isDecoding(sequence)).length;
    const decoded = await this.#decode(plan, clock);
    for (const planned of plan) countBasePass(planned);
    for (const routed of decoded.routed) this.#guard(routed.sequence, () => this.#route(routed));
    const isOwn = ({ sequence }: ReadySequence) => sequence.config.reader !== null;
    const own = decoded.ready.filter(isOwn);
    for (const ready of own) this.#textRows.keep(ready);
    // Looking ahead writes over the rows of a model that others may have as well.
    const shared = decoded.ready.filter((ready) => !isOwn(ready));
    const events = shared.flatMap((ready) => this.#advance(ready, clock));
    await this.#textRows.carry(own, clock.msOf);
    events.push(...own.flatMap((ready) => this.#advance(ready, clock)));
    // It says nothing of steps of all.
    if (this.#firstSteps.isOwn) return events;
    const batchTokens = Math.max(...this.#slots.map(({ context }) => context.batch.numTokens));
    this.#prefillBudget.observe({
      ms: performance.now() - clock.startMs,
      numDecoding,
      numPromptTokens: Math.max(0, batchTokens - numDecoding),
    });
    return events;
  }

  async #decode(plan: readonly PlannedSequence<Sequence>[], clock: StepClock): Promise<Decoded> {
    const decoded = await decode(plan, this.#slots, this.#parts.together);
    for (const [model, ms] of decoded.msOf) {
      clock.msOf.set(model, (clock.msOf.get(model) ?? 0) + ms);
      const { id, context } = this.#slot(model);
      const tokens = sizeOf(context.batch.numTokens);
      if (tokens !== null) clock.batches.push({ model: id, tokens, ms });
      this.#drafting.observeDecode(model, ms);
    }
    for (const { sequence, error } of decoded.failed) this.#parts.end(sequence, error);
    clock.numPlanned += plan.length;
    // A server that cannot be asked is no device that is gone.
    clock.numFailed += decoded.failed.filter(({ error }) => error.code !== "base_unavailable").length;
    return decoded;
  }

  /** The reference has read a prompt: its rows say which experts are to read it too. */
  #route({ sequence, rows }: Decoded["routed"][number]): RequestEvent[] {
    const { resolved, reference, vocabularySize } = sequence.config;
    const { context } = this.#slot(present(reference, "reference").model);
    const logits = rows.map((row) => context.logits(row).subarray(0, vocabularySize));
    const feature = featureOf(logits, sequence.featureSettings);
    sequence.told(feature, rows.length, (whole) => resolved.card && priorOf(resolved.card, whole));
    return [];
  }

  /** Takes token after token of a sequence whose rows are there, as long as its drafts are right. */
  #advance(ready: ReadySequence, clock: StepClock): RequestEvent[] {
    const { sequence, numDrafts } = ready;
    return this.#guard(sequence, () => {
      sequence.isReading = false;
      sequence.countGuesses(sequence.drafts.filter(isGuess).length);
      const all: RequestEvent[] = [];
      let numRight = 0;
      let isDone = false;
      for (let numTaken = 0; ; numTaken++) {
        const [draft] = sequence.drafts;
        const generated = draft?.isCertain
          ? this.#takeCertain(sequence, draft.token, clock)
          : this.#draw(ready, numTaken, clock);
        // What a grammar refuses has no row of the base yet; or the choice waits for the shares.
        if (generated === null) break;
        const isRight = generated.record.token.id === draft?.token;
        if (draft !== undefined && isGuess(draft)) {
          this.#drafting.observeGuess(sequence, draft, isRight);
          if (isRight) sequence.countAccepted(numRight++);
          Object.assign(generated.record, { drafted: true, ...(isRight && { accepted: true }) });
        }
        const committed = this.#commit(sequence, generated);
        all.push(...committed.events);
        isDone = committed.isDone;
        if (isDone || !isRight || numTaken === numDrafts) break;
      }
      this.#takeBack(sequence);
      if (isDone) this.#parts.end(sequence, null);
      return all;
    });
  }

  /** The token that experts settle after drafts that were right; null: a grammar refuses it. */
  #takeCertain(sequence: Sequence, token: number, clock: StepClock): GeneratedToken | null {
    if (!sequence.sampler.allows(token, sequence.maxTokens - sequence.numGenerated)) return null;
    this.#drafting.observeSettled(sequence, true);
    return this.#certain(sequence, token, { clock, fuseMs: 0 });
  }

  #certain(
    sequence: Sequence,
    token: number,
    { clock, fuseMs }: { clock: StepClock; fuseMs: number },
  ): GeneratedToken {
    clock.rows++;
    clock.skippedShare += sequence.run.skippedShare;
    const generated = certain(sequence, token, { msOf: clock.msOf, fuseMs });
    sequence.learnCertain();
    return generated;
  }

  /**
   * Draws the token after so many drafts that have become tokens; null: it could depend on what the base was not asked
   * about, which is then to be read first, or on entries of its row that did not come, which are then asked for.
   */
  #draw(ready: ReadySequence, numTaken: number, clock: StepClock): GeneratedToken | null {
    const { sequence } = ready;
    const { kernel } = this.#parts;
    const startMs = performance.now();
    const fused = fuse(ready, numTaken, this.#slots, kernel);
    const fuseMs = performance.now() - startMs;
    if (!sequence.doze.isProven(fused.fusion, sequence.run.baseShare)) {
      sequence.doze.isCounting = true;
      return null;
    }
    const slot = this.#slot(sequence.base.model);
    const unmasked = unknownOf(fused, sequence);
    if (mustAskAgain(fused, slot, { sequence, unknown: unmasked })) return null;
    const { generated, componentLogprobs, isByGrammar, isOfBase, sampleMs } = sample({
      ...{ sequence, fused, kernel, fuseMs },
      msOf: clock.msOf,
    });
    const unknown = isByGrammar
      ? unknownOfAllowed(fused, slot, { sequence, unknown: unmasked, isOfBase })
      : unmasked;
    if (unknown === null || !this.#otherLaws.weigh(sequence, fused, generated)) return null;
    clock.rows++;
    clock.fuseMs += fuseMs;
    clock.sampleMs += sampleMs;
    clock.skippedShare += sequence.run.skippedShare;
    sequence.learn(fused.fusion, { logprobs: componentLogprobs, unknown }, generated.record);
    return generated;
  }

  /** Forgets the drafts that are left, and what models have read of them. */
  #takeBack(sequence: Sequence): void {
    sequence.propose([]);
    for (const cursor of sequence.allCursors)
      if (cursor.takeBack()) {
        const { context } = this.#slot(cursor.model);
        context.removePositions(sequence.lease?.sequenceId ?? 0, cursor.numDecoded, null);
      }
  }

  #commit(sequence: Sequence, generated: GeneratedToken): { events: RequestEvent[]; isDone: boolean } {
    const events = commit(sequence, generated, (token) => endsAnswer(sequence, token, this.#slots));
    return {
      events: events.map((event) => ({ requestId: sequence.request.requestId, event })),
      isDone: events.at(-1)?.type === "done",
    };
  }

  /** What goes wrong with a sequence ends it, and nobody else. */
  #guard(sequence: Sequence, work: () => RequestEvent[]): RequestEvent[] {
    if (sequence.isCancelled) return [];
    try {
      return work();
    } catch (error) {
      this.#parts.end(sequence, ShouldersError.from(error));
      return [];
    }
  }

  #slot(model: number): ModelSlot {
    return present(this.#slots[model], "slot");
  }
}

/** Whether it waits for what the base was not asked about. */
function isCounting({ doze, isReading }: Sequence): boolean {
  return doze.isCounting && !isReading;
}

/** The experts of a sequence alone, with a row each. */
function scoutPlan(sequence: Sequence): PlannedSequence<Sequence> {
  const cursors = sequence.scouts;
  return { sequence, cursors, numTokens: cursors.map(({ numRemaining }) => numRemaining), completes: true };
}

/** Counts a decode of the base that is for the answer, not for the prompt. */
function countBasePass({ sequence, cursors, numTokens, completes }: PlannedSequence<Sequence>): void {
  const base = cursors.indexOf(sequence.base);
  if ((numTokens[base] ?? 0) > 0 && (completes || !sequence.isReading)) sequence.countBasePass();
}
