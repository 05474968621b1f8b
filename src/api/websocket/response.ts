import { ShouldersError } from "../../errors.js";
import type { ApiContext } from "../context.js";
import { outcomeOf, type Outcome } from "../metrics.js";
import { toOpenAiError } from "../openai-error.js";
import type { RequestPlan } from "../completion/plan.js";
import { formatsOf, ignoredOf, totalUsage } from "../openai/shapes.js";
import { runChoices } from "../completion/run-choices.js";
import { SocketChoice } from "./choice.js";
import type { EndedResponse, EndedStatus, ServerFrame } from "../../wire/frames.js";

type Send = (frame: ServerFrame) => Promise<void>;

export interface SocketResponse {
  id: string;
  plan: RequestPlan;
  signal: AbortSignal;
  /** Resolves when the reader has taken the frame. */
  send: Send;
}

/** Runs one response of a socket from `response.created` to its one `response.done`; never throws. */
export async function runResponse(
  context: ApiContext,
  { id, plan, signal, send }: SocketResponse,
): Promise<Outcome> {
  const { reports } = plan;
  const choices = formatsOf(plan).map(
    (format, index) => new SocketChoice({ place: { response_id: id, choice_index: index }, format, reports }),
  );
  const sendAll = async (frames: ServerFrame[]) => {
    for (const frame of frames) await send(frame);
  };
  const end = async (status: EndedStatus, error?: EndedResponse["error"]) => {
    for (const choice of choices) await sendAll(choice.close());
    const ended = choices.map((choice) => choice.ended);
    const { output_text = "", finish_reason = null } = ended[0] ?? {};
    const usage = totalUsage(
      choices.map((choice) => choice.usage),
      plan,
    );
    const response = { id, status, output_text, choices: ended, usage, finish_reason };
    await send({ type: "response.done", response: { ...response, ...(error && { error }) } });
  };
  await send({
    type: "response.created",
    response: {
      id,
      status: "in_progress",
      model: plan.model,
      trace_id: plan.id,
      ...ignoredOf(plan),
    },
  });
  try {
    for await (const { index, event } of runChoices(context, plan, signal))
      await sendAll(choices[index]?.frames(event) ?? []);
  } catch (thrown) {
    const error = ShouldersError.from(thrown);
    if (error.status === 500) context.log.error({ requestId: plan.id, err: error }, "response failed");
    await end("failed", toOpenAiError(error).body.error);
    return outcomeOf(error.status);
  }
  const reasons = choices.map(({ ended }) => ended.finish_reason);
  if (reasons.includes(null)) {
    await end("cancelled");
    return "aborted";
  }
  await end(reasons.includes("length") ? "incomplete" : "completed");
  return "ok";
}
