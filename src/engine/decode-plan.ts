import type { Logger } from "../log.js";
import { measureCurves } from "./batch-curves.js";
import { applyThreads, DecodeTuning, type TuningOptions, warmUp } from "./decode-tuning.js";
import type { KnownTimings } from "../protocol/timings.js";
import { keepTimings, readTimings } from "./kept-timings.js";
import type { ModelSlot } from "./loaded-models.js";
import { draftRows } from "./model-needs.js";
import type { BatchCurves, DecodePlan, DecodeTimings } from "../protocol/protocol.js";

/** Older timings are used, and taken again as soon as nobody waits: machines change in ways that no key shows. */
const freshMs = 7 * 24 * 3_600_000;

export interface DecodePlannerParts {
  slots: readonly ModelSlot[];
  tuning: TuningOptions;
  /** What timings hold for: see `timingsKey`. */
  key: string;
  /** What the engine process before this one had timed. */
  inherited: KnownTimings | null;
  /** Told whenever the plan is made or changed. */
  onPlan: (plan: DecodePlan, known: KnownTimings) => void;
  log: Pick<Logger, "debug">;
}

/**
 * Decides how steps are decoded: as an earlier process found out, or by timing, first for a moment and then on while
 * nobody waits. After the first request nothing is timed any more.
 */
export class DecodePlanner {
  /** Whether the models of a step are decoded at the same time: steps of one token a model, and others. */
  readonly together = { single: false, batch: false };
  /** What batches take, as far as it is known. */
  readonly curves: BatchCurves = {};
  readonly #parts: DecodePlannerParts;
  readonly #tuning: DecodeTuning;
  #background: Promise<void> | null = null;
  #timings: DecodeTimings | null = null;
  #isStopped = false;

  constructor(parts: DecodePlannerParts) {
    this.#parts = parts;
    this.#tuning = new DecodeTuning(parts.slots, parts.tuning);
  }

  /**
   * Makes the plan; every model has decoded by then. `mayImprove`: `improve` may find a better one.
   * @throws ShouldersError `decode_failed`
   */
  async choose(): Promise<{ decoding: DecodePlan; mayImprove: boolean }> {
    const { key, inherited, slots, log } = this.#parts;
    const isInherited = inherited?.key === key;
    const known = isInherited ? inherited : readTimings(key, log);
    if (known === null) {
      await this.#tuning.start();
      return { decoding: this.#adoptMeasured(), mayImprove: !this.#tuning.isSettled };
    }
    await warmUp(slots, known.timings);
    const hasCurves = slots.every(({ id }) => (known.curves[id]?.length ?? 0) > 0);
    const isFresh = known.isSettled && hasCurves && Math.abs(Date.now() - Date.parse(known.date)) < freshMs;
    // After a death nothing is tried that need not be.
    return { decoding: this.#adopt(known, "cache"), mayImprove: !isInherited && !isFresh };
  }

  /** Goes on timing until all is known or `stop` is called. */
  improve(): void {
    const { slots, log } = this.#parts;
    this.#background = this.#improve()
      .catch((error: unknown) => log.debug({ err: error }, "ways to decode could not be timed further"))
      .finally(() => {
        this.#background = null;
        if (this.#timings) applyThreads(slots, this.#timings);
      });
  }

  /** Ends timing for good. @returns what contexts are in use for until then, at most a step; null: they are free. */
  stop(): Promise<void> | null {
    this.#isStopped = true;
    return this.#background;
  }

  async #improve(): Promise<void> {
    const isStopped = () => this.#isStopped;
    const isAnew = !this.#tuning.hasStarted;
    if (isAnew) await this.#tuning.start(isStopped);
    await this.#tuning.refine(isStopped);
    // Old timings are worth more than a part of new ones.
    if (isAnew && !this.#tuning.isSettled) return;
    const { slots, tuning } = this.#parts;
    applyThreads(slots, this.#tuning.timings);
    const mostRows = tuning.numSequences + draftRows;
    const onStep = tuning.onStep ?? (() => undefined);
    Object.assign(this.curves, await measureCurves(slots, { mostRows, isOver: isStopped, onStep }));
    this.#adoptMeasured();
  }

  #adoptMeasured(): DecodePlan {
    const { timings, isSettled } = this.#tuning;
    const { curves } = this;
    const known = { key: this.#parts.key, isSettled, date: new Date().toISOString(), timings, curves };
    keepTimings(known, this.#parts.log);
    return this.#adopt(known, "measured");
  }

  #adopt(known: KnownTimings, source: DecodePlan["source"]): DecodePlan {
    const { slots, tuning, onPlan } = this.#parts;
    const { timings, curves } = known;
    this.#timings = timings;
    Object.assign(this.curves, curves);
    this.together.single = timings.mode === "together";
    this.together.batch = timings.batch.mode === "together";
    applyThreads(slots, timings);
    const plan: DecodePlan = {
      ...timings,
      curves: { ...this.curves },
      source,
      areThreadsSet: tuning.fixedThreads !== null,
    };
    onPlan(plan, known);
    return plan;
  }
}
