import { objective } from "../objective.js";
import type { AxisPoint, AxisSolution, Divergence, WeightBounds } from "../types.js";

interface Sample {
  alpha: number;
  point: AxisPoint;
  objective: number;
}

/** F or R between two samples: c0 + c1·t + c2·t² + c3·t³, t ∈ [0, 1], cut to the values at the ends. */
interface Cubic {
  c0: number;
  c1: number;
  c2: number;
  c3: number;
  end: number;
}

/** A piece of a side between two samples. */
interface Piece {
  left: Sample;
  right: Sample;
  forward: Cubic;
  reverse: Cubic;
  /** How far from the curve the cubics are expected to be. */
  error: number;
  /** J is nowhere less in the piece. */
  box: number;
  /** Least J of the cubics, and where. */
  model: { alpha: number; objective: number };
}

/** α = 0 needs no pass: P̃ = P, and A′(0) = E_P[d] = 0. */
const origin: AxisPoint = { forward: 0, reverse: 0, forwardSlope: 0, reverseSlope: 0 };
/** Where the search starts: the weight at which the base would move as the small model did, were they equal. */
const firstGuess = 1;
/** A step is made while it promises to lower J by this share … */
const gainWorthAPass = 1e-7;
/** … and by more than this: divergences are resolved to a millionth of a nat and of the targets. */
const resolution = 1e-12;
/** A piece is looked into while J in it could be below this share of the best J found. */
const promise = 0.98;
const leastErrorOfBend = 1 / 24;
const maxSamples = 60;

/**
 * All of argmin_α (F(α) − F̄)² + (R(α) − R̄)² within bounds, one side of α = 0 at a time. On a side F = αA′ − A
 * and R = A both grow with |α|, so between two samples J is at least the squared distance from (F̄, R̄) to the
 * box that their (F, R) span; pieces beyond the roots of F = F̄ and R = R̄ are never better than their ends.
 *
 * Between samples F and R are modelled by cubics through values and slopes; the least of the model is sampled
 * next, until that gains nothing. Then pieces in which, by box and by the model less its error, J could be
 * below `promise` times the best are halved: no other basin is missed.
 * Source: docs/fusion.md, facts 1 to 3.
 */
export function solveExact(
  axis: (alpha: number) => AxisPoint,
  [low, high]: WeightBounds,
  target: Divergence,
): AxisSolution {
  let evaluations = 0;
  const sample = (alpha: number): Sample => {
    if (alpha !== 0) evaluations++;
    const point = alpha === 0 ? origin : axis(alpha);
    return { alpha, point, objective: objective(point, [target]) };
  };
  const near = sample(Math.min(Math.max(low, 0), high));
  let best = near;
  for (const far of [high, low]) {
    const isBeyond = Math.abs(far) > Math.abs(near.alpha) && far * near.alpha >= 0;
    if (!isBeyond) continue;
    const found = searchSide(near, sample(far), target, sample);
    if (found.objective < best.objective) best = found;
  }
  return { alpha: best.alpha, point: best.point, evaluations };
}

/** The best sample between `near` and `far` (its distance from 0 is the larger). */
function searchSide(
  near: Sample,
  far: Sample,
  target: Divergence,
  sample: (alpha: number) => Sample,
): Sample {
  const pieces: Piece[] = [makePiece(near, far, Infinity, target)];
  const guess = Math.sign(far.alpha) * firstGuess;
  const isInside = Math.abs(guess) > Math.abs(near.alpha) && Math.abs(guess) < Math.abs(far.alpha);
  let best = far.objective < near.objective ? far : near;
  let step: Step | null = { index: 0, alpha: isInside ? guess : (near.alpha + far.alpha) / 2 };
  while (step !== null && pieces.length < maxSamples) {
    const middle = sample(step.alpha);
    if (middle.objective < best.objective) best = middle;
    pieces.splice(step.index, 1, ...split(pieces[step.index] as Piece, middle, target));
    step = nextStep(pieces, target, best.objective);
  }
  return best;
}

/**
 * A cubic's error goes as t²(1 − t)² over the piece and with the fourth power of its width. A sharp turn may miss
 * the cubic where it was split by chance: so the error is not taken below a share of what the cubic bends.
 */
function split(piece: Piece, middle: Sample, target: Divergence): [Piece, Piece] {
  const { left, right } = piece;
  const at = (middle.alpha - left.alpha) / (right.alpha - left.alpha);
  const miss = (key: keyof Divergence) => valueAt(piece[key], at) - middle.point[key];
  const error = Math.hypot(miss("forward"), miss("reverse")) / Math.max(16 * (at * (1 - at)) ** 2, 0.01);
  const half = (from: Sample, to: Sample, width: number): Piece => {
    const bend = Math.hypot(bendOf(from, to, "forward"), bendOf(from, to, "reverse"));
    return makePiece(from, to, Math.max(error * width ** 4, leastErrorOfBend * bend), target);
  };
  return [half(left, middle, at), half(middle, right, 1 - at)];
}

function makePiece(left: Sample, right: Sample, error: number, target: Divergence): Piece {
  const forward = cubic(left, right, "forward");
  const reverse = cubic(left, right, "reverse");
  const model = leastOfModel(forward, reverse, target);
  const alpha = left.alpha + model.at * (right.alpha - left.alpha);
  const box = leastOfBox(left, right, target);
  return { left, right, forward, reverse, error, box, model: { alpha, objective: model.objective } };
}

/** How far the slopes at the ends are from a parabola's, times the width: of third order in the width. */
function bendOf(left: Sample, right: Sample, key: keyof Divergence): number {
  const slope = key === "forward" ? "forwardSlope" : "reverseSlope";
  const width = right.alpha - left.alpha;
  return width * (left.point[slope] + right.point[slope]) - 2 * (right.point[key] - left.point[key]);
}

interface Step {
  index: number;
  alpha: number;
}

/** Where to look next; null when nothing is left to gain. */
function nextStep(pieces: readonly Piece[], target: Divergence, best: number): Step | null {
  let goal = best * (1 - gainWorthAPass) - resolution * (1 + target.forward ** 2 + target.reverse ** 2);
  if (goal <= 0) return null;
  let floor = Math.min(goal, best * promise);
  let refinement: Step | null = null;
  let halving: Step | null = null;
  for (const [index, { left, right, error, box, model }] of pieces.entries()) {
    if (box >= goal) continue;
    if (model.objective < goal) {
      goal = model.objective;
      refinement = { index, alpha: model.alpha };
    }
    const bound = Math.max(box, Math.max(0, Math.sqrt(model.objective) - error) ** 2);
    if (bound < floor && Math.abs(right.alpha - left.alpha) > 1e-9) {
      floor = bound;
      halving = { index, alpha: (left.alpha + right.alpha) / 2 };
    }
  }
  return refinement ?? halving;
}

/** Squared distance from the targets to the box between two samples: J is nowhere less between them. */
function leastOfBox(left: Sample, right: Sample, target: Divergence): number {
  const outside = (key: keyof Divergence) =>
    Math.max(0, left.point[key] - target[key], target[key] - right.point[key]);
  return outside("forward") ** 2 + outside("reverse") ** 2;
}

/** Least J of the cubics between two samples: 16 places, then 16 around the best of them, and so on. */
function leastOfModel(forward: Cubic, reverse: Cubic, target: Divergence): { at: number; objective: number } {
  const numPlaces = 16;
  let best = { at: 0.5, objective: Infinity };
  let [from, to] = [0, 1];
  for (let level = 0; level < 4; level++) {
    const step = (to - from) / numPlaces;
    for (let k = 1; k < numPlaces; k++) {
      const at = from + k * step;
      const value =
        (valueAt(forward, at) - target.forward) ** 2 + (valueAt(reverse, at) - target.reverse) ** 2;
      if (value < best.objective) best = { at, objective: value };
    }
    [from, to] = [Math.max(0, best.at - step), Math.min(1, best.at + step)];
  }
  return best;
}

/** The cubic through values and slopes of F or R at two samples. */
function cubic(left: Sample, right: Sample, key: keyof Divergence): Cubic {
  const slope = key === "forward" ? "forwardSlope" : "reverseSlope";
  const width = right.alpha - left.alpha;
  const rise = right.point[key] - left.point[key];
  const [from, to] = [width * left.point[slope], width * right.point[slope]];
  return {
    c0: left.point[key],
    c1: from,
    c2: 3 * rise - 2 * from - to,
    c3: from + to - 2 * rise,
    end: right.point[key],
  };
}

function valueAt({ c0, c1, c2, c3, end }: Cubic, at: number): number {
  return Math.min(Math.max(c0 + at * (c1 + at * (c2 + at * c3)), c0), end);
}
