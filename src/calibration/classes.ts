import { ShouldersError } from "../errors.js";
import { squaredDistance } from "../routing/prior.js";
import { type Matrix, addOuter, choleskyOf, packedInverse, solveLower } from "./triangle.js";

/** What the example prompts of one expert look like; null: those that fit none. */
export interface Group {
  expert: string | null;
  /** The features of all readings of each example (a prompt written in other ways), as it was given first. */
  examples: readonly (readonly Float64Array[])[];
}

/** Squared distances of one example: to every expert's class in order, and to all else. */
export interface Distances {
  experts: number[];
  /** To the class of the prompts that fit none; null: none were given. */
  none: number | null;
  /** To each prompt of no task. */
  background: number[];
}

interface ClassSums {
  count: number;
  mean: Float64Array;
  /** Σ (φ − mean)(φ − mean)ᵀ, its lower triangle. */
  scatter: Matrix;
}

const difference = (a: Float64Array, b: Float64Array): Float64Array =>
  a.map((value, index) => value - (b[index] as number));

const squaredLength = (a: Float64Array): number => a.reduce((sum, value) => sum + value * value, 0);

function sumsOf(features: readonly Float64Array[], dimension: number): ClassSums {
  const mean = new Float64Array(dimension);
  for (const feature of features)
    feature.forEach((value, index) => (mean[index] = (mean[index] as number) + value / features.length));
  const scatter = new Float64Array(dimension * dimension);
  for (const feature of features) addOuter(scatter, difference(feature, mean), 1);
  return { count: features.length, mean, scatter };
}

/** The sums without some of their features, by Welford's update run backwards. */
function sumsWithout(sums: ClassSums, features: readonly Float64Array[]): ClassSums {
  const scatter = Float64Array.from(sums.scatter);
  let { count, mean } = sums;
  for (const feature of features) {
    addOuter(scatter, difference(feature, mean), -count / (count - 1));
    mean = mean.map((value, index) => (count * value - (feature[index] as number)) / (count - 1));
    count--;
  }
  return { count, mean, scatter };
}

/**
 * Gaussian classes that share one covariance Σ = (1 − λ)·S + λ·(tr S / D)·1, S the pooled within-class covariance
 * (linear discriminant analysis; λ by Ledoit and Wolf 2004, which is what few examples in many dimensions need).
 * Prompts that fit no expert are not one kind of thing and have no part in S.
 */
export class Classes {
  readonly #dimension: number;
  readonly #experts: readonly Group[];
  readonly #expertSums: readonly ClassSums[];
  readonly #none: Group | null;
  readonly #noneSums: ClassSums | null;
  readonly #background: readonly Float64Array[];
  readonly #shrinkage: number;
  /** L of Σ = L·Lᵀ. */
  readonly #factor: Matrix;

  constructor(groups: readonly Group[], dimension: number, background: readonly Float64Array[]) {
    this.#dimension = dimension;
    this.#experts = groups.filter(({ expert }) => expert !== null);
    this.#expertSums = this.#experts.map(({ examples }) => sumsOf(examples.flat(), dimension));
    this.#none = groups.find(({ expert }) => expert === null) ?? null;
    this.#noneSums = this.#none && sumsOf(this.#none.examples.flat(), dimension);
    this.#background = background;
    this.#shrinkage = this.#ledoitWolf();
    this.#factor = this.#factorOf(this.#expertSums);
  }

  /** The model as a card keeps it. */
  get whitening(): Float64Array {
    return packedInverse(this.#factor, this.#dimension);
  }

  /** L⁻¹·mean of each class, experts first. */
  get means(): { expert: string | null; mean: Float64Array }[] {
    const all = this.#noneSums === null ? this.#expertSums : [...this.#expertSums, this.#noneSums];
    return all.map(({ mean }, index) => ({
      expert: this.#experts[index]?.expert ?? null,
      mean: solveLower(this.#factor, mean),
    }));
  }

  /** L⁻¹·φ of each prompt of no task. */
  get background(): Float64Array[] {
    return this.#background.map((feature) => solveLower(this.#factor, feature));
  }

  /** Distances of the prompts of no task. */
  ofBackground(): Distances[] {
    return this.#distances(this.#background, this.#expertSums, this.#noneSums?.mean ?? null);
  }

  /** Distances of all readings of every expert's examples, each example by a model that has not seen it. */
  leaveOneOut(): Distances[][][] {
    return this.#experts.map(({ examples }, own) =>
      examples.map((readings) => {
        const sums = this.#expertSums.map((one, index) => (index === own ? sumsWithout(one, readings) : one));
        return this.#distances(readings, sums, this.#noneSums?.mean ?? null);
      }),
    );
  }

  /** The same of the prompts that fit no expert. */
  leaveOneOutNone(): Distances[][] {
    const { examples = [] } = this.#none ?? {};
    return examples.map((readings) => {
      const others = examples.length < 2 ? null : sumsWithout(this.#noneSums as ClassSums, readings);
      return this.#distances(readings, this.#expertSums, others?.mean ?? null);
    });
  }

  /** The same of each expert's examples in a model that knows only the other experts: what an unseen task looks like. */
  leaveClassOut(): Distances[][][] {
    if (this.#experts.length < 2) return [];
    return this.#experts.map(({ examples }, own) => {
      const others = this.#expertSums.filter((_, index) => index !== own);
      const distances = this.#distances(examples.flat(), others, this.#noneSums?.mean ?? null).values();
      return examples.map((readings) => readings.map(() => distances.next().value as Distances));
    });
  }

  #distances(
    features: readonly Float64Array[],
    experts: readonly ClassSums[],
    noneMean: Float64Array | null,
  ): Distances[] {
    const factor = experts === this.#expertSums ? this.#factor : this.#factorOf(experts);
    const means = experts.map(({ mean }) => solveLower(factor, mean));
    const none = noneMean && solveLower(factor, noneMean);
    const background = this.#background.map((feature) => solveLower(factor, feature));
    return features.map((feature) => {
      const whitened = solveLower(factor, feature);
      return {
        experts: means.map((mean) => squaredDistance(whitened, mean)),
        none: none && squaredDistance(whitened, none),
        background: background.map((feature) => squaredDistance(whitened, feature)),
      };
    });
  }

  /** λ = min(1, (1/n²) Σ ‖r rᵀ − S‖² / ‖S − (tr S / D)·1‖²), r the examples without their class means. */
  #ledoitWolf(): number {
    const { scatter, count } = pool(this.#expertSums, this.#dimension);
    const dimension = this.#dimension;
    const trace = traceOf(scatter, dimension) / count;
    let squares = 0;
    for (let row = 0; row < dimension; row++)
      for (let column = 0; column <= row; column++) {
        const value = (scatter[row * dimension + column] as number) / count;
        squares += (row === column ? 1 : 2) * value * value;
      }
    const fourth = this.#experts.reduce(
      (sum, { examples }, index) =>
        sum +
        examples.flat().reduce((inner, feature) => {
          const { mean } = this.#expertSums[index] as ClassSums;
          return inner + squaredLength(difference(feature, mean)) ** 2;
        }, 0),
      0,
    );
    const spread = squares - trace ** 2 / dimension;
    return spread <= 0 ? 1 : Math.min(1, (fourth - count * squares) / count ** 2 / spread);
  }

  /** @throws ShouldersError `calibration_invalid` when the examples of every class are all alike. */
  #factorOf(experts: readonly ClassSums[]): Matrix {
    const dimension = this.#dimension;
    const { scatter, count } = pool(experts, dimension);
    const degrees = Math.max(1, count - experts.length);
    const level = traceOf(scatter, dimension) / degrees / dimension;
    if (!(level > 0))
      throw new ShouldersError(
        "calibration_invalid",
        "The prompts of an expert all look alike to the reference: give prompts that differ in more than their end.",
      );
    const covariance = scatter.map((value) => ((1 - this.#shrinkage) * value) / degrees);
    // Never quite singular, so that rounding cannot make it so.
    const ridge = Math.max(this.#shrinkage, 1e-6) * level;
    for (let at = 0; at < covariance.length; at += dimension + 1)
      covariance[at] = (covariance[at] as number) + ridge;
    return choleskyOf(covariance, dimension);
  }
}

function traceOf(matrix: Matrix, dimension: number): number {
  let trace = 0;
  for (let at = 0; at < matrix.length; at += dimension + 1) trace += matrix[at] as number;
  return trace;
}

function pool(classes: readonly ClassSums[], dimension: number): { scatter: Matrix; count: number } {
  const scatter = new Float64Array(dimension * dimension);
  for (const { scatter: one } of classes)
    one.forEach((value, index) => (scatter[index] = (scatter[index] as number) + value));
  return { scatter, count: classes.reduce((sum, { count }) => sum + count, 0) };
}
