import type { SamplingSettings } from "../../config/fusion-config.js";
import type { FusionUsage, GeneratedToken, Usage } from "../../protocol/protocol.js";
import { toRounded } from "../../wire/numbers.js";
import { withoutFull, type TokenRecord, type TraceLevel } from "../../wire/token-record.js";
import type { SamplingBody } from "../../wire/sampling.js";
import type { UsageRecord } from "../../wire/usage.js";

/** What a level tells of tokens. */
export function recordsOf(tokens: readonly GeneratedToken[], level: TraceLevel): TokenRecord[] {
  if (level === "off") return [];
  return tokens.map(({ record }) => (level === "full" ? record : withoutFull(record)));
}

/** What an answer took, in the names of OpenAI's API; what is ours under `fusion`. */
export function toUsage({
  promptTokens,
  completionTokens,
  cachedTokens,
  reasoningTokens,
  fusion,
}: Usage): UsageRecord {
  return {
    prompt_tokens: promptTokens,
    completion_tokens: completionTokens,
    total_tokens: promptTokens + completionTokens,
    prompt_tokens_details: { cached_tokens: cachedTokens },
    completion_tokens_details: {
      ...(reasoningTokens > 0 && { reasoning_tokens: reasoningTokens }),
      accepted_prediction_tokens: fusion.accepted,
      rejected_prediction_tokens: fusion.drafted - fusion.accepted,
    },
    fusion: toFusionUsage(fusion),
  };
}

export function toFusionUsage(usage: FusionUsage): UsageRecord["fusion"] {
  const { nats, flipped, tokens, certain, contested, unvouched } = usage;
  const { basePasses, lost, skippedShare, uncertified, unknown } = usage;
  return {
    nats: toRounded(nats),
    ...{ flipped, tokens, certain, contested, unvouched },
    base_passes: basePasses,
    ...(lost > 0 && { loss: toRounded(lost) }),
    skipped_share: toRounded(skippedShare),
    ...(uncertified > 0 && { exact: false, uncertified, bound: toRounded(unknown) }),
  };
}

/** Settings of sampling by the names of the API. */
export function toSampling(sampling: SamplingSettings): SamplingBody {
  return {
    temperature: sampling.temperature,
    top_k: sampling.topK,
    top_p: sampling.topP,
    min_p: sampling.minP,
    typical_p: sampling.typicalP,
    repeat_penalty: sampling.repeatPenalty,
    presence_penalty: sampling.presencePenalty,
    frequency_penalty: sampling.frequencyPenalty,
  };
}
