import { ShouldersError } from "../../errors.js";
import type { ApiContext } from "../context.js";
import { type DebatePlan, runDebate } from "../fusion/debate.js";
import { outcomeOf, type Outcome } from "../metrics.js";
import { toOpenAiError } from "../openai-error.js";
import type { SocketResponse } from "./response.js";

/** Holds a debate for a socket, up to its one `debate.done`; never throws. */
export async function runSocketDebate(
  context: ApiContext,
  { id, plan, signal, send }: Omit<SocketResponse, "plan"> & { plan: DebatePlan },
): Promise<Outcome> {
  const done = { type: "debate.done", response_id: id } as const;
  try {
    const debate = await runDebate(context, plan, {
      signal,
      tell: (event) => send({ ...event, response_id: id }),
    });
    await send(debate === null ? { ...done, status: "cancelled" } : { ...done, status: "completed", debate });
    return debate === null ? "aborted" : "ok";
  } catch (thrown) {
    const error = ShouldersError.from(thrown);
    if (error.status === 500) context.log.error({ requestId: plan.id, err: error }, "debate failed");
    await send({ ...done, status: "failed", error: toOpenAiError(error).body.error });
    return outcomeOf(error.status);
  }
}
