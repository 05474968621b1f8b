import type { FusedRow, TokenLogprob } from "./fused-row.js";

export type { FusedRow, TokenLogprob };

/**
 * The words of the fusion (docs/fusion.md): P is the base's distribution, Q the reference's, Q_t the
 * expert's, d_t = e_t − r the shift of expert t, α_t its weight, P̃(α) = softmax(b + Σ_t α_t d_t).
 * Divergences are in nats.
 */

/**
 * One row of logits of each model for the same next token. Rows may have different (padded) lengths: the part
 * common to all is fused, the rest is neither read nor checked. A token that is −Infinity in any row is masked:
 * it takes no part and has probability 0 whatever the weights.
 */
export interface LogitsRows {
  base: Float32Array;
  /** What is known of the base's row where not all of it is; null or left out: all is. */
  rest?: RowRest | null;
  /** Empty when there are no experts. */
  reference: Float32Array | null;
  experts: readonly Float32Array[];
}

/**
 * What is known of a row of which only some logits are, in the row's own units: no other token's logit is above `cap`, and
 * together they have the probability exp(mass) of a row whose known logits have exp(logit). In the row itself each of the
 * others has the same part of that, so that all sums over the row are those of the whole one.
 */
export interface RowRest {
  known: ReadonlySet<number>;
  cap: number;
  mass: number;
}

/** Forward KL(new‖old) and reverse KL(old‖new), nats. */
export interface Divergence {
  forward: number;
  reverse: number;
}

/** Smallest and largest weight that a solver may choose for an expert. */
export type WeightBounds = readonly [low: number, high: number];

/**
 * Which tokens take part (others get probability 0 and do not enter the solve): those to which the base or the
 * expert (`joint`), or the expert alone (`expert`), gives at least `ratio` times the probability of its own
 * best unmasked token; `gated` is `expert` at a token of which the expert is sure (its best has a probability of at
 * least `sureProbability`), and `joint` elsewhere. Each expert t has its set S_t by its own row: targets, centre and divergences on its
 * axis are over S_t, with P, Q and Q_t renormalised there. A fused row is over the union of S_t of the experts
 * with a weight other than 0, or of all of them where every weight is 0 (so it is the limit of small weights).
 */
export interface Plausibility {
  ratio: number;
  of: "joint" | "expert" | "gated";
}

export type SolverName = "exact" | "grid";

/** One of several models that a row was made of: the base, or the base with one expert as if the others were not there. */
export interface Single {
  /** Index of the expert's row; null: the base. */
  expert: number | null;
  /** π of a mixture; 1 where shifts are added up. */
  share: number;
  /** What it would say. */
  best: TokenLogprob;
}

/** What a strategy found for one row. */
export interface Fusion {
  row: FusedRow;
  /** Weight of each expert, in the order of `LogitsRows.experts`. */
  weights: number[];
  /**
   * Index of the expert that moved the row most (the one axis solved for, the largest weight, or in a mixture the
   * largest π_c·KL(P_c‖P)); null if none did.
   */
  chosen: number | null;
  /**
   * What the row is a mixture of, in the order of its `componentLogprobs`: indices of experts' rows, null for
   * the base. Empty when the row is that of one model.
   */
  mixed: readonly (number | null)[];
  /** What each of the models says by itself; empty where the row is that of one. */
  singles: readonly Single[];
  /** Achieved: F = KL(P̃‖P), R = KL(P‖P̃), over the tokens that take part; of a mixture over all. */
  divergence: Divergence;
  /** Per expert: F_t = KL(Q_t‖Q), R_t = KL(Q‖Q_t). */
  targets: Divergence[];
  /** J at the solution; 0 for the base alone; of a mixture Σ_c π_c J_c, each with its own expert's targets. */
  objective: number;
  /** Passes over the row that the solver made. */
  evaluations: number;
  /** KL(P̃‖P), P over every token that no row masks: the forward divergence and what leaving tokens out adds. */
  nats: number;
  /**
   * How far this law can be, at these weights, from the one that the whole of the base's row gives: total variation at most.
   * 0: it is that law. Always 0 where all of the row is known.
   */
  unknown: number;
}

/** A point on the axis of one expert: everything the objective and its slope need. */
export interface AxisPoint extends Divergence {
  /** dF/dα = α·Var, dR/dα = mean (both under P̃, d centred under P). */
  forwardSlope: number;
  reverseSlope: number;
}

/** What a solver found on one axis: the weight, the point there and how many points it looked at. */
export interface AxisSolution {
  alpha: number;
  point: AxisPoint;
  evaluations: number;
}

/**
 * Numbers over rows of length V, made once for a largest V and number of experts; holds one set of rows at a
 * time. Two implementations (reference: scalar float64; simd: WebAssembly float32 rows, float64 sums) share one
 * contract suite.
 */
export interface FusionKernel {
  readonly name: "reference" | "simd";
  /**
   * Takes copies of the rows; everything after refers to them.
   * @throws ShouldersError `non_finite_logits` (NaN, +Infinity, or no finite token; names the model by role) or
   * `rows_invalid` (no rows, too long, expert rows without a reference).
   */
  load(rows: LogitsRows, plausibility: Plausibility | null): void;
  /** F_t and R_t of every expert over the tokens that take part. */
  targets(): Divergence[];
  /**
   * Announces that weights on this expert's axis will be within `bounds`, so that a kernel may add up only once
   * the tokens that are negligible there; `evaluate` is then approximate (fuse() never is). null: every token
   * counts, as it does without this call.
   */
  focus(expert: number, bounds: WeightBounds | null): void;
  /**
   * The divergences at weight `alpha` on the axis of one expert (all other weights 0). An expert whose shift is
   * constant within the resolution of float32 logits does not move: all numbers are 0.
   */
  evaluate(expert: number, alpha: number): AxisPoint;
  /**
   * Writes the fused row b + Σ_t α_t d_t over the tokens that take part (−Infinity elsewhere), d_t centred by
   * E_P[d_t] = 0 so that the row keeps the base's level; also gives the achieved divergences. All weights 0
   * gives exactly the base's logits. null: the base's logits over every token that no row masks, whatever the
   * plausible sets.
   */
  fuse(weights: readonly number[] | null): { row: FusedRow; divergence: Divergence };
  /**
   * The most that tokens of which the base's logit is not known (`LogitsRows.rest`) can have together in the law that
   * `fuse(weights)` gives; 0: none of them takes part. Their shifts are known, and so is which of them experts find
   * plausible; that the base does is assumed of all whose logit may be so high.
   */
  unknownShare(weights: readonly number[] | null): number;
  /** The `mass` of a row over the tokens that take part on the axis of this expert. */
  plausibleMass(expert: number): number;
  /**
   * Begins a mixture M = Σ_c π_c·P_c of at most `numComponents` rows, and forgets the one before. Memory grows when
   * there were never so many.
   */
  mixStart(numComponents: number): void;
  /** The row fused last becomes the next component P_c, with share π_c ≥ 0; `load` and `fuse` may follow. */
  mixAdd(share: number): void;
  /**
   * Writes ln M as the fused row; shares are divided by their sum. Its divergences are from the base's row as it was loaded last, over the tokens that no row masked then; Infinity
   * where one law excludes a token that the other does not. With one share above 0 the row is that component's.
   */
  mixFinish(): { row: FusedRow; divergence: Divergence };
  /**
   * The only token of an expert's plausible set where its row alone fixes that set: then it is the fused law, whatever
   * base, reference and weight are (docs/fusion.md, fact 7). null: there are more, or the base has a say, or the row is
   * too near a bound to tell. What was loaded is lost.
   */
  soleToken(expert: Float32Array, plausibility: Plausibility): number | null;
  /**
   * The k most probable tokens of a loaded row (by role; over the tokens that no row masks), best first, fewer where
   * fewer have a probability.
   */
  top(of: "base" | "reference" | { expert: number }, k: number): TokenLogprob[];
}
