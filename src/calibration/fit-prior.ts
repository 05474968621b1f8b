import { mean } from "simple-statistics";
import type { Card } from "../routing/card.js";
import { Classes, type Distances, type Group } from "./classes.js";
import { type PriorSettings, sharesOf, softmax } from "../routing/prior.js";

export interface FittedPrior {
  prior: Card["prior"];
  figures: Card["figures"];
}

/** The value below which a share `q` of the values lies. */
function quantile(values: readonly number[], q: number): number {
  const sorted = [...values].sort((a, b) => a - b);
  return sorted[Math.min(sorted.length - 1, Math.floor(q * sorted.length))] as number;
}

const nearest = ({ experts }: Distances): number => Math.min(...experts);

/** How much farther than its own prompts (98 % of them) "none" begins, where none is known to be out-of-domain. */
const outOfDomainFactor = 4;
/** See `fitNone`. */
const modesty = 8;
/** Slopes that are tried: even where examples are separated, a few of them do not prove a cliff. */
const slopes = Array.from({ length: 29 }, (_, index) => 1 + index / 4);

/**
 * σ(slope · ln(d² / distance)) fitted to tell own prompts (left out one at a time) from others, by logistic
 * regression on ln d² with Platt's smoothed targets (1999). "None" never begins within 98 % of the own prompts: where
 * a class that was left out is as near as that, it is another of the same kind, not out-of-domain. Of few examples that
 * bound is too low for others of their kind: it is taken 1 + 8/n times as far (decision 13 has what was measured).
 *
 * @param numExamples n, of the expert that has fewest.
 */
export function fitNone(
  own: readonly number[],
  outOfDomain: readonly number[],
  numExamples: number,
): Pick<PriorSettings["none"], "distance" | "slope"> {
  const most = (1 + modesty / numExamples) * quantile(own, 0.98);
  if (outOfDomain.length === 0) return { distance: outOfDomainFactor * most, slope: 2 };
  const pointsOf = (distances: readonly number[], target: number) =>
    distances.map((distance) => ({ x: Math.log(Math.max(distance, Number.MIN_VALUE)), target }));
  const points = [
    ...pointsOf(own, 1 / (own.length + 2)),
    ...pointsOf(outOfDomain, (outOfDomain.length + 1) / (outOfDomain.length + 2)),
  ];
  const fits = slopes.map((slope) => {
    const middle = middleOf(points, slope);
    const losses = points.map(({ x, target }) => {
      const z = slope * (x - middle);
      // −t·ln σ(z) − (1 − t)·ln σ(−z), without overflow.
      return Math.max(z, 0) - target * z + Math.log1p(Math.exp(-Math.abs(z)));
    });
    return { slope, middle, loss: mean(losses) };
  });
  const best = fits.reduce((a, b) => (b.loss < a.loss ? b : a));
  return { distance: Math.max(Math.exp(best.middle), most), slope: best.slope };
}

/** The m of least loss for a slope: Σ σ(slope·(x − m)) = Σ targets, which falls with m, halved down to it. */
function middleOf(points: readonly { x: number; target: number }[], slope: number): number {
  const wanted = points.reduce((sum, { target }) => sum + target, 0);
  const places = points.map(({ x }) => x);
  let low = Math.min(...places) - 10;
  let high = Math.max(...places) + 10;
  for (let step = 0; step < 50; step++) {
    const middle = (low + high) / 2;
    const sum = places.reduce((total, x) => total + 1 / (1 + Math.exp(-slope * (x - middle))), 0);
    if (sum > wanted) low = middle;
    else high = middle;
  }
  return (low + high) / 2;
}

/** The temperature from 1 to D (not below: a Gaussian model is sure enough of itself) of least leave-one-out loss. */
function fitTemperature(leftOut: readonly (readonly Distances[])[], dimension: number): number {
  const lossAt = (temperature: number): number =>
    mean(
      leftOut.flatMap((distances, own) =>
        distances.map(({ experts, none }) => {
          const all = none === null ? experts : [...experts, none];
          const shares = softmax(all.map((distance) => -distance / (2 * temperature)));
          return -Math.log(Math.max(shares[own] as number, 1e-12));
        }),
      ),
    );
  const steps = Array.from({ length: 33 }, (_, index) => dimension ** (index / 32));
  const losses = steps.map(lossAt);
  return steps[losses.indexOf(Math.min(...losses))] as number;
}

interface Judged {
  /** Index into the shares: 0 for the base. */
  own: number;
  shares: number[];
}

function figuresOf(
  judged: readonly Judged[],
  outOfDomain: readonly Judged[],
  ids: readonly string[],
): Card["figures"] {
  const names = ["base", ...ids];
  const largest = ({ shares }: Judged): number => shares.indexOf(Math.max(...shares));
  const given = [...new Set(judged.map(({ own }) => own))].sort((a, b) => a - b);
  return {
    accuracy: mean(judged.map((one) => (largest(one) === one.own ? 1 : 0))),
    logLoss: mean(judged.map(({ own, shares }) => -Math.log(shares[own] as number))),
    confusion: given.map((own) => {
      const rows = judged.filter((one) => one.own === own);
      const counts = names.map((name, index) => [name, rows.filter((one) => largest(one) === index).length]);
      return { given: names[own] as string, largest: Object.fromEntries(counts) as Record<string, number> };
    }),
    leftOut: outOfDomain.length === 0 ? null : mean(outOfDomain.map(({ shares }) => shares[0] as number)),
  };
}

/**
 * Indices of the prompts of no task that tell something: not those that an example of an expert, left out, is nearer to
 * than to its own class. Where an expert is for prompts of all kinds, few remain.
 */
function tellingBackground(own: readonly Distances[], length: number): number[] {
  return Array.from({ length }, (_, index) => index).filter((index) =>
    own.every((distances) => nearest(distances) <= (distances.background[index] as number)),
  );
}

/**
 * Fits the prior of a card to features of example prompts, and measures it on prompts it has not seen (leave one out).
 * What is out-of-domain is learned from the prompts that fit none, from those of no task and, where there are two experts
 * or more, from each expert's prompts as those see them who do not know that expert. Every reading of an example counts in
 * the fit; the figures are of examples as they were given. Prompts that fit no expert are the base's.
 *
 * @param groups the examples of each expert in the order of the config; then those that fit none, if any.
 * @param background features of prompts of no task in particular.
 */
export function fitPrior(
  groups: readonly Group[],
  dimension: number,
  background: readonly Float64Array[],
): FittedPrior {
  const classes = new Classes(groups, dimension, background);
  const examples = classes.leaveOneOut();
  const outOfDomain = classes.leaveClassOut();
  const noneExamples = classes.leaveOneOutNone();
  const readings = examples.map((own) => own.flat());
  const errors = readings.flatMap((distances, index) =>
    distances.filter(({ experts }) => experts.indexOf(Math.min(...experts)) !== index),
  );
  const own = readings.flat();
  const strangers = [...outOfDomain.flat(2), ...noneExamples.flat(), ...classes.ofBackground()];
  const settings = {
    temperature: fitTemperature(readings, dimension),
    none: fitNone(own.map(nearest), strangers.map(nearest), Math.min(...examples.map((of) => of.length))),
    // Laplace's rule of succession: how often the classifier errs, as far as so many examples can tell.
    floor: (errors.length + 1) / (own.length + 2),
  };
  const telling = tellingBackground(own, background.length);
  const asGiven = (of: readonly Distances[][]): Distances[] => of.map(([first]) => first as Distances);
  const judge = (at: number) => (distances: Distances) => {
    const { distance, slope } = settings.none;
    const nearestOther = telling.map((index) => distances.background[index] as number);
    const none = { slope, distance: Math.min(distance, ...nearestOther) };
    return {
      own: at,
      shares: sharesOf(distances.experts, distances.none, { ...settings, none, outOfDomain: [1] }),
    };
  };
  const judged = [
    ...examples.flatMap((of, index) => asGiven(of).map(judge(index + 1))),
    ...asGiven(noneExamples).map(judge(0)),
  ];
  const unseen = outOfDomain.map(asGiven);
  const ids = groups.flatMap(({ expert }) => expert ?? []);
  const whitened = classes.background;
  return {
    prior: {
      ...settings,
      none: {
        ...settings.none,
        prompts: telling.map((index) => Float32Array.from(whitened[index] as Float64Array)),
        shares: { base: 1 },
      },
      whitening: Float32Array.from(classes.whitening),
      classes: classes.means.map(({ expert, mean: at }) => ({ expert, mean: Float32Array.from(at) })),
    },
    figures: figuresOf(judged, unseen.flat().map(judge(0)), ids),
  };
}
