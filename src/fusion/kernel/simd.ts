import { readFileSync } from "node:fs";
import { ShouldersError } from "../../errors.js";
import type {
  AxisPoint,
  Divergence,
  FusedRow,
  FusionKernel,
  LogitsRows,
  Plausibility,
  TokenLogprob,
} from "../types.js";
import {
  commonLength,
  constantShiftResolution,
  constantShiftTarget,
  findMasked,
  type KernelCapacity,
} from "./rows.js";
import { topOf } from "./top.js";

/** What assembly/index.ts exports. Pointers are byte offsets into `memory`; lengths count padded logits. */
interface KernelExports {
  memory: { readonly buffer: ArrayBuffer; grow(numPages: number): number };
  heapBase: () => number;
  scan: (row: number, length: number, out: number) => void;
  exponentiate: (row: number, weights: number, length: number, best: number) => number;
  sumExp: (row: number, length: number, best: number) => number;
  sumShift: (...numbers: number[]) => void;
  gather: (...numbers: number[]) => number;
  sumWeighted: (logs: number, shifts: number, length: number, alpha: number, out: number) => void;
  isConstantShift: (...numbers: number[]) => number;
  excludeAll: (shifts: number, length: number) => void;
  include: (...numbers: number[]) => void;
  addShift: (...numbers: number[]) => void;
  fuseRow: (...numbers: number[]) => void;
}

/** A row in WebAssembly memory: where it is, and its largest unmasked logit. */
interface Row {
  at: number;
  best: number;
}

/** The axis of expert t over S_t: see the reference kernel. `logs` and `shifts` are rows of gathered tokens. */
interface Axis {
  expert: Row;
  baseFloor: number;
  expertFloor: number;
  logs: number;
  shifts: number;
  numGathered: number | null;
  /** ln Σ exp(b) over S_t, and E_P[d] that was taken from the shifts. */
  logBase: number;
  centre: number;
  target: Divergence;
  isConstant: boolean;
  /** A and A′ at α = 0 as summed in float32: what the others are relative to. */
  origin: { logSum: number; mean: number };
}

/** Unmasked tokens take part whatever their logit. */
const noFloor = -Infinity;
/** A masked token of a reference's or expert's row: any logit that is clamped to the deepest. */
const maskedLogit = -3e38;
const padding = 16;

/** The part of the global WebAssembly that is used; Node's types have only a part, and the browser's are not ours. */
interface WebAssemblyApi {
  Module: new (bytes: Uint8Array) => object;
  Instance: new (module: object) => { exports: unknown };
}

const { Module, Instance } = (globalThis as unknown as { WebAssembly: WebAssemblyApi }).WebAssembly;
let compiled: object | undefined;

function instantiate(): KernelExports {
  const url = new URL("../../../dist/kernel.wasm", import.meta.url);
  try {
    compiled ??= new Module(readFileSync(url));
  } catch (cause) {
    throw new ShouldersError("internal", `Cannot load ${url.pathname}: run \`npm run build:kernel\` first.`, {
      cause,
    });
  }
  return new Instance(compiled).exports as KernelExports;
}

/**
 * Float32 rows in WebAssembly memory, four logits at a time, a polynomial exp, sums in float64. Memory is made
 * once for the capacity: base, reference, experts, two rows of weights, the fused row, and two rows an expert
 * of gathered tokens; (5 + 3·numExperts)·4·vocabularySize bytes in all.
 */
export class SimdKernel implements FusionKernel {
  readonly name = "simd";
  readonly #capacity: KernelCapacity;
  readonly #wasm: KernelExports;
  readonly #out: Float64Array;
  readonly #base: Row;
  readonly #reference: Row;
  readonly #expertRows: Row[];
  readonly #baseWeights: number;
  readonly #referenceWeights: number;
  readonly #fused: number;
  readonly #gathered: { logs: number; shifts: number }[];
  #length = 0;
  #paddedLength = 0;
  #hasReference = false;
  #axes: Axis[] = [];
  #fusedLogNormalizer = 0;

  constructor(capacity: KernelCapacity) {
    this.#capacity = capacity;
    this.#wasm = instantiate();
    let next = this.#wasm.heapBase();
    const reserve = (numBytes: number) => (next += numBytes) - numBytes;
    const out = reserve(64);
    const row = () => reserve(4 * padded(capacity.vocabularySize));
    const perExpert = <T>(make: () => T) => Array.from({ length: capacity.numExperts }, make);
    this.#base = { at: row(), best: 0 };
    this.#reference = { at: row(), best: 0 };
    this.#expertRows = perExpert(() => ({ at: row(), best: 0 }));
    this.#baseWeights = row();
    this.#referenceWeights = row();
    this.#fused = row();
    this.#gathered = perExpert(() => ({ logs: row(), shifts: row() }));
    const { memory } = this.#wasm;
    memory.grow(Math.max(0, Math.ceil((next - memory.buffer.byteLength) / 65536)));
    this.#out = new Float64Array(memory.buffer, out, 8);
  }

  load(rows: LogitsRows, plausibility: Plausibility | null): void {
    this.#length = commonLength(rows, this.#capacity);
    this.#paddedLength = padded(this.#length);
    this.#hasReference = rows.reference !== null;
    const experts = this.#expertRows.slice(0, rows.experts.length);
    const small = rows.reference ? [this.#reference, ...experts] : [];
    let isFinite = this.#copy(rows.base, this.#base);
    small.forEach((row, index) => {
      isFinite =
        this.#copy((index === 0 ? rows.reference : rows.experts[index - 1]) as Float32Array, row) && isFinite;
    });
    if (!isFinite) this.#mask(findMasked(rows, this.#length), small);
    this.#maskPadding(small);

    this.#axes = [];
    if (!rows.reference) return;
    const { exponentiate } = this.#wasm;
    exponentiate(this.#base.at, this.#baseWeights, this.#paddedLength, this.#base.best);
    exponentiate(this.#reference.at, this.#referenceWeights, this.#paddedLength, this.#reference.best);
    this.#axes = experts.map((expert, t) => this.#makeAxis(t, expert, plausibility));
  }

  targets(): Divergence[] {
    return this.#axes.map((axis) => axis.target);
  }

  focus(): void {
    // Every token counts for now.
  }

  evaluate(expert: number, alpha: number): AxisPoint {
    const axis = this.#axes[expert] as Axis;
    if (axis.isConstant) return { forward: 0, reverse: 0, forwardSlope: 0, reverseSlope: 0 };
    if (axis.numGathered === null) this.#gather(axis);
    const { logSum, mean, variance } = this.#sums(axis, alpha);
    // E_P[d] = 0 and A(0) = 0 hold to rounding only; made exact, so that small divergences stay exact too.
    const logNormalizer = logSum - axis.origin.logSum - alpha * axis.origin.mean;
    const slope = mean - axis.origin.mean;
    return {
      forward: Math.max(0, alpha * slope - logNormalizer),
      reverse: Math.max(0, logNormalizer),
      forwardSlope: alpha * variance,
      reverseSlope: slope,
    };
  }

  fuse(weights: readonly number[]): { row: FusedRow; divergence: Divergence } {
    const moving = this.#axes.filter((_, t) => (weights[t] ?? 0) !== 0);
    const sets = moving.length > 0 ? moving : this.#axes;
    const { include, addShift, fuseRow, excludeAll } = this.#wasm;
    const length = this.#paddedLength;
    excludeAll(this.#fused, length);
    if (this.#axes.length === 0) include(this.#fused, this.#base.at, this.#base.at, length, noFloor, noFloor);
    for (const { expert, baseFloor, expertFloor } of sets)
      include(this.#fused, this.#base.at, expert.at, length, baseFloor, expertFloor);
    this.#axes.forEach(({ expert, centre, isConstant }, t) => {
      const weight = weights[t] ?? 0;
      if (weight === 0 || isConstant) return;
      addShift(
        this.#fused,
        this.#reference.at,
        expert.at,
        length,
        this.#reference.best,
        expert.best,
        centre,
        weight,
      );
    });
    fuseRow(this.#fused, this.#base.at, this.#baseWeights, length, this.#base.best, this.#out.byteOffset);
    const [pivot, w, ws, p, ps] = this.#out as unknown as [number, number, number, number, number];
    const logFused = pivot + Math.log(w);
    const gain = logFused - Math.log(p);
    this.#fusedLogNormalizer = this.#base.best + logFused;
    return {
      row: { logits: this.#view(this.#fused), logNormalizer: this.#fusedLogNormalizer },
      divergence: { forward: Math.max(0, ws / w - gain), reverse: Math.max(0, gain - ps / p) },
    };
  }

  top(of: "base" | "reference" | "fused" | { expert: number }, k: number): TokenLogprob[] {
    if (of === "fused") return topOf(this.#view(this.#fused), k, this.#fusedLogNormalizer);
    const small =
      of === "reference"
        ? this.#hasReference && this.#reference
        : of !== "base" && this.#axes[of.expert]?.expert;
    const row = of === "base" ? this.#base : small;
    if (!row) return [];
    const base = this.#view(this.#base.at);
    const logNormalizer = row.best + Math.log(this.#wasm.sumExp(row.at, this.#paddedLength, row.best));
    return topOf(this.#view(row.at), k, logNormalizer, (token) => base[token] === -Infinity);
  }

  /** Copies and scans a row; says whether all of it is finite. */
  #copy(logits: Float32Array, row: Row): boolean {
    const target = new Float32Array(this.#wasm.memory.buffer, row.at, this.#paddedLength);
    target.set(logits.length === this.#length ? logits : logits.subarray(0, this.#length));
    target.fill(logits[0] as number, this.#length);
    this.#wasm.scan(row.at, this.#paddedLength, this.#out.byteOffset);
    row.best = this.#out[0] as number;
    return this.#out[1] === 0;
  }

  #mask(tokens: readonly number[], small: readonly Row[]): void {
    const set = (row: Row, logit: number) => {
      const logits = this.#view(row.at);
      for (const token of tokens) logits[token] = logit;
      row.best = logits.reduce((best, value) => Math.max(best, value), -Infinity);
    };
    set(this.#base, -Infinity);
    for (const row of small) set(row, maskedLogit);
  }

  #maskPadding(small: readonly Row[]): void {
    const fill = (row: Row, logit: number) =>
      new Float32Array(this.#wasm.memory.buffer, row.at, this.#paddedLength).fill(logit, this.#length);
    fill(this.#base, -Infinity);
    for (const row of small) fill(row, maskedLogit);
  }

  #view(row: number): Float32Array {
    return new Float32Array(this.#wasm.memory.buffer, row, this.#length);
  }

  /** Pointers, bests and floors that the assembly's functions over an axis begin with. */
  #axisRows({ expert, baseFloor, expertFloor }: Pick<Axis, "expert" | "baseFloor" | "expertFloor">) {
    const [base, reference] = [this.#base, this.#reference];
    return {
      rows: [base.at, reference.at, expert.at],
      rest: [this.#paddedLength, reference.best, expert.best, baseFloor, expertFloor],
    };
  }

  #makeAxis(t: number, expert: Row, plausibility: Plausibility | null): Axis {
    const floor = plausibility ? Math.log(plausibility.ratio) : noFloor;
    const floors = {
      baseFloor: plausibility?.of === "expert" ? Infinity : this.#base.best + floor,
      expertFloor: expert.best + floor,
    };
    const { rows, rest } = this.#axisRows({ expert, ...floors });
    this.#wasm.sumShift(...rows, this.#baseWeights, this.#referenceWeights, ...rest, this.#out.byteOffset);
    const [p, pd, q, qd, x, xd] = this.#out as unknown as [number, number, number, number, number, number];
    const gain = Math.log(x) - Math.log(q);
    const target = { forward: Math.max(0, xd / x - gain), reverse: Math.max(0, gain - qd / q) };
    const centre = pd / p;
    const isConstant =
      Math.max(target.forward, target.reverse) < constantShiftTarget &&
      this.#wasm.isConstantShift(...rows, ...rest, centre, constantShiftResolution) !== 0;
    return {
      expert,
      ...floors,
      ...(this.#gathered[t] as { logs: number; shifts: number }),
      numGathered: null,
      logBase: this.#base.best + Math.log(p),
      centre,
      target: isConstant ? { forward: 0, reverse: 0 } : target,
      isConstant,
      origin: { logSum: 0, mean: 0 },
    };
  }

  #gather(axis: Axis): void {
    const { rows, rest } = this.#axisRows(axis);
    axis.numGathered = this.#wasm.gather(...rows, ...rest, axis.logBase, axis.centre, axis.logs, axis.shifts);
    const { logSum, mean } = this.#sums(axis, 0);
    axis.origin = { logSum, mean };
  }

  /** ln Σ exp(l + αd), and mean and variance of d, over the gathered tokens. */
  #sums(axis: Axis, alpha: number): { logSum: number; mean: number; variance: number } {
    this.#wasm.sumWeighted(axis.logs, axis.shifts, axis.numGathered as number, alpha, this.#out.byteOffset);
    const [pivot, w, wd, wdd] = this.#out as unknown as [number, number, number, number];
    const mean = wd / w;
    return { logSum: pivot + Math.log(w), mean, variance: Math.max(0, wdd / w - mean * mean) };
  }
}

function padded(length: number): number {
  return Math.ceil(length / padding) * padding;
}
