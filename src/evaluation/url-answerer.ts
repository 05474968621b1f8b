import { ShouldersError } from "../errors.js";
import { type Answer, type Answerer, stepOf, wholeAnswer } from "./answerer.js";
import type { Plan } from "./methods/method.js";
import { type Remote, type RemoteCompletion, postCompletion } from "./remote.js";
import { type Likelihood, candidatesOf, likelihoodOf, likeliest } from "./scorers.js";
import type { Item } from "./tasks/task.js";

export interface UrlOptions extends Remote {
  seed: number;
  /** Whether it is a server of ours, which is told a plan's strategy and asked who stands behind each token. */
  isOurs?: boolean;
}

/**
 * Asks an OpenAI-compatible server: `/chat/completions` for a conversation, `/completions` for a plain prompt. A
 * plan's config is the model's name there. What only a server of ours knows is asked of those alone: others refuse
 * fields that they do not know.
 */
export class UrlAnswerer implements Answerer {
  readonly #options: UrlOptions;

  constructor(options: UrlOptions) {
    this.#options = options;
  }

  async answer({ configId, strategy }: Plan, item: Item, signal: AbortSignal): Promise<Answer | null> {
    const { prompt, stop, maxTokens } = item;
    const { seed, isOurs = false, url } = this.#options;
    const body = {
      model: configId,
      ...(prompt.type === "chat" ? { messages: prompt.messages } : { prompt: prompt.text }),
      max_tokens: maxTokens,
      temperature: 0,
      seed,
      ...(stop.length > 0 ? { stop } : {}),
      ...(isOurs && { fusion: { strategy, trace: "weights", audit: "rows" } }),
    };
    const startMs = performance.now();
    const answered = await this.#post(
      prompt.type === "chat" ? "/chat/completions" : "/completions",
      body,
      signal,
    );
    if (answered === null) return null;
    const [first] = answered.choices;
    return {
      ...wholeAnswer(first?.message?.content ?? first?.text ?? "", null),
      finishReason: first?.finish_reason === "length" ? "length" : "stop",
      promptTokens: answered.usage?.prompt_tokens ?? 0,
      numTokens: answered.usage?.completion_tokens ?? 0,
      steps: isOurs ? (first?.fusion?.tokens ?? []).map(stepOf) : null,
      trace: isOurs ? `${url.replace(/\/+$/, "")}/fusion/traces/${answered.id ?? ""}` : null,
      totalMs: performance.now() - startMs,
    };
  }

  /** By an echo of prompt and candidate with log-probabilities, as evaluation harnesses ask. */
  async likelihoods({ configId }: Plan, item: Item, signal: AbortSignal): Promise<Answer | null> {
    const { prompt } = item;
    if (prompt.type === "chat")
      throw new ShouldersError(
        "evaluation_invalid",
        "a server tells likelihoods of plain prompts only: give prompt instead of messages, or leave --url out",
      );
    const startMs = performance.now();
    const candidates = candidatesOf(item);
    const likelihoods: Likelihood[] = [];
    let promptTokens = 0;
    for (const candidate of candidates) {
      const space = /\s$/.test(prompt.text) || /^\s/.test(candidate) ? "" : " ";
      const body = {
        model: configId,
        prompt: `${prompt.text}${space}${candidate}`,
        ...{ max_tokens: 1, temperature: 0, echo: true, logprobs: 1, seed: this.#options.seed },
      };
      const answered = await this.#post("/completions", body, signal);
      if (answered === null) return null;
      promptTokens = answered.usage?.prompt_tokens ?? 0;
      likelihoods.push(likelihoodOf(givenLogprobs(answered, prompt.text.length, body.prompt.length)));
    }
    return {
      ...wholeAnswer(candidates[likeliest(likelihoods)] ?? "", likelihoods),
      promptTokens,
      totalMs: performance.now() - startMs,
    };
  }

  identityOf({ configId, strategy }: Plan): unknown {
    const { url, isOurs = false } = this.#options;
    return { url, model: configId, ...(isOurs && { strategy }) };
  }

  /** @returns null when the signal ended it. */
  async #post(
    path: Parameters<typeof postCompletion>[1],
    body: object,
    signal: AbortSignal,
  ): Promise<RemoteCompletion | null> {
    try {
      return await postCompletion(this.#options, path, body, signal);
    } catch (error) {
      if (signal.aborted) return null;
      throw error;
    }
  }
}

/** Log-probabilities of an echo's tokens that begin within [from, to), in characters of its text. */
function givenLogprobs({ choices }: RemoteCompletion, from: number, to: number): number[] {
  const { token_logprobs: logprobs = [], text_offset: offsets = [] } = choices[0]?.logprobs ?? {};
  const given = logprobs.filter((_, index) => (offsets[index] ?? -1) >= from && (offsets[index] ?? to) < to);
  const known = given.filter((logprob) => logprob !== null);
  if (known.length > 0) return known;
  throw new ShouldersError("remote_failed", "the server gives no log-probabilities of an echoed prompt");
}
