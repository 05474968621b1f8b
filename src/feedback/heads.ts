import { features, numFeatures } from "./bag.js";
import { minimise, type Objective } from "./minimise.js";

/**
 * Three ways from an answer's bag to a rating, with φ_t a token's features and z_t = w·φ_t + b. The rating of an answer
 * is known, those of its tokens are not (multiple-instance regression).
 *
 * mean: ŷ = mean of σ(z_t), fitted by squared error: each token has its part in a graded rating.
 * all: ŷ = exp(−Σ softplus(z_t)), fitted by log loss: one mistake spoils the answer.
 * likelihood: ŷ = exp(Σ ln p_t), the answer's own probability: nothing is fitted.
 */
export const headNames = ["likelihood", "mean", "all"] as const;
export type HeadName = (typeof headNames)[number];

/** An answer, or a span of one, and how it was rated. */
export interface Example {
  /** `numFeatures` numbers a token. */
  bag: Float64Array;
  /** 0 to 1. */
  score: number;
  /** The answer that it is of: what is learned on one part of it is not tried on another. */
  group: string;
}

export interface Head {
  name: HeadName;
  /** ŷ, from 0 to 1. */
  predict: (bag: Float64Array) => number;
  /**
   * What each token adds. Of `all` and `likelihood` they sum to ln ŷ; of `mean` to 0: how far a token is from the mean.
   */
  credits: (bag: Float64Array) => number[];
  /** By the features' names, standardised: what raises a rating is above 0. null: nothing was fitted. */
  weights: Record<string, number> | null;
}

/** Strength of the ridge on weights of standardised features. */
const ridge = 1;

const surprise = features.findIndex(({ name }) => name === "surprise");

export const likelihood: Head = {
  name: "likelihood",
  predict: (bag) => Math.exp(sum(likelihood.credits(bag))),
  credits: (bag) => Array.from({ length: numTokens(bag) }, (_, t) => -(bag[t * numFeatures + surprise] ?? 0)),
  weights: null,
};

/** @throws nothing; a feature that is the same everywhere has no weight */
export async function fitHead(name: "mean" | "all", examples: readonly Example[]): Promise<Head> {
  const scaling = scalingOf(examples);
  const scaled = examples.map(({ bag, score }) => ({ bag: scaling.apply(bag), score }));
  const form = forms[name];
  const start = new Float64Array(numFeatures + 1);
  start[numFeatures] = form.start(scaled);
  const parameters = await minimise(objectiveOf(form, scaled), start);
  const sign = name === "mean" ? 1 : -1;
  return {
    name,
    predict: (bag) => form.predict(logits(scaling.apply(bag), parameters)),
    credits: (bag) => form.credits(logits(scaling.apply(bag), parameters)),
    weights: Object.fromEntries(features.map((feature, i) => [feature.name, sign * (parameters[i] ?? 0)])),
  };
}

/** What a head makes of the z of an answer's tokens. */
interface Form {
  /** The bias with which fitting begins. */
  start: (examples: readonly Scaled[]) => number;
  predict: (z: Float64Array) => number;
  credits: (z: Float64Array) => number[];
  /** The loss of an answer; writes its derivatives over `z`. */
  loss: (z: Float64Array, score: number) => number;
}

type Scaled = Pick<Example, "bag" | "score">;

const sigmoid = (z: number): number => 1 / (1 + Math.exp(-z));
/** ln(1 + e^z) */
const softplus = (z: number): number => (z > 30 ? z : Math.log1p(Math.exp(z)));

/** No rating is expected with certainty, of which a slip would cost without bound. */
const leastDoubt = 1e-6;

const forms: Record<"mean" | "all", Form> = {
  mean: {
    start: (examples) => logit(meanScore(examples)),
    predict: (z) => sum(z.map(sigmoid)) / z.length,
    credits: (z) => {
      const scores = Array.from(z, sigmoid);
      const mean = sum(scores) / z.length;
      return scores.map((score) => (score - mean) / z.length);
    },
    loss: (z, score) => {
      const off = sum(z.map(sigmoid)) / z.length - score;
      for (let t = 0; t < z.length; t++) {
        const share = sigmoid(z[t] ?? 0);
        z[t] = (2 * off * share * (1 - share)) / z.length;
      }
      return off * off;
    },
  },
  all: {
    start: (examples) => {
      const tokens = sum(examples.map(({ bag }) => numTokens(bag))) / examples.length;
      return Math.log(Math.expm1(-Math.log(meanScore(examples)) / tokens));
    },
    predict: (z) => Math.exp(-sum(z.map(softplus))),
    credits: (z) => Array.from(z, (value) => -softplus(value)),
    loss: (z, score) => {
      const hazard = Math.max(leastDoubt, sum(z.map(softplus)));
      const slope = score - (1 - score) / Math.expm1(hazard);
      for (let t = 0; t < z.length; t++) z[t] = slope * sigmoid(z[t] ?? 0);
      return score * hazard - (1 - score) * Math.log(-Math.expm1(-hazard));
    },
  },
};

function objectiveOf(form: Form, examples: readonly Scaled[]): Objective {
  return (parameters, gradient) => {
    let value = 0;
    for (let i = 0; i < numFeatures; i++) {
      const weight = parameters[i] ?? 0;
      value += (ridge / 2) * weight * weight;
      gradient[i] = ridge * weight;
    }
    gradient[numFeatures] = 0;
    for (const { bag, score } of examples) {
      const z = logits(bag, parameters);
      value += form.loss(z, score);
      addTo(gradient, bag, z);
    }
    return value;
  };
}

/** z of each token. */
function logits(bag: Float64Array, parameters: Float64Array): Float64Array {
  const z = new Float64Array(numTokens(bag));
  const bias = parameters[numFeatures] ?? 0;
  for (let t = 0; t < z.length; t++) {
    let value = bias;
    for (let i = 0; i < numFeatures; i++) value += (bag[t * numFeatures + i] ?? 0) * (parameters[i] ?? 0);
    z[t] = value;
  }
  return z;
}

function addTo(gradient: Float64Array, bag: Float64Array, slopes: Float64Array): void {
  for (let t = 0; t < slopes.length; t++) {
    const slope = slopes[t] ?? 0;
    for (let i = 0; i < numFeatures; i++)
      gradient[i] = (gradient[i] ?? 0) + slope * (bag[t * numFeatures + i] ?? 0);
    gradient[numFeatures] = (gradient[numFeatures] ?? 0) + slope;
  }
}

/** Mean 0 and deviation 1 over all tokens; a feature that never changes is 0. */
function scalingOf(examples: readonly Scaled[]): { apply: (bag: Float64Array) => Float64Array } {
  const [sums, squares] = [new Float64Array(numFeatures), new Float64Array(numFeatures)];
  let count = 0;
  for (const { bag } of examples) {
    count += numTokens(bag);
    bag.forEach((value, at) => {
      const i = at % numFeatures;
      sums[i] = (sums[i] ?? 0) + value;
      squares[i] = (squares[i] ?? 0) + value * value;
    });
  }
  const means = sums.map((value) => value / count);
  const factors = squares.map((value, i) => {
    const variance = value / count - (means[i] ?? 0) ** 2;
    return variance > 1e-12 ? 1 / Math.sqrt(variance) : 0;
  });
  return {
    apply: (bag) =>
      bag.map((value, at) => (value - (means[at % numFeatures] ?? 0)) * (factors[at % numFeatures] ?? 0)),
  };
}

export const numTokens = (bag: Float64Array): number => bag.length / numFeatures;

export function sum(values: readonly number[] | Float64Array): number {
  let total = 0;
  for (let i = 0; i < values.length; i++) total += values[i] ?? 0;
  return total;
}

/** Away from 0 and 1, where the starts would be infinite. */
const meanScore = (examples: readonly Scaled[]): number =>
  Math.min(0.99, Math.max(0.01, sum(examples.map(({ score }) => score)) / examples.length));

const logit = (share: number): number => Math.log(share / (1 - share));
