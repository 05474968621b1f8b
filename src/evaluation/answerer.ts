import type { TokenRecord, Vouch } from "../wire/token-record.js";
import type { FinishReason } from "../protocol/protocol.js";
import type { Plan } from "./methods/method.js";
import type { Likelihood } from "./scorers.js";
import type { Item } from "./tasks/task.js";

/** A token of an answer, as far as it tells who stands behind it. */
export interface Step {
  text: string;
  /** Under what answered, nats. */
  logprob: number;
  /** The base's own best, with its log-probability there; null: it was not asked. */
  base: { text: string; logprob: number } | null;
  /** ln of the token's probability over the base's; null: the base was not asked, or gives it none. */
  logRatio: number | null;
  /** Whose own best it is. */
  vouch: Vouch;
  /** Who by itself would have said what else, and whose token stood instead; null: it is not contested. */
  contested: { by: string; says: string; against: string } | null;
}

export interface Answer {
  text: string;
  finishReason: FinishReason;
  promptTokens: number;
  /** Tokens sampled, an end-of-sequence token included. */
  numTokens: number;
  /** Expert id to its weight at every token; null where nothing tells (the base alone, another server). */
  weights: Record<string, number[]> | null;
  /** `base` and expert id to the share at every token; null where nothing is mixed. */
  shares: Record<string, number[]> | null;
  /** Mean of KL(P̃‖P) over the tokens, P the base's law over the whole vocabulary; nats; null as weights. */
  forward: number | null;
  /** Share of the tokens at which the fused argmax was not the base's. */
  flipped: number | null;
  /** Mean share of the experts that did not run; null where nothing is mixed. */
  skippedShare: number | null;
  /** Where they are kept, else null. */
  steps: Step[] | null;
  /** Where its trace can be read; null: nowhere. */
  trace: string | null;
  /** Of the item's candidates, where they were given and nothing was generated; else null. */
  likelihoods: Likelihood[] | null;
  /** Time from sending the request; null where the answer comes whole. */
  firstTokenMs: number | null;
  totalMs: number;
}

/** Anything that answers an item: the engine, or a server. Greedy, so that a second run says the same. */
export interface Answerer {
  /**
   * @returns null when the signal ended it.
   * @throws ShouldersError
   */
  answer(plan: Plan, item: Item, signal: AbortSignal): Promise<Answer | null>;
  /** How likely the item's candidates are as its answer; the text is the likeliest. As `answer` else. */
  likelihoods(plan: Plan, item: Item, signal: AbortSignal): Promise<Answer | null>;
  /** Everything about a plan that decides its answers, as plain data: a change of it makes old answers void. */
  identityOf(plan: Plan): unknown;
}

/** The likeliest of given answers: nothing was generated, and nothing traced. */
export const wholeAnswer = (text: string, likelihoods: Likelihood[] | null) => ({
  text,
  likelihoods,
  finishReason: "stop" as const,
  numTokens: 0,
  weights: null,
  shares: null,
  forward: null,
  flipped: null,
  skippedShare: null,
  steps: null,
  trace: null,
  firstTokenMs: null,
});

export const stepOf = (
  record: Pick<TokenRecord, "token" | "logprob" | "log_ratio" | "base_token" | "vouch" | "contested">,
): Step => ({
  text: record.token.text,
  logprob: record.logprob,
  base: record.base_token && { text: record.base_token.text, logprob: record.base_token.logprob },
  logRatio: record.log_ratio,
  vouch: record.vouch,
  contested: record.contested
    ? {
        by: record.contested.by,
        says: record.contested.token.text,
        against: record.contested.against,
      }
    : null,
});
