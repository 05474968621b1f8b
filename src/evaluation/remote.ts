import { z } from "zod";
import { ShouldersError } from "../errors.js";
import { tokenRecordSchema } from "../wire/token-record.js";

/** An OpenAI-compatible server. */
export interface Remote {
  /** Up to and without `/chat/completions`, e.g. `http://127.0.0.1:8080/v1`. */
  url: string;
  /** Sent as a bearer token; null: none. */
  apiKey: string | null;
}

const choice = z.object({
  /** Of a server of ours that was asked for them. */
  fusion: z.object({ tokens: z.array(tokenRecordSchema).optional() }).optional(),
  text: z.string().optional(),
  message: z.object({ content: z.string().nullable() }).optional(),
  finish_reason: z.string().nullable(),
  logprobs: z
    .object({
      token_logprobs: z.array(z.number().nullable()).optional(),
      text_offset: z.array(z.int()).optional(),
    })
    .nullish(),
});
const completionSchema = z.object({
  id: z.string().optional(),
  choices: z.array(choice).min(1),
  usage: z.object({ prompt_tokens: z.number(), completion_tokens: z.number() }).optional(),
});
const errorSchema = z.object({ error: z.object({ message: z.string() }) });

export type RemoteCompletion = z.output<typeof completionSchema>;

/**
 * @throws ShouldersError `remote_failed`; 429 and 503 keep the codes that a caller tries again for.
 */
export async function postCompletion(
  { url, apiKey }: Remote,
  path: "/chat/completions" | "/completions",
  body: object,
  signal: AbortSignal,
): Promise<RemoteCompletion> {
  const address = `${url.replace(/\/+$/, "")}${path}`;
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

function refusal(address: string, status: number, answer: unknown): ShouldersError {
  const parsed = errorSchema.safeParse(answer);
  const said = parsed.success ? `: ${parsed.data.error.message}` : "";
  const code = status === 429 ? "queue_full" : status === 503 ? "engine_not_ready" : "remote_failed";
  return new ShouldersError(code, `${address} answered ${status}${said}`);
}
