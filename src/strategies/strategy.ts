import type { z } from "zod";
import type {
  FusedRow,
  Fusion,
  FusionKernel,
  LogitsRows,
  Plausibility,
  WeightBounds,
} from "../fusion/types.js";
import type { ComponentConfig } from "./fields.js";

/** An expert of a config, as far as a strategy needs to know it. */
export interface Expert {
  id: string;
  /** Bounds of a weight that is solved for. */
  bounds: WeightBounds;
  /** How it takes part in a mixture that says nothing of it: as its card found best, or the default. */
  component: ComponentConfig;
}

/** What a request says about the shares that a mixture begins with, for one answer. */
export interface PriorRequest {
  /** Replaces the prior: by expert id and `base`, in proportion, what is left out has none; null: the strategy's. */
  shares: Record<string, number> | "uniform" | null;
  /** Added to the logarithms of the shares, by expert id and `base`, nats. */
  bias: Record<string, number>;
  /** The shares stay as they are during the answer. */
  isPinned: boolean;
}

/** What a strategy gets for one answer. */
export interface StartOptions<E extends Expert> {
  /** All experts of the config, in its order. */
  experts: readonly E[];
  prior: PriorRequest | null;
  /** Whether a calibration card can tell from the prompt which experts it is for. */
  hasCard: boolean;
  /** Total variation that a mixture may spend on leaving the base's component out; 0: it is never left out. */
  loss: number;
}

/** The axis of one expert, for drawing the objective along it. */
export interface ExpertAxis {
  plausibility: Plausibility | null;
  bounds: WeightBounds;
  /** The expert speaks by itself: its shift is from the base instead of the reference. */
  isAlone: boolean;
  /** Whether the expert answers to its own targets, or to those of all experts. */
  hasOwnTargets: boolean;
}

/** How one answer is weighed, token by token: everything about it that changes from token to token. */
export interface StrategyRun<E extends Expert> {
  /** Whether it has to know what the prompt is about (`begin`) before experts read it. */
  readonly asksPrompt: boolean;
  /**
   * The prompt has been read.
   *
   * @param prior shares of the base and then of each expert, as the card finds them; null: nobody knows.
   */
  begin(prior: readonly number[] | null): void;
  /** All experts that it may come to need, in the config's order. */
  readonly experts: readonly E[];
  /** Those that the next token needs; they do not come back once they have left. */
  readonly active: readonly E[];
  /** Whether the next token needs the reference. */
  readonly needsReference: boolean;
  /**
   * Weighs the rows of one token and adds them up.
   *
   * @param rows of the base, the reference where it is needed, and the active experts in their order.
   * @param budgets per active expert: how far it may move the base at this token, as KL(P̃‖P) in nats.
   * @returns numbers per active expert; the fused row lives in the kernel, until its next `load`.
   * @throws ShouldersError `non_finite_logits` or `rows_invalid`.
   */
  fuse(kernel: FusionKernel, rows: LogitsRows, budgets: readonly number[]): Fusion;
  /**
   * The same law before its plausible sets: weights and shares as `fuse` found them, over every token that no row masks.
   *
   * @param fusion what `fuse` gave for these rows and budgets
   */
  unrestricted(kernel: FusionKernel, rows: LogitsRows, budgets: readonly number[], fusion: Fusion): FusedRow;
  /**
   * The plausible sets of the active experts, where the next token is certain if each of them, by its expert's row
   * alone, is the same single token: nobody but the base's own share has a say then. null: base or reference always
   * have one.
   */
  readonly settling: readonly Plausibility[] | null;
  /** Share of the base by itself in the law of the next token. */
  readonly baseShare: number;
  /**
   * Takes a token into account; one that was certain moves nothing and need not be told.
   *
   * @param fusion of this token.
   * @param logprobs of the token under each of the models that `fusion.mixed` names.
   */
  learn(fusion: Fusion, logprobs: readonly number[]): void;
  /**
   * Takes a token into account that the active experts were certain of, and the base not.
   *
   * @param logprob of the token under the base.
   */
  learnOfBase(logprob: number): void;
  /** Shares by `base` and expert id, which add up to 1; null: it has none, or they are not known yet. */
  readonly shares: Readonly<Record<string, number>> | null;
  /** Share of the experts that are not decoded. */
  readonly skippedShare: number;
  /** Total variation of what is left of the answer that was spent on leaving the base's component out. */
  readonly lost: number;
  /** @throws ShouldersError never: also for an expert without a say. */
  axisOf(expert: E): ExpertAxis;
}

/** An expert that settings name, with the path of the record that names it. */
export interface NamedExpert {
  path: string[];
  id: string;
}

/** What the words about a strategy depend on. */
export interface CalibratedExperts {
  experts: readonly Pick<Expert, "id" | "component">[];
}

/** What a calibration card says about one prompt. */
export interface CardReading {
  /** Shares of the base and of each expert, by `base` and expert id; null: one expert alone speaks whatever the prompt. */
  shares: Record<string, number> | null;
  /** How experts speak best, by id, as far as that was found. */
  components: Record<string, ComponentConfig>;
}

/** What a person can change about a strategy in a request, besides choosing it. */
export const controls = ["weights", "bounds", "shares", "budget"] as const;
export type Control = (typeof controls)[number];

/**
 * One way to weigh experts: what a person writes, what is wrong with it, what it is called, and how it runs. A new
 * strategy is a module with one of these, and its line in `registry.ts`.
 *
 * @typeParam Settings what its schema gives.
 */
export interface Strategy<Settings> {
  schema: z.ZodObject;
  /** A few words for a list of choices. */
  label: string;
  /** One sentence that says what these settings do with such a config: command line, API and page show it. */
  words(settings: Settings, config: CalibratedExperts): string;
  /** Whether it is meaningless without experts. */
  needsExperts: boolean;
  controls: readonly Control[];
  /** What a request that names only the type gets, in a config with these settings for its own strategy. */
  choice(experts: readonly { id: string }[], plausibility: Plausibility | null): Settings;
  /** The plausible set of all its experts together; null: all tokens, or each expert has its own. */
  plausibilityOf(settings: Settings): Plausibility | null;
  namedExperts(settings: Settings): NamedExpert[];
  /** What the schema cannot say; null: nothing is wrong. */
  problem(settings: Settings): { path: string[]; reason: string } | null;
  /** Ids of the experts whose weights are solved for, within their bounds. */
  solvedExperts(settings: Settings, experts: readonly Pick<Expert, "id" | "component">[]): string[];
  /** Whether its answers begin by a calibration card, where there is one. */
  readsCard(settings: Settings): boolean;
  /** Whether a calibration card of these experts changes any of its answers. */
  usesCard(settings: Settings, experts: readonly { id: string }[]): boolean;
  /** Settings that do for one prompt without a card what these do with it. */
  withCard(settings: Settings, card: CardReading): Settings;
  /** @throws ShouldersError `invalid_request` */
  start<E extends Expert>(settings: Settings, options: StartOptions<E>): StrategyRun<E>;
}
