import { FusedRow, type RowSource } from "../fused-row.js";
import type {
  AxisPoint,
  Divergence,
  FusionKernel,
  LogitsRows,
  Plausibility,
  RowRest,
  TokenLogprob,
} from "../types.js";
import {
  checkComponents,
  commonLength,
  constantShiftResolution,
  constantShiftTarget,
  deepestLogit,
  findMasked,
  soleMargin,
  sureProbability,
  type KernelCapacity,
} from "./rows.js";
import { mostTail, tailShare } from "./rest.js";
import { topOf } from "./top.js";

/** A loaded row: logits [V], and the best of them among the tokens that are not masked. */
interface Row {
  logits: Float32Array;
  best: number;
}

/** The axis of expert t. `tokens` is S_t; numbers over tokens are [V] and hold only where the token takes part. */
interface Axis {
  tokens: readonly number[];
  /** Whether a token would take part if the base's logit of it were this. */
  takesPart: (token: number, baseLogit: number) => boolean;
  /** ln P_i, renormalised over S_t. */
  logBase: Float64Array;
  /** d_t,i − E_P[d_t]. */
  shift: Float64Array;
  target: Divergence;
}

/** A part of the mixture: ln P_c(i) [V], −Infinity where P_c excludes i. */
interface Component {
  share: number;
  logprobs: Float64Array;
}

/** The scalar twin: float64, one formula a line, no care for speed. docs/fusion.md has the source of each formula. */
export class ReferenceKernel implements FusionKernel {
  readonly name = "reference";
  readonly #capacity: KernelCapacity;
  #tokens: number[] = [];
  #base: Row = { logits: new Float32Array(0), best: 0 };
  #reference: Row | null = null;
  #experts: Row[] = [];
  #axes: Axis[] = [];
  #rest: RowRest | null = null;
  #fused = { logits: new Float32Array(0), logNormalizer: 0 };
  #components: Component[] = [];
  #isMixed = false;
  readonly #last: RowSource = {
    epoch: 0,
    top: (k) => topOf(this.#fused.logits, k, this.#fused.logNormalizer),
    mass: () => {
      const { logits } = this.#fused;
      return this.#massOf(this.#tokens.filter((i) => at(logits, i) > -Infinity));
    },
    componentLogprobs: (token) =>
      this.#isMixed ? this.#components.map(({ logprobs }) => at(logprobs, token)) : [],
  };

  constructor(capacity: KernelCapacity) {
    this.#capacity = capacity;
  }

  load(rows: LogitsRows, plausibility: Plausibility | null): void {
    this.#last.epoch++;
    const length = commonLength(rows, this.#capacity);
    const masked = new Set(findMasked(rows, length));
    this.#tokens = Array.from({ length }, (_, token) => token).filter((token) => !masked.has(token));
    const load = (logits: Float32Array) => ({
      logits: logits.slice(0, length),
      best: this.#tokens.reduce((best, i) => Math.max(best, at(logits, i)), -Infinity),
    });
    this.#base = load(rows.base);
    this.#rest = rows.rest ?? null;
    this.#reference = rows.reference && load(rows.reference);
    this.#experts = rows.experts.map(load);
    this.#axes = this.#experts.map((expert) =>
      makeAxis(this.#tokens, this.#base, this.#reference, expert, plausibility),
    );
    this.#fused = { logits: new Float32Array(length).fill(-Infinity), logNormalizer: 0 };
  }

  targets(): Divergence[] {
    return this.#axes.map((axis) => axis.target);
  }

  focus(): void {
    // Every token counts here.
  }

  evaluate(expert: number, alpha: number): AxisPoint {
    const { tokens, logBase, shift } = this.#axes[expert] as Axis;
    // P̃_i = exp(ln P_i + α d_i − A), A(α) = ln Σ_i P_i exp(α d_i)
    const logWeight = (i: number) => at(logBase, i) + alpha * at(shift, i);
    const logNormalizer = logSumExp(tokens, logWeight);
    const probability = (i: number) => Math.exp(logWeight(i) - logNormalizer);
    const mean = sum(tokens, (i) => probability(i) * at(shift, i));
    const variance = sum(tokens, (i) => probability(i) * (at(shift, i) - mean) ** 2);
    return {
      forward: Math.max(0, alpha * mean - logNormalizer), // F = αA′ − A
      reverse: Math.max(0, logNormalizer), // R = A, since E_P[d] = 0
      forwardSlope: alpha * variance, // F′ = αA″
      reverseSlope: mean, // R′ = A′
    };
  }

  fuse(weights: readonly number[] | null): { row: FusedRow; divergence: Divergence } {
    const used = this.#used(weights);
    const union = new Set(used.flatMap((axis) => axis.tokens));
    const tokens = used.length === 0 ? this.#tokens : this.#tokens.filter((i) => union.has(i));

    const base = this.#base.logits;
    const shift = (i: number) =>
      this.#axes.reduce((total, axis, t) => total + weightOf(weights, t) * at(axis.shift, i), 0);
    const shifts = new Float64Array(base.length).map((_, i) => shift(i));
    const fused = (i: number) => at(base, i) + at(shifts, i);
    const logBase = logSumExp(tokens, (i) => at(base, i));
    const logFused = logSumExp(tokens, fused);
    // s = Σ_t α_t d_t: F = KL(P̃‖P) = E_P̃[s] − A, R = KL(P‖P̃) = A − E_P[s], A = ln Σ P exp(s)
    const gain = logFused - logBase;
    const forward = sum(tokens, (i) => Math.exp(fused(i) - logFused) * at(shifts, i)) - gain;
    const reverse = gain - sum(tokens, (i) => Math.exp(at(base, i) - logBase) * at(shifts, i));

    const { logits } = this.#fused;
    logits.fill(-Infinity);
    for (const i of tokens) logits[i] = fused(i);
    this.#fused.logNormalizer = logSumExp(tokens, (i) => at(logits, i));
    return {
      row: this.#issue(false),
      divergence: { forward: Math.max(0, forward), reverse: Math.max(0, reverse) },
    };
  }

  /** The axes whose sets make up the row's. */
  #used(weights: readonly number[] | null): readonly Axis[] {
    if (weights === null) return [];
    const weighed = this.#axes.filter((_, t) => weightOf(weights, t) !== 0);
    return weighed.length > 0 ? weighed : this.#axes;
  }

  unknownShare(weights: readonly number[] | null): number {
    const rest = this.#rest;
    if (rest === null) return 0;
    const used = this.#used(weights);
    const takesPart = (i: number, baseLogit: number) =>
      used.length === 0 || used.some((axis) => axis.takesPart(i, baseLogit));
    const base = this.#base.logits;
    const shift = (i: number) =>
      this.#axes.reduce((total, axis, t) => total + weightOf(weights, t) * at(axis.shift, i), 0);
    const known = this.#tokens.filter((i) => rest.known.has(i) && takesPart(i, at(base, i)));
    const open = this.#tokens.filter((i) => !rest.known.has(i) && takesPart(i, rest.cap));
    if (open.length === 0) return 0;
    // The only token of a set has all of the law, whatever the base gives it.
    if (known.length === 0) return open.length === 1 ? 0 : 1;
    const logKnown = logSumExp(known, (i) => at(base, i) + shift(i));
    return tailShare(mostTail(Float64Array.from(open, shift), rest), logKnown);
  }

  plausibleMass(expert: number): number {
    return this.#massOf((this.#axes[expert] as Axis).tokens);
  }

  #massOf(tokens: readonly number[]): number {
    const b = (i: number) => at(this.#base.logits, i);
    return Math.min(0, logSumExp(tokens, b) - logSumExp(this.#tokens, b));
  }

  mixStart(): void {
    this.#last.epoch++;
    this.#components = [];
  }

  mixAdd(share: number): void {
    this.#last.epoch++;
    const { logits, logNormalizer } = this.#fused;
    this.#components.push({ share, logprobs: Float64Array.from(logits, (logit) => logit - logNormalizer) });
  }

  mixFinish(): { row: FusedRow; divergence: Divergence } {
    const { logits } = this.#fused;
    checkComponents(
      [...this.#components.map(({ logprobs }) => logprobs.length), logits.length],
      this.#components.map(({ share }) => share),
    );
    const components = this.#components.filter(({ share }) => share > 0);
    const total = components.reduce((shares, { share }) => shares + share, 0);
    // ln M_i = ln Σ_c π_c P_c,i
    const logMixed = (i: number) => {
      const terms = components.map(({ share, logprobs }) => Math.log(share / total) + at(logprobs, i));
      return Math.max(...terms) === -Infinity
        ? -Infinity
        : logSumExp([...terms.keys()], (c) => terms[c] as number);
    };
    for (const i of logits.keys()) logits[i] = logMixed(i);
    this.#fused.logNormalizer = 0;

    const base = this.#base.logits;
    const logBase = logSumExp(this.#tokens, (i) => at(base, i));
    const unmasked = new Set(this.#tokens);
    const p = (i: number) => (unmasked.has(i) ? at(base, i) - logBase : -Infinity);
    const m = (i: number) => at(logits, i);
    return {
      row: this.#issue(true),
      divergence: { forward: divergence(logits, m, p), reverse: divergence(logits, p, m) },
    };
  }

  soleToken(expert: Float32Array, { ratio, of }: Plausibility): number | null {
    this.#last.epoch++;
    if (of === "joint" || !expert.every(Number.isFinite)) return null;
    const tokens = [...expert.keys()];
    const best = tokens.reduce((most, i) => Math.max(most, at(expert, i)), -Infinity);
    const certainty = best - logSumExp(tokens, (i) => at(expert, i));
    if (of === "gated" && certainty < Math.log(sureProbability) + soleMargin) return null;
    const floor = best + Math.log(ratio) - soleMargin * (1 + Math.abs(best));
    const plausible = tokens.filter((i) => at(expert, i) > floor);
    return plausible.length === 1 ? (plausible[0] as number) : null;
  }

  /** A handle on the row that was just written. */
  #issue(isMixed: boolean): FusedRow {
    this.#isMixed = isMixed;
    this.#last.epoch++;
    return new FusedRow(this.#last, this.#fused.logits, this.#fused.logNormalizer);
  }

  top(of: "base" | "reference" | { expert: number }, k: number): TokenLogprob[] {
    const row = of === "base" ? this.#base : of === "reference" ? this.#reference : this.#experts[of.expert];
    if (!row) return [];
    const tokens = new Set(this.#tokens);
    const logNormalizer = logSumExp(this.#tokens, (i) => at(row.logits, i));
    return topOf(row.logits, k, logNormalizer, { isExcluded: (token) => !tokens.has(token) });
  }
}

/** Logit of a token relative to its row's best. */
function relative({ logits, best }: Row, token: number): number {
  return Math.max(at(logits, token) - best, deepestLogit);
}

function makeAxis(
  unmasked: readonly number[],
  base: Row,
  reference: Row | null,
  expert: Row,
  plausibility: Plausibility | null,
): Axis {
  const small = reference as Row; // commonLength() has seen to it
  const floor = plausibility ? Math.log(plausibility.ratio) : -Infinity;
  const isSure = () =>
    logSumExp(unmasked, (i) => at(expert.logits, i)) - expert.best <= -Math.log(sureProbability);
  const isExpertAlone = plausibility?.of === "expert" || (plausibility?.of === "gated" && isSure());
  // i ∈ S_t ⇔ max_j(x_j) + ln ratio ≤ x_i for the expert's row x, or (joint) for the base's
  const takesPart = (i: number, baseLogit: number) =>
    at(expert.logits, i) >= expert.best + floor || (!isExpertAlone && baseLogit >= base.best + floor);
  const tokens = unmasked.filter((i) => takesPart(i, at(base.logits, i)));

  const logSoftmax = (row: Row) => {
    const logNormalizer = logSumExp(tokens, (i) => relative(row, i));
    return new Float64Array(row.logits.length).map((_, i) => relative(row, i) - logNormalizer);
  };
  const [logBase, logReference, logExpert] = [logSoftmax(base), logSoftmax(small), logSoftmax(expert)];
  const shift = logExpert.map((value, i) => value - at(logReference, i));
  // F_t = Σ Q_t ln(Q_t / Q), R_t = Σ Q ln(Q / Q_t)
  const target = {
    forward: Math.max(
      0,
      sum(tokens, (i) => Math.exp(at(logExpert, i)) * at(shift, i)),
    ),
    reverse: Math.max(0, -sum(tokens, (i) => Math.exp(at(logReference, i)) * at(shift, i))),
  };
  const centre = sum(tokens, (i) => Math.exp(at(logBase, i)) * at(shift, i));
  const centred = shift.map((value) => value - centre);

  const size = (row: Row, i: number) => Math.abs(at(row.logits, i)) + Math.abs(row.best);
  const isStill = (i: number) =>
    Math.abs(at(centred, i)) <= constantShiftResolution * (size(expert, i) + size(small, i));
  const isConstant = Math.max(target.forward, target.reverse) < constantShiftTarget && tokens.every(isStill);
  if (!isConstant) return { tokens, takesPart, logBase, shift: centred, target };
  // In a sum it may still move tokens of another expert's set.
  const still = new Set(unmasked.every(isStill) ? unmasked : tokens);
  const moved = centred.map((value, i) => (still.has(i) ? 0 : value));
  return { tokens, takesPart, logBase, shift: moved, target: { forward: 0, reverse: 0 } };
}

/** Σ_i P_i (ln P_i − ln Q_i) over a row's tokens, from the logarithms; Infinity where Q excludes a token of P. */
function divergence(
  { length }: Float32Array,
  logP: (token: number) => number,
  logQ: (token: number) => number,
): number {
  const tokens = Array.from({ length }, (_, i) => i).filter((i) => logP(i) > -Infinity);
  if (tokens.some((i) => logQ(i) === -Infinity)) return Infinity;
  return Math.max(
    0,
    sum(tokens, (i) => Math.exp(logP(i)) * (logP(i) - logQ(i))),
  );
}

/** ln Σ_i exp(x_i), the best taken out first so that nothing overflows. */
function logSumExp(tokens: readonly number[], value: (token: number) => number): number {
  const best = tokens.reduce((most, i) => Math.max(most, value(i)), -Infinity);
  return best + Math.log(sum(tokens, (i) => Math.exp(value(i) - best)));
}

function sum(tokens: readonly number[], term: (token: number) => number): number {
  let total = 0;
  for (const i of tokens) total += term(i);
  return total;
}

function at(values: Float32Array | Float64Array, token: number): number {
  return values[token] as number;
}

function weightOf(weights: readonly number[] | null, expert: number): number {
  return weights?.[expert] ?? 0;
}
