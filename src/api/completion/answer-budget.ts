import type { ConfigDescription, GenerationRequest } from "../../protocol/protocol.js";
import { ShouldersError } from "../../errors.js";
import type { RequestPlan } from "./plan.js";

/** Most bytes of JSON of an answer that is not streamed: it is held until it is complete, and written at once. */
const mostBytes = 16 * 1024 * 1024;
/**
 * What a part of an answer takes as JSON, bytes, as it was measured; log-probabilities: between a completion's and a
 * chat's, which has three times as much of them; `curve`: of an expert in a full trace.
 */
const costs = { text: 8, logprobs: 47, candidate: 32, record: 450, expert: 130, traced: 55, curve: 2600 };
/** Candidates of each model, and of the fusion, in a full trace. */
const numTraced = 10;

/** What a plan says of the size of its answer. */
interface AskedOf extends Pick<RequestPlan, "fieldName" | "reports"> {
  request: Pick<RequestPlan["request"], "topLogprobs">;
}

/**
 * How much an answer that is not streamed may come to hold: small requests can ask for large ones. Its tokens are
 * counted by what is told of each.
 */
export class AnswerBudget {
  readonly #mostTokens: number;
  /** The field by which the client says how long the answer is. */
  readonly #param: string;
  #numTokens = 0;

  constructor({ request, reports, fieldName }: AskedOf, config: ConfigDescription) {
    const told = { trace: reports, topLogprobs: request.topLogprobs };
    this.#mostTokens = Math.floor(mostBytes / bytesOfToken(told, config));
    this.#param = fieldName("max_tokens");
  }

  /** @throws ShouldersError `invalid_request`: more tokens than there is room for. */
  take(numTokens: number): void {
    this.#numTokens += numTokens;
    this.check(this.#numTokens);
  }

  /** @throws ShouldersError `invalid_request`: there is no room for so many. */
  check(numTokens: number): void {
    if (numTokens <= this.#mostTokens) return;
    throw new ShouldersError(
      "invalid_request",
      `An answer in one piece may tell of ${this.#mostTokens} tokens in all its choices when it tells so much of each: ` +
        "stream it, or ask for fewer choices or tokens, fewer logprobs, or less in fusion.trace.",
      { param: this.#param },
    );
  }
}

/** About how many bytes of JSON an answer has for a token. */
export function bytesOfToken(
  { trace, topLogprobs }: Pick<GenerationRequest, "trace" | "topLogprobs">,
  { experts, reference }: ConfigDescription,
): number {
  const logprobs = topLogprobs === null ? 0 : costs.logprobs + costs.candidate * topLogprobs;
  const record = trace === "off" ? 0 : costs.record + costs.expert * experts.length;
  const numRows = 2 + (reference ? 1 : 0) + experts.length;
  const full = costs.traced * numTraced * numRows + costs.curve * experts.length;
  return costs.text + logprobs + record + (trace === "full" ? full : 0);
}
