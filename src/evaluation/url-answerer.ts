import { z } from "zod";
import { ShouldersError } from "../errors.js";
import type { Answer, Answerer } from "./answerer.js";
import type { Plan } from "./methods/method.js";
import type { Item } from "./tasks/task.js";

const choice = z.object({
  text: z.string().optional(),
  message: z.object({ content: z.string().nullable() }).optional(),
  finish_reason: z.string().nullable(),
});
const completionSchema = z.object({
  choices: z.array(choice).min(1),
  usage: z.object({ prompt_tokens: z.number(), completion_tokens: z.number() }).optional(),
});
const errorSchema = z.object({ error: z.object({ message: z.string() }) });

export interface UrlOptions {
  /** Up to and without `/chat/completions`, e.g. `http://127.0.0.1:8080/v1`. */
  url: string;
  /** Sent as a bearer token; null: none. */
  apiKey: string | null;
  seed: number;
}

/**
 * Asks an OpenAI-compatible server: `/chat/completions` for a conversation, `/completions` for a plain prompt. A
 * plan's config is the model's name there. Weights and divergences are not asked for: other servers refuse fields
 * that they do not know.
 */
export class UrlAnswerer implements Answerer {
  readonly #options: UrlOptions;

  constructor(options: UrlOptions) {
    this.#options = { ...options, url: options.url.replace(/\/+$/, "") };
  }

  async answer(plan: Plan, item: Item, signal: AbortSignal): Promise<Answer | null> {
    const startMs = performance.now();
    try {
      const { choices, usage } = await this.#post(plan, item, signal);
      const [first] = choices;
      return {
        text: first?.message?.content ?? first?.text ?? "",
        finishReason: first?.finish_reason === "length" ? "length" : "stop",
        promptTokens: usage?.prompt_tokens ?? 0,
        numTokens: usage?.completion_tokens ?? 0,
        weights: null,
        shares: null,
        forward: null,
        flipped: null,
        skippedShare: null,
        firstTokenMs: null,
        totalMs: performance.now() - startMs,
      };
    } catch (error) {
      if (signal.aborted) return null;
      throw error;
    }
  }

  identityOf({ configId }: Plan): unknown {
    return { url: this.#options.url, model: configId };
  }

  async #post(
    { configId }: Plan,
    { prompt, stop, maxTokens }: Item,
    signal: AbortSignal,
  ): Promise<z.output<typeof completionSchema>> {
    const { url, apiKey, seed } = this.#options;
    const address = `${url}${prompt.type === "chat" ? "/chat/completions" : "/completions"}`;
    const body = {
      model: configId,
      ...(prompt.type === "chat" ? { messages: prompt.messages } : { prompt: prompt.text }),
      max_tokens: maxTokens,
      temperature: 0,
      seed,
      ...(stop.length > 0 ? { stop } : {}),
    };
    let response: Response;
    try {
      response = await fetch(address, {
        method: "POST",
        headers: {
          "Content-Type": "application/json",
          ...(apiKey === null ? {} : { Authorization: `Bearer ${apiKey}` }),
        },
        body: JSON.stringify(body),
        signal,
      });
    } catch (error) {
      throw new ShouldersError("remote_failed", `${address} cannot be reached: is the server up?`, {
        cause: error,
      });
    }
    const answer: unknown = await response.json().catch(() => null);
    if (!response.ok) throw refusal(address, response.status, answer);
    const parsed = completionSchema.safeParse(answer);
    if (!parsed.success)
      throw new ShouldersError("remote_failed", `${address} answered something that is not a completion.`);
    return parsed.data;
  }
}

/** 429 and 503 keep the codes that a caller tries again for. */
function refusal(address: string, status: number, answer: unknown): ShouldersError {
  const parsed = errorSchema.safeParse(answer);
  const said = parsed.success ? `: ${parsed.data.error.message}` : "";
  const code = status === 429 ? "queue_full" : status === 503 ? "engine_not_ready" : "remote_failed";
  return new ShouldersError(code, `${address} answered ${status}${said}`);
}
