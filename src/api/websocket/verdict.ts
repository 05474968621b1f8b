import { ShouldersError } from "../../errors.js";
import type { ApiContext } from "../context.js";
import { runJudgement, type JudgePlan } from "../fusion/judge.js";
import { outcomeOf, type Outcome } from "../metrics.js";
import { toOpenAiError } from "../openai-error.js";
import type { SocketResponse } from "./response.js";

/** Judges for a socket, up to its one `verdict.done`; never throws. */
export async function runVerdict(
  context: ApiContext,
  { id, plan, signal, send }: Omit<SocketResponse, "plan"> & { plan: JudgePlan },
): Promise<Outcome> {
  try {
    const verdict = await runJudgement(context, plan, signal);
    if (verdict === null) {
      await send({ type: "verdict.done", response_id: id, status: "cancelled" });
      return "aborted";
    }
    await send({ type: "verdict.done", response_id: id, status: "completed", verdict });
    return "ok";
  } catch (thrown) {
    const error = ShouldersError.from(thrown);
    if (error.status === 500) context.log.error({ requestId: plan.id, err: error }, "verdict failed");
    await send({
      type: "verdict.done",
      response_id: id,
      status: "failed",
      error: toOpenAiError(error).body.error,
    });
    return outcomeOf(error.status);
  }
}
