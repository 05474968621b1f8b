import { FusedRow, type RowSource } from "../fused-row.js";
import { invariant } from "../../errors.js";
import type {
  AxisPoint,
  Divergence,
  FusionKernel,
  LogitsRows,
  Plausibility,
  RowRest,
  TokenLogprob,
  WeightBounds,
} from "../types.js";
import {
  commonLength,
  deepestLogit,
  findMasked,
  padded,
  soleMargin,
  sureProbability,
  type KernelCapacity,
} from "./rows.js";
import { SimdAxis, type AxisRows, type Floors, type Row, type Workspace } from "./simd-axis.js";
import { copyRow, levelRow, maskRow } from "./simd-rows.js";
import { SimdMixture } from "./simd-mixture.js";
import { unknownShare } from "./simd-rest.js";
import { type Rows, SparseRows } from "./simd-sparse.js";
import { topOf } from "./top.js";
import { Arena, instantiate, kernelBuilds, type KernelBuild } from "./wasm.js";

/** Differences e − r lose no digits as long as the rows are about as high as each other; else both are moved. */
const maxOffset = 16;

/**
 * Float32 rows in WebAssembly memory, four logits at a time, a polynomial exp, sums in float64. Memory is made
 * once for the capacity: base, reference, experts, two rows of weights, the fused row, and two rows an expert
 * of gathered tokens; (5 + 3·numExperts)·4·vocabularySize bytes in all. A mixture adds a row a component, once
 * there is one. Where experts' rows fix a small set of tokens, these are gathered and only they are looked at after
 * that; of the whole base's row its sum alone.
 */
export class SimdKernel implements FusionKernel {
  readonly name = "simd";
  readonly #capacity: KernelCapacity;
  readonly #memory: Workspace;
  readonly #base: Row;
  readonly #reference: Row;
  readonly #experts: Row[];
  readonly #baseWeights: { at: number; sum: number };
  readonly #referenceWeights: { at: number; sum: number };
  readonly #mixture: SimdMixture;
  readonly #gathered: { logs: number; shifts: number }[];
  readonly #sparse: SparseRows;
  /** What the axes are made of: the rows that were loaded, or of these the tokens that take part. */
  #rows: Rows;
  /** Whether experts' rows alone say which tokens take part, by expert. */
  #areAlone: boolean[] = [];
  /** The row that was fused last is of few tokens. */
  #isFusedSparse = false;
  #length = 0;
  #axes: SimdAxis[] = [];
  #hasReference = false;
  #rest: RowRest | null = null;
  /** ln of the ratio of the plausible sets. */
  #floor = -Infinity;
  /** The base's weights are those of all its tokens. */
  #isBaseWeighed = false;
  /** ln Σ exp(b) over the tokens that no row masks; null until asked for. */
  #logBase: number | null = null;
  /** The normalizer of the row fused last, and over its tokens ln Σ exp(b). */
  #logNormalizer = 0;
  #logPlausible = 0;
  #isMixed = false;
  readonly #last: RowSource = {
    epoch: 0,
    top: (k) =>
      this.#isFusedSparse
        ? this.#sparse.top(k, this.#logNormalizer)
        : this.#topOf(this.#memory.fused, k, this.#logNormalizer),
    mass: () => {
      invariant(!this.#isMixed, "a mixture has no plausible set");
      return this.#massOf(this.#logPlausible);
    },
    componentLogprobs: (token) => (this.#isMixed ? this.#mixture.logprobs(token) : []),
  };

  constructor(capacity: KernelCapacity, build = kernelBuilds()[0] as KernelBuild) {
    this.#capacity = capacity;
    const wasm = instantiate(build);
    const arena = new Arena(wasm);
    const out = arena.reserve(64);
    const rowBytes = 4 * padded(capacity.vocabularySize);
    const reserve = () => arena.reserve(rowBytes);
    const makeRow = (): Row => ({ at: reserve(), best: 0, magnitude: 0 });
    const perExpert = <T>(make: () => T) => Array.from({ length: capacity.numExperts }, make);
    this.#base = makeRow();
    this.#reference = makeRow();
    this.#experts = perExpert(makeRow);
    this.#baseWeights = { at: reserve(), sum: 0 };
    this.#referenceWeights = { at: reserve(), sum: 0 };
    const fused = reserve();
    this.#gathered = perExpert(() => ({ logs: reserve(), shifts: reserve() }));
    this.#sparse = new SparseRows(wasm, arena, capacity);
    arena.commit();
    this.#rows = { base: this.#base, reference: this.#reference, experts: [], length: 0 };
    this.#memory = { wasm, out: new Float64Array(wasm.memory.buffer, out, 8), fused };
    this.#mixture = new SimdMixture(this.#memory, arena, rowBytes);
  }

  load(rows: LogitsRows, plausibility: Plausibility | null): void {
    this.#last.epoch++;
    this.#length = commonLength(rows, this.#capacity);
    this.#hasReference = rows.reference !== null;
    this.#rest = rows.rest ?? null;
    this.#floor = plausibility ? Math.log(plausibility.ratio) : -Infinity;
    const experts = this.#experts.slice(0, rows.experts.length);
    const pairs: [Row, Float32Array][] = [[this.#base, rows.base]];
    if (rows.reference) pairs.push([this.#reference, rows.reference]);
    experts.forEach((row, t) => pairs.push([row, rows.experts[t] as Float32Array]));
    const numFinite = pairs.filter(([row, logits]) => this.#copy(row, logits)).length;
    const view = (row: Row) => this.#view(row.at, padded(this.#length));
    if (numFinite < pairs.length)
      for (const [row] of pairs)
        maskRow(row, this.#view(row.at), {
          tokens: findMasked(rows, this.#length),
          isBase: row === this.#base,
        });
    for (const [row] of pairs) {
      const padding = row === this.#base ? -Infinity : row.best + deepestLogit;
      this.#view(row.at, padded(this.#length)).fill(padding, this.#length);
    }
    const isApart = experts.some((row) => Math.abs(row.best - this.#reference.best) > maxOffset);
    this.#areAlone = experts.map((row) => plausibility !== null && this.#isAlone(row, plausibility));
    const length = padded(this.#length);
    const whole: Rows = { base: this.#base, reference: this.#reference, experts, length };
    const isFixed = numFinite === pairs.length && experts.length > 0 && this.#areAlone.every(Boolean);
    const sparse = isFixed ? this.#sparse.gather(whole, plausibility?.ratio ?? 0, isApart) : null;
    if (sparse === null && isApart) for (const row of [this.#reference, ...experts]) levelRow(row, view(row));
    this.#rows = sparse ?? whole;

    this.#isBaseWeighed = !plausibility || experts.length === 0;
    this.#logBase = null;
    if (this.#isBaseWeighed) this.#weigh(this.#base, this.#baseWeights);
    if (!plausibility && experts.length > 0) this.#weigh(this.#reference, this.#referenceWeights);
    this.#axes = this.#rows.experts.map((expert, t) => this.#makeAxis(expert, t, plausibility));
  }

  #isAlone(expert: Row, { of }: Plausibility): boolean {
    const isSure = () => this.#logSum(expert) - expert.best <= -Math.log(sureProbability);
    return of === "expert" || (of === "gated" && isSure());
  }

  targets(): Divergence[] {
    return this.#axes.map((axis) => axis.target);
  }

  focus(expert: number, bounds: WeightBounds | null): void {
    (this.#axes[expert] as SimdAxis).focus(bounds);
  }

  evaluate(expert: number, alpha: number): AxisPoint {
    return (this.#axes[expert] as SimdAxis).evaluate(alpha);
  }

  fuse(weights: readonly number[] | null): { row: FusedRow; divergence: Divergence } {
    const weighed = weights ? this.#axes.filter((_, t) => (weights[t] ?? 0) !== 0) : [];
    const [only] = weighed;
    let divergence: Divergence;
    if (!weights || (weighed.length === 0 && this.#axes.every((axis) => !axis.floors)))
      divergence = this.#fuseNone();
    else if (weighed.length === 1 && only)
      divergence = this.#fuseOne(only, weights[this.#axes.indexOf(only)] as number);
    else divergence = this.#fuseSeveral(weighed.length > 0 ? weighed : this.#axes, weights);
    this.#isFusedSparse = this.#rows.base !== this.#base && weights !== null;
    if (this.#isFusedSparse) this.#sparse.scatter(this.#memory.fused, padded(this.#length));
    return { row: this.#issue(false), divergence };
  }

  unknownShare(weights: readonly number[] | null): number {
    if (this.#rest === null) return 0;
    return unknownShare(this.#rest, weights, {
      ...{ base: this.#base, reference: this.#hasReference ? this.#reference : null, experts: this.#experts },
      axes: this.#axes.map(({ isStill }, t) => ({ isStill, isAlone: this.#areAlone[t] ?? false })),
      floor: this.#floor,
      view: ({ at }) => this.#view(at),
      nextAbove: this.#memory.wasm.nextAbove,
    });
  }

  plausibleMass(expert: number): number {
    return this.#massOf((this.#axes[expert] as SimdAxis).logBase);
  }

  #massOf(logPlausible: number): number {
    return Math.min(0, logPlausible - this.#logSum(this.#base));
  }

  mixStart(numComponents: number): void {
    this.#last.epoch++;
    this.#mixture.start(numComponents);
  }

  mixAdd(share: number): void {
    this.#last.epoch++;
    this.#mixture.add(share, this.#logNormalizer, this.#length);
  }

  mixFinish(): { row: FusedRow; divergence: Divergence } {
    const { logNormalizer, divergence } = this.#mixture.finish(this.#base, this.#length);
    this.#isFusedSparse = false;
    this.#logNormalizer = logNormalizer;
    return { row: this.#issue(true), divergence };
  }

  soleToken(expert: Float32Array, { ratio, of }: Plausibility): number | null {
    if (of === "joint") return null;
    this.#last.epoch++;
    const row = this.#experts[0] as Row;
    this.#length = expert.length;
    if (!this.#copy(row, expert)) return null;
    this.#view(row.at, padded(this.#length)).fill(row.best + deepestLogit, this.#length);
    const least = row.best + Math.log(ratio) - soleMargin * (1 + Math.abs(row.best));
    const { wasm } = this.#memory;
    const token = wasm.nextAbove(row.at, 0, this.#length, least);
    if (wasm.nextAbove(row.at, token + 1, this.#length, least) < this.#length) return null;
    const isSure = () => row.best - this.#logSum(row) >= Math.log(sureProbability) + soleMargin;
    return of === "expert" || isSure() ? token : null;
  }

  top(of: "base" | "reference" | { expert: number }, k: number): TokenLogprob[] {
    if (of === "reference" && !this.#hasReference) return [];
    const row = of === "base" ? this.#base : of === "reference" ? this.#reference : this.#experts[of.expert];
    if (!row || (typeof of === "object" && of.expert >= this.#axes.length)) return [];
    return this.#topOf(row.at, k, this.#logSum(row));
  }

  #topOf(row: number, k: number, logNormalizer: number): TokenLogprob[] {
    const { wasm } = this.#memory;
    const base = this.#view(this.#base.at);
    return topOf(this.#view(row), k, logNormalizer, {
      isExcluded: (token) => base[token] === -Infinity,
      nextAbove: (from, least) => wasm.nextAbove(row, from, this.#length, least),
    });
  }

  /** A handle on the row that was just written. */
  #issue(isMixed: boolean): FusedRow {
    this.#isMixed = isMixed;
    this.#last.epoch++;
    return new FusedRow(this.#last, this.#view(this.#memory.fused), this.#logNormalizer);
  }

  /** Log of the sum of a loaded row's exponentials. */
  #logSum(row: Row): number {
    // The row of weights of the reference serves only while rows are loaded.
    const at = this.#referenceWeights.at;
    const sum = () => this.#memory.wasm.exponentiate(row.at, at, padded(this.#length), row.best);
    if (row !== this.#base) return row.best + Math.log(sum());
    this.#logBase ??= row.best + Math.log(this.#isBaseWeighed ? this.#baseWeights.sum : sum());
    return this.#logBase;
  }

  /** Copies and scans a row; says whether all of it is finite. */
  #copy(row: Row, logits: Float32Array): boolean {
    return copyRow(this.#memory, row, { logits, length: this.#length });
  }

  #weigh(row: Row, weights: { at: number; sum: number }): void {
    weights.sum = this.#memory.wasm.exponentiate(row.at, weights.at, padded(this.#length), row.best);
  }

  #makeAxis(expert: Row, t: number, plausibility: Plausibility | null): SimdAxis {
    const { base, reference, length } = this.#rows;
    const rows: AxisRows = {
      ...{ base, reference, expert, length },
      baseWeights: this.#baseWeights,
      referenceWeights: this.#referenceWeights,
    };
    const floor = Math.log(plausibility?.ratio ?? 0);
    const floors: Floors | null = plausibility && {
      base: this.#areAlone[t] ? Infinity : base.best + floor,
      expert: expert.best + floor,
    };
    return new SimdAxis(this.#memory, this.#gathered[t] as { logs: number; shifts: number }, rows, floors);
  }

  /** The base's logits as they are. */
  #fuseNone(): Divergence {
    const length = padded(this.#length);
    this.#view(this.#memory.fused, length).set(this.#view(this.#base.at, length));
    this.#logNormalizer = this.#logPlausible = this.#logSum(this.#base);
    return { forward: 0, reverse: 0 };
  }

  /** One expert moves: the sums are those of its axis if that has them over every token, or else made with the row. */
  #fuseOne(axis: SimdAxis, weight: number): Divergence {
    const { wasm, out, fused } = this.#memory;
    const { base, reference, expert, length } = axis.rows;
    const alpha = axis.isConstant ? 0 : weight;
    const point = axis.evaluate(alpha);
    this.#logPlausible = axis.logBase;
    const shared = [fused, base.at, reference.at, expert.at, length, axis.centre, alpha];
    if (axis.isComplete || axis.isConstant) {
      wasm.shiftRow(...shared, axis.floors?.base ?? -Infinity, axis.floors?.expert ?? -Infinity);
      this.#logNormalizer = axis.logBase + point.reverse + alpha * axis.residual;
      return { forward: point.forward, reverse: point.reverse };
    }
    const pivot = Math.fround(axis.logBase + point.reverse);
    wasm.fuseAxis(...shared, pivot, out.byteOffset);
    const [w, wd] = out as unknown as [number, number];
    this.#logNormalizer = pivot + Math.log(w);
    const logNormalizer = this.#logNormalizer - axis.logBase - alpha * axis.residual;
    const mean = wd / w - axis.residual;
    return { forward: Math.max(0, alpha * mean - logNormalizer), reverse: Math.max(0, logNormalizer) };
  }

  #fuseSeveral(sets: readonly SimdAxis[], weights: readonly number[]): Divergence {
    const { wasm, out, fused } = this.#memory;
    const { base, length } = this.#rows;
    wasm.excludeAll(fused, length);
    for (const { rows, floors } of sets)
      wasm.include(
        fused,
        base.at,
        rows.expert.at,
        length,
        floors?.base ?? -Infinity,
        floors?.expert ?? -Infinity,
      );
    this.#axes.forEach((axis, t) => {
      const weight = weights[t] ?? 0;
      if (weight === 0 || axis.isStill) return;
      const { rows, centre } = axis;
      wasm.addShift(fused, rows.reference.at, rows.expert.at, length, centre, weight);
    });
    // The best token may be outside of a set, and so far above it that weights relative to it would be 0.
    const isBounded = sets.some(({ floors }) => floors !== null);
    const best = isBounded ? wasm.largestIncluded(fused, base.at, length) : base.best;
    wasm.fuseRow(fused, base.at, length, best, out.byteOffset);
    const [pivot, w, ws, p, ps] = out as unknown as [number, number, number, number, number];
    const gain = pivot + Math.log(w / p);
    this.#logPlausible = best + Math.log(p);
    this.#logNormalizer = best + pivot + Math.log(w);
    return { forward: Math.max(0, ws / w - gain), reverse: Math.max(0, gain - ps / p) };
  }

  #view(row: number, length = this.#length): Float32Array {
    return new Float32Array(this.#memory.wasm.memory.buffer, row, length);
  }
}
