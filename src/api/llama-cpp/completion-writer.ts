import { invariant, type ShouldersError } from "../../errors.js";
import type { SamplingSettings } from "../../config/fusion-config.js";
import type { GeneratedToken, GenerationEvent, Usage } from "../../protocol/protocol.js";
import type { ErrorBody } from "../../wire/error.js";
import type {
  LlamaCompletion,
  LlamaEvent,
  LlamaProbability,
  LlamaSettings,
  LlamaTimings,
} from "../../wire/llama-cpp.js";
import type { RequestPlan } from "../completion/plan.js";
import { recordsOf, toSampling } from "../completion/records.js";
import type { AnswerWriter } from "../completion/serve-answer.js";
import { toOpenAiError } from "../openai-error.js";

type Done = Extract<GenerationEvent, { type: "done" }>;

interface WriterOptions {
  prompt: string | number[];
  /** Whether ids of tokens are told. */
  hasTokens: boolean;
}

/** Writes one text completion as llama-server does, whole or as events. */
export class CompletionWriter implements AnswerWriter<LlamaCompletion, LlamaEvent | ErrorBody> {
  readonly repeatsAll = false;
  readonly #plan: RequestPlan;
  readonly #options: WriterOptions;
  readonly #startMs = performance.now();
  #firstMs: number | null = null;
  #lastMs = 0;
  #text = "";
  readonly #tokens: GeneratedToken[] = [];
  #numPredicted = 0;
  #numPrompt = 0;
  #done: Done | null = null;

  constructor(plan: RequestPlan, options: WriterOptions) {
    this.#plan = plan;
    this.#options = options;
  }

  events(event: GenerationEvent): (LlamaEvent | ErrorBody)[] {
    if (event.type === "accepted") {
      this.#numPrompt = event.promptTokens;
      return [];
    }
    this.#lastMs = performance.now();
    this.#firstMs ??= this.#lastMs;
    this.#numPredicted += event.tokens.length;
    if (event.type === "done") {
      this.#done = event;
      return [this.#ending({ text: "", tokens: event.tokens, shown: [] })];
    }
    const { text, tokens } = event;
    this.#text += text;
    this.#tokens.push(...tokens);
    return [{ ...this.#progress({ text, tokens, shown: tokens }), stop: false }];
  }

  whole(): LlamaCompletion {
    const tokens = [...this.#tokens, ...(this.#done?.tokens ?? [])];
    return this.#ending({ text: this.#text, tokens, shown: this.#tokens });
  }

  failed(error: ShouldersError): ErrorBody[] {
    return [toOpenAiError(error).body];
  }

  #progress({ text, tokens, shown }: Part): Omit<Extract<LlamaEvent, { stop: false }>, "stop"> {
    const { request, reports, ignored } = this.#plan;
    const records = recordsOf(tokens, reports);
    const isFirst = this.#numPredicted === tokens.length;
    const fusion = {
      ...(isFirst && ignored.length > 0 && { ignored }),
      ...(records.length > 0 && { tokens: records }),
    };
    return {
      index: 0,
      content: text,
      tokens: this.#options.hasTokens ? shown.map(({ record }) => record.token.id) : [],
      id_slot: -1,
      tokens_predicted: this.#numPredicted,
      tokens_evaluated: this.#numPrompt,
      ...(request.topLogprobs !== null && { completion_probabilities: shown.map(probabilityOf) }),
      ...(Object.keys(fusion).length > 0 && { fusion }),
    };
  }

  #ending(part: Part): LlamaCompletion {
    const done = this.#done;
    invariant(done, "an answer is written when it is over");
    const { request, model, seed, isStream } = this.#plan;
    const { usage, finishReason, stopString, outlook = {} } = done;
    const progress = this.#progress(part);
    const fusion = { ...progress.fusion, ...outlook };
    return {
      ...progress,
      ...(Object.keys(fusion).length > 0 && { fusion }),
      stop: true,
      model,
      generation_settings: settingsOf(request.sampling, {
        n_predict: request.maxTokens ?? -1,
        seed: seed ?? -1,
        stop: request.stop,
        stream: isStream,
      }),
      prompt: this.#options.prompt,
      has_new_line: this.#text.includes("\n"),
      truncated: false,
      stop_type: finishReason === "length" ? "limit" : stopString === null ? "eos" : "word",
      stopping_word: stopString ?? "",
      tokens_predicted: usage.completionTokens,
      tokens_cached: usage.cachedTokens,
      timings: this.#timings(usage),
    };
  }

  #timings({ promptTokens, cachedTokens, completionTokens }: Usage): LlamaTimings {
    const first = this.#firstMs ?? this.#lastMs;
    const numRead = promptTokens - cachedTokens;
    const promptMs = first - this.#startMs;
    const predictedMs = this.#lastMs - first;
    return {
      cache_n: cachedTokens,
      prompt_n: numRead,
      prompt_ms: promptMs,
      prompt_per_token_ms: perOne(promptMs, numRead),
      prompt_per_second: 1000 * perOne(numRead, promptMs),
      predicted_n: completionTokens,
      predicted_ms: predictedMs,
      predicted_per_token_ms: perOne(predictedMs, completionTokens),
      predicted_per_second: 1000 * perOne(completionTokens, predictedMs),
    };
  }
}

/** `tokens`: all of a part; `shown`: those of its text. */
interface Part {
  text: string;
  tokens: readonly GeneratedToken[];
  shown: readonly GeneratedToken[];
}

const perOne = (all: number, count: number): number => (count === 0 ? 0 : all / count);

/** Settings of sampling under llama.cpp's names. */
export function settingsOf(
  sampling: SamplingSettings,
  others: Pick<LlamaSettings, "n_predict" | "seed" | "stop" | "stream">,
): LlamaSettings {
  return {
    ...others,
    ...toSampling(sampling),
  };
}

function probabilityOf({ record, bytes, topLogprobs }: GeneratedToken): LlamaProbability {
  const { id, text } = record.token;
  return {
    ...{ id, token: text, bytes: [...bytes], logprob: record.logprob },
    top_logprobs: topLogprobs.map((top) => ({
      ...{ id: top.id, token: top.text, bytes: [...top.bytes], logprob: top.logprob },
    })),
  };
}
