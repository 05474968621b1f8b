import type { StrategyConfig } from "../config/fusion-config.js";
import { ShouldersError } from "../errors.js";
import { posterior } from "../fusion/strategies/mixture.js";
import type { PriorRequest } from "./protocol.js";

type MixtureConfig = Extract<StrategyConfig, { type: "mixture" }>;

/**
 * Where the shares at the start of an answer come from: they are known (the base's, then each expert's, in
 * proportion), or follow from the prompt.
 */
export type PriorSource = readonly number[] | "prompt";

/**
 * The prior of a request: its own, or else the strategy's.
 *
 * @param ids of the experts, in order.
 * @param hasCard whether a calibration card can tell from the prompt; without one that is uniform.
 * @throws ShouldersError `invalid_request` when every share is 0.
 */
export function priorSource(
  ids: readonly string[],
  { prior }: MixtureConfig,
  request: PriorRequest | null,
  hasCard: boolean,
): PriorSource {
  const wanted = request?.shares ?? prior;
  if (wanted === "card" && hasCard) return "prompt";
  if (typeof wanted === "string") return ["base", ...ids].map(() => 1);
  const shares = ["base", ...ids].map((id) => wanted[id] ?? 0);
  if (shares.every((share) => share === 0))
    throw new ShouldersError("invalid_request", "One share of the prior at least must be above 0.", {
      param: "fusion.prior",
    });
  return shares;
}

export interface ShareSettings {
  /** Experts with less sleep: they are not decoded. 0: none. */
  floor: number;
  /** Added to the logarithms of the prior, the base's first, nats. */
  bias: readonly number[];
  /** The shares stay as the prior has them. */
  isPinned: boolean;
}

/**
 * The shares of one answer's mixture: the base's first, then each expert's; they add up to 1. An expert whose share
 * is below the floor sleeps for the rest of the answer, the one with the largest share excepted: it is not decoded,
 * and keeps its share as if its component predicted what the mixture does.
 */
export class Shares {
  readonly #settings: ShareSettings;
  #values: readonly number[];
  readonly #isAwake: boolean[];

  constructor(prior: readonly number[], settings: ShareSettings) {
    this.#settings = settings;
    const biasOf = (index: number) => settings.bias[index] ?? 0;
    // Relative to the largest of those that have a share, so that not all can become 0.
    const most = Math.max(...prior.map((share, index) => (share > 0 ? biasOf(index) : -Infinity)));
    const biased = prior.map((share, index) => share * Math.exp(biasOf(index) - most));
    const total = biased.reduce((sum, share) => sum + share, 0);
    this.#values = biased.map((share) => share / total);
    this.#isAwake = this.#values.map(() => true);
    this.#letSleep();
  }

  get values(): readonly number[] {
    return this.#values;
  }

  isAwake(expert: number): boolean {
    return this.#isAwake[expert + 1] as boolean;
  }

  /** Share of all experts that sleep. */
  get skipped(): number {
    return this.#values.reduce((sum, share, index) => sum + (this.#isAwake[index] ? 0 : share), 0);
  }

  /**
   * Bayes after a token.
   *
   * @param mixed what the row was mixed of: 0 for the base, t + 1 for expert t.
   * @param logprobs of the token under each of them.
   */
  learn(mixed: readonly number[], logprobs: readonly number[]): void {
    if (this.#settings.isPinned) return;
    this.#values = posterior(this.#values, mixed, logprobs);
    this.#letSleep();
  }

  #letSleep(): void {
    const largest = this.#values.indexOf(Math.max(...this.#values));
    this.#values.forEach((share, index) => {
      // The base is decoded anyway.
      if (index > 0 && index !== largest && share < this.#settings.floor) this.#isAwake[index] = false;
    });
  }
}
