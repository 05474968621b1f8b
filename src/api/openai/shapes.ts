import type { FinishReason, GeneratedToken, Usage } from "../../engine/protocol.js";
import type { TokenRecord } from "../../trace/record.js";
import type { UsageRecord } from "../../trace/store.js";
import { chatLogprobs, TextLogprobsWriter } from "./logprobs.js";
import type { CompletionPlan } from "./plan.js";

type Tokens = readonly GeneratedToken[];

/** How one kind of completion writes its choice. One is made for each completion. */
interface ChoiceFormat {
  readonly object: string;
  readonly chunkObject: string;
  /** The choice of the first chunk, before any text; null: there is none. */
  opening(): object | null;
  delta(text: string, tokens: Tokens): object;
  ending(finishReason: FinishReason): object;
  whole(text: string, tokens: Tokens, finishReason: FinishReason): object;
}

function chatFormat(hasLogprobs: boolean): ChoiceFormat {
  const logprobs = (tokens: Tokens) => (hasLogprobs ? chatLogprobs(tokens) : null);
  const chunk = (delta: object, tokens: Tokens | null, finishReason: FinishReason | null) => ({
    index: 0,
    delta,
    logprobs: tokens && logprobs(tokens),
    finish_reason: finishReason,
  });
  return {
    object: "chat.completion",
    chunkObject: "chat.completion.chunk",
    opening: () => chunk({ role: "assistant", content: "" }, null, null),
    delta: (text, tokens) => chunk({ content: text }, tokens, null),
    ending: (finishReason) => chunk({}, null, finishReason),
    whole: (text, tokens, finishReason) => ({
      index: 0,
      message: { role: "assistant", content: text, refusal: null },
      logprobs: logprobs(tokens),
      finish_reason: finishReason,
    }),
  };
}

function textFormat(hasLogprobs: boolean): ChoiceFormat {
  const writer = new TextLogprobsWriter();
  const choice = (text: string, tokens: Tokens | null, finishReason: FinishReason | null) => ({
    text,
    index: 0,
    logprobs: hasLogprobs && tokens ? writer.write(tokens) : null,
    finish_reason: finishReason,
  });
  return {
    object: "text_completion",
    chunkObject: "text_completion",
    opening: () => null,
    delta: (text, tokens) => choice(text, tokens, null),
    ending: (finishReason) => choice("", null, finishReason),
    whole: choice,
  };
}

/** Writes the bodies of one completion, whole or in chunks. */
export class CompletionWriter {
  readonly #plan: CompletionPlan;
  readonly #format: ChoiceFormat;
  readonly #hasLogprobs: boolean;

  constructor(plan: CompletionPlan) {
    this.#plan = plan;
    this.#hasLogprobs = plan.request.topLogprobs !== null;
    this.#format = plan.kind === "chat" ? chatFormat(this.#hasLogprobs) : textFormat(this.#hasLogprobs);
  }

  opening(): object | null {
    const choice = this.#format.opening();
    return choice && this.#chunk([choice]);
  }

  /** null: there is nothing in it that this client would see. */
  delta(text: string, tokens: Tokens): object | null {
    if (text === "" && (tokens.length === 0 || !(this.#hasLogprobs || this.#isTraced))) return null;
    return this.#chunk([this.#withFusion(this.#format.delta(text, tokens), tokens)]);
  }

  ending(finishReason: FinishReason, hiddenTokens: Tokens): object {
    return this.#chunk([this.#withFusion(this.#format.ending(finishReason), hiddenTokens)]);
  }

  /** The chunk after the last one, where the client asked for it. */
  usage(usage: Usage): object | null {
    return this.#plan.includeUsage ? this.#chunk([], toUsage(usage)) : null;
  }

  /** @param tokens those whose text is shown; `hiddenTokens`: the others. */
  whole(
    text: string,
    tokens: Tokens,
    hiddenTokens: Tokens,
    end: { finishReason: FinishReason; usage: Usage },
  ) {
    const choice = this.#format.whole(text, tokens, end.finishReason);
    return {
      ...this.#envelope(this.#format.object),
      choices: [this.#withFusion(choice, [...tokens, ...hiddenTokens])],
      usage: toUsage(end.usage),
    };
  }

  get #isTraced(): boolean {
    return this.#plan.request.trace !== "off";
  }

  #withFusion(choice: object, tokens: Tokens): object {
    if (!this.#isTraced || tokens.length === 0) return choice;
    return { ...choice, fusion: { tokens: recordsOf(tokens) } };
  }

  #envelope(object: string) {
    const { request, created, model, systemFingerprint } = this.#plan;
    return { id: request.requestId, object, created, model, system_fingerprint: systemFingerprint };
  }

  #chunk(choices: object[], usage: UsageRecord | null = null): object {
    const chunk = { ...this.#envelope(this.#format.chunkObject), choices };
    return this.#plan.includeUsage ? { ...chunk, usage } : chunk;
  }
}

export function recordsOf(tokens: Tokens): TokenRecord[] {
  return tokens.map(({ record }) => record);
}

export function toUsage({ promptTokens, completionTokens, cachedTokens }: Usage): UsageRecord {
  return {
    prompt_tokens: promptTokens,
    completion_tokens: completionTokens,
    total_tokens: promptTokens + completionTokens,
    prompt_tokens_details: { cached_tokens: cachedTokens },
  };
}
