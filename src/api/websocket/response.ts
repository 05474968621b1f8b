import { noUsage } from "../../engine/protocol.js";
import type { GeneratedToken, GenerationRequest, Usage } from "../../engine/protocol.js";
import { ShouldersError } from "../../errors.js";
import type { ApiContext } from "../context.js";
import { outcomeOf, type Outcome } from "../metrics.js";
import { toOpenAiError } from "../openai-error.js";
import { chatLogprobs } from "../openai/logprobs.js";
import type { CompletionPlan } from "../openai/plan.js";
import { recordsOf, toUsage } from "../openai/shapes.js";
import { runCompletion } from "../run-completion.js";
import type { EndedResponse, ServerFrame } from "./frames.js";

type Send = (frame: ServerFrame) => Promise<void>;

interface SocketResponse {
  id: string;
  plan: CompletionPlan;
  signal: AbortSignal;
  /** Resolves when the reader has taken the frame. */
  send: Send;
}

/** Runs one response of a socket from `response.created` to its one `response.done`; never throws. */
export async function runResponse(
  context: ApiContext,
  { id, plan, signal, send }: SocketResponse,
): Promise<Outcome> {
  let text = "";
  let usage: Usage = noUsage;
  let end: Pick<EndedResponse, "status" | "finish_reason" | "error"> = {
    status: "cancelled",
    finish_reason: null,
  };
  let outcome: Outcome = "aborted";
  const delta = async (piece: string, tokens: readonly GeneratedToken[]) => {
    text += piece;
    const frame = deltaFrame(id, plan.request, piece, tokens);
    if (piece !== "" || frame.tokens.length > 0 || frame.logprobs) await send(frame);
  };
  await send({
    type: "response.created",
    response: { id, status: "in_progress", model: plan.model, trace_id: plan.request.requestId },
  });
  try {
    for await (const event of runCompletion(context, plan, signal)) {
      if (event.type === "accepted") {
        usage = { ...usage, promptTokens: event.promptTokens };
        continue;
      }
      usage = { ...usage, completionTokens: usage.completionTokens + event.tokens.length };
      await delta(event.type === "delta" ? event.text : "", event.tokens);
      if (event.type === "done") {
        usage = event.usage;
        end = {
          status: event.finishReason === "stop" ? "completed" : "incomplete",
          finish_reason: event.finishReason,
        };
        outcome = "ok";
      }
    }
  } catch (thrown) {
    const error = ShouldersError.from(thrown);
    if (error.status === 500)
      context.log.error({ requestId: plan.request.requestId, err: error }, "response failed");
    end = { status: "failed", finish_reason: null, error: toOpenAiError(error).body.error };
    outcome = outcomeOf(error.status);
  }
  await send({ type: "response.output_text.done", response_id: id, text });
  await send({ type: "response.done", response: { id, output_text: text, usage: toUsage(usage), ...end } });
  return outcome;
}

function deltaFrame(
  id: string,
  { trace, topLogprobs }: GenerationRequest,
  delta: string,
  tokens: readonly GeneratedToken[],
) {
  return {
    type: "response.output_text.delta",
    response_id: id,
    delta,
    tokens: trace === "off" ? [] : recordsOf(tokens),
    ...(topLogprobs !== null && tokens.length > 0 && { logprobs: chatLogprobs(tokens) }),
  } satisfies ServerFrame;
}
