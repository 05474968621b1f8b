import type { AxisPoint, Divergence, WeightBounds } from "../types.js";
import { constantShiftResolution, constantShiftTarget } from "./rows.js";
import { Tail, type Moments } from "./tail.js";
import type { KernelExports } from "./wasm.js";

/** A row in WebAssembly memory: its largest unmasked logit, and how large logits were before they were moved. */
export interface Row {
  at: number;
  best: number;
  magnitude: number;
}

/** Rows of `length` (padded) logits, and exp(logit − best) of two of them with their sums. */
export interface AxisRows {
  base: Row;
  reference: Row;
  expert: Row;
  length: number;
  baseWeights: { at: number; sum: number };
  referenceWeights: { at: number; sum: number };
}

type WholeRows = Pick<AxisRows, "base" | "reference" | "expert" | "length">;

/** Least logit of base and of expert with which a token takes part. */
export interface Floors {
  base: number;
  expert: number;
}

/** Where the kernel computes: `out` takes results, `fused` is a row that may be written over while loading. */
export interface Workspace {
  readonly wasm: KernelExports;
  out: Float64Array;
  fused: number;
}

/** Axes shorter than this are not split into head and tail: the whole is quick enough. */
const minLengthToSplit = 4096;
/** A token belongs to the tail if its share of the distribution is below this (ln) wherever α may be. */
const tailCutoff = -13;
/** More than this in the tail at an end, and every token counts instead. */
const maxTailShare = 0.02;
/** Weights up to exp(40), their products with d² and sums of sixteen such are far from float32's end. */
const maxLogWeight = 40;
/** Less than this in the tail at α = 0 is rounding: its mean and variance are not known there. */
const minTailShare = 1e-6;

/** The axis of one expert: the twin of makeAxis() and evaluate() in reference.ts, where the formulas are. */
export class SimdAxis {
  readonly rows: AxisRows;
  readonly floors: Floors | null;
  readonly target: Divergence;
  /** Over the tokens that take part. */
  readonly isConstant: boolean;
  /** ln Σ exp(b) over the tokens that take part. */
  readonly logBase: number;
  /** d = e − r − centre; E_P[d] is `residual`, as near to 0 as float32 comes. */
  readonly centre: number;
  readonly residual: number;
  readonly #memory: Workspace;
  readonly #logs: number;
  readonly #shifts: number;
  /** E_P[d²]. */
  readonly #secondMoment: number;
  #numGathered = 0;
  /** Every α is served when all tokens are gathered, α ∈ [0, high] with a tail, none before. */
  #gathered: "none" | "all" | { high: number; tail: Tail } = "none";
  /** In [0, high] no weight is above exp(maxLogWeight): a pivot of 0 will do. */
  #safeHigh = 0;
  #last: Moments & { alpha: number; pivot: number } = { alpha: NaN, pivot: 0, w: 0, wd: 0, wdd: 0 };

  /** `gathered`: two rows that stay the axis's own. */
  constructor(
    memory: Workspace,
    gathered: { logs: number; shifts: number },
    rows: AxisRows,
    floors: Floors | null,
  ) {
    this.#memory = memory;
    this.#logs = gathered.logs;
    this.#shifts = gathered.shifts;
    this.rows = rows;
    this.floors = floors;
    const { wasm, out } = memory;
    const { base, reference, expert, length, baseWeights, referenceWeights } = floors
      ? this.#select(rows, floors)
      : rows;
    const between = Math.fround(expert.best - reference.best);
    wasm.sumShift(
      ...[reference.at, expert.at, baseWeights.at, referenceWeights.at],
      ...[length, between, expert.best, out.byteOffset],
    );
    const [pd, pdd, qd, x, xd] = out as unknown as [number, number, number, number, number];
    const mean = pd / baseWeights.sum;
    const gain = Math.log(x / referenceWeights.sum) + expert.best - reference.best - between;
    const target = {
      forward: Math.max(0, xd / x - gain),
      reverse: Math.max(0, gain - qd / referenceWeights.sum),
    };
    this.centre = Math.fround(between + mean);
    const offset = this.centre - between;
    this.residual = mean - offset;
    this.#secondMoment = pdd / baseWeights.sum - offset * (2 * mean - offset);
    this.logBase = base.best + Math.log(baseWeights.sum);
    this.isConstant =
      Math.max(target.forward, target.reverse) < constantShiftTarget &&
      this.#isConstantOver({ base, reference, expert, length });
    this.target = this.isConstant ? { forward: 0, reverse: 0 } : target;
    if (floors) this.#gatherAll({ base, reference, expert, length });
  }

  /** Whether it moves no token at all: in a sum the tokens of other experts' sets take part, too. */
  get isStill(): boolean {
    return this.isConstant && (this.floors === null || this.#isConstantOver(this.rows));
  }

  #isConstantOver({ base, reference, expert, length }: WholeRows): boolean {
    const magnitude = expert.magnitude + reference.magnitude;
    const shared = [base.at, reference.at, expert.at, length, this.centre, magnitude];
    return this.#memory.wasm.isConstantShift(...shared, constantShiftResolution) !== 0;
  }

  /** Whether the sums of `evaluate` are over every token that takes part. */
  get isComplete(): boolean {
    return this.#gathered === "all";
  }

  focus(bounds: WeightBounds | null): void {
    if (this.isConstant || this.isComplete) return;
    const [low, high] = bounds ?? [-Infinity, Infinity];
    if (this.#covers(Math.min(low, 0)) && this.#covers(high)) return;
    const canSplit = low >= 0 && high > 0 && Number.isFinite(high) && this.rows.length >= minLengthToSplit;
    if (canSplit && this.#gatherHead(high)) return;
    this.#gatherAll(this.rows);
    if (high > 0 && Number.isFinite(high)) this.#setSafe(high);
  }

  evaluate(alpha: number): AxisPoint {
    if (this.isConstant) return { forward: 0, reverse: 0, forwardSlope: 0, reverseSlope: 0 };
    const { pivot, w, wd, wdd } = this.#sums(alpha);
    const mean = wd / w;
    const slope = mean - this.residual;
    const logNormalizer = pivot + Math.log(w) - alpha * this.residual;
    return {
      forward: Math.max(0, alpha * slope - logNormalizer),
      reverse: Math.max(0, logNormalizer),
      forwardSlope: alpha * Math.max(0, wdd / w - mean * mean),
      reverseSlope: slope,
    };
  }

  /** Copies the tokens that take part to the gathered and the fused row, and weighs them anew. */
  #select(rows: AxisRows, floors: Floors): AxisRows {
    const { wasm, out, fused } = this.#memory;
    const numSelected = wasm.select(
      ...[rows.base.at, rows.reference.at, rows.expert.at, rows.length, floors.base, floors.expert],
      ...[this.#logs, this.#shifts, fused],
    );
    const length = Math.ceil(numSelected / 16) * 16;
    const weigh = (at: number, row: Row, weights: number) => {
      wasm.scan(at, length, out.byteOffset);
      const best = out[0] as number;
      const sum = wasm.exponentiate(at, weights, length, best);
      return { row: { ...row, at, best }, weights: { at: weights, sum } };
    };
    const base = weigh(this.#logs, rows.base, rows.baseWeights.at);
    const reference = weigh(this.#shifts, rows.reference, rows.referenceWeights.at);
    return {
      base: base.row,
      reference: reference.row,
      expert: { ...rows.expert, at: fused },
      length,
      baseWeights: base.weights,
      referenceWeights: reference.weights,
    };
  }

  #covers(alpha: number): boolean {
    if (this.#gathered === "none" || this.#gathered === "all") return this.#gathered === "all";
    return alpha >= 0 && alpha <= this.#gathered.high;
  }

  #gatherAll({ base, reference, expert, length }: WholeRows) {
    this.#numGathered = this.#memory.wasm.gatherAll(
      ...[base.at, reference.at, expert.at, length, this.centre, this.logBase, this.#logs, this.#shifts],
    );
    this.#gathered = "all";
    this.#forget();
  }

  /** Says whether the tail turned out small; if not, nothing is gathered. */
  #gatherHead(high: number): boolean {
    const { wasm, out } = this.#memory;
    const { base, reference, expert, length } = this.rows;
    this.#numGathered = wasm.gatherHead(
      ...[base.at, reference.at, expert.at, length, this.centre, this.logBase, tailCutoff, high],
      ...[this.#logs, this.#shifts, out.byteOffset],
    );
    this.#forget();
    const [w, wd, wdd] = out as unknown as [number, number, number];
    const atHigh = { w, wd, wdd };
    // What is not in the head: the whole has weight 1, mean `residual` and the second moment that was summed.
    const head = this.#headSums(0);
    const scale = Math.exp(head.pivot);
    const atZero = {
      w: 1 - head.w * scale,
      wd: this.residual - head.wd * scale,
      wdd: this.#secondMoment - head.wdd * scale,
    };
    this.#setSafe(high);
    const headAtHigh = this.#headSums(high);
    const shareAtHigh = w / (w + headAtHigh.w * Math.exp(headAtHigh.pivot));
    this.#gathered = "none";
    const isKnown = atZero.w > minTailShare && w > 0;
    if (!isKnown || Math.max(atZero.w, shareAtHigh) > maxTailShare) return false;
    this.#gathered = { high, tail: new Tail(atZero, atHigh, high) };
    return true;
  }

  #forget(): void {
    this.#safeHigh = 0;
    this.#last.alpha = NaN;
  }

  /** The largest log-weight is convex in α and not above 0 at α = 0: what holds at the end holds between. */
  #setSafe(high: number): void {
    const largest = this.#memory.wasm.largestLog(this.#logs, this.#shifts, this.#numGathered, high);
    if (largest <= maxLogWeight) this.#safeHigh = high;
  }

  /** Σw, Σw·d, Σw·d² over head and tail, divided by exp(pivot). */
  #sums(alpha: number): Moments & { pivot: number } {
    if (!this.#covers(alpha)) this.#gatherAll(this.rows);
    const head = this.#headSums(alpha);
    if (typeof this.#gathered !== "object") return head;
    const tail = this.#gathered.tail.at(alpha, head.pivot);
    return { pivot: head.pivot, w: head.w + tail.w, wd: head.wd + tail.wd, wdd: head.wdd + tail.wdd };
  }

  /** The same over the gathered tokens; asked for twice at an end of the bounds, so the last one is kept. */
  #headSums(alpha: number): Moments & { pivot: number } {
    if (alpha === this.#last.alpha) return this.#last;
    const { wasm, out } = this.#memory;
    const gathered = [this.#logs, this.#shifts, this.#numGathered, alpha] as const;
    const pivot = alpha >= 0 && alpha <= this.#safeHigh ? 0 : wasm.largestLog(...gathered);
    wasm.sumWeighted(...gathered, pivot, out.byteOffset);
    const [w, wd, wdd] = out as unknown as [number, number, number];
    // The assembly took the float32 nearest to logBase from every logit.
    this.#last = { alpha, pivot: pivot + Math.fround(this.logBase) - this.logBase, w, wd, wdd };
    return this.#last;
  }
}
