import type { Response } from "express";
import { requireEngine, type ApiContext } from "../context.js";
import { localsOf } from "../middleware/locals.js";
import { closedSignal } from "../sse-writer.js";
import { withoutGrammar } from "./answer-grammar.js";
import type { PlanOptions, RequestPlan } from "./plan.js";

/** What a plan for a request over HTTP is made with that is answered without a grammar. */
export function planOptions(context: ApiContext, response: Response): PlanOptions {
  return {
    requester: localsOf(response),
    description: requireEngine(context),
    keptTrace: context.keptTrace,
    replica: context.replica,
    writeGrammar: withoutGrammar,
  };
}

/** Makes a plan for an answer. What takes long of its grammar is written in another thread. */
export function planAnswer<Plan>(
  context: ApiContext,
  response: Response,
  plan: (options: PlanOptions) => Plan,
): Promise<Plan> {
  const asker = () => ({ party: localsOf(response).party, signal: closedSignal(response, context.cut) });
  const options = planOptions(context, response);
  return context.grammars.plan(asker, (writeGrammar) => plan({ ...options, writeGrammar }));
}

/**
 * Tells log and metrics which model answers, and the client which trace is the answer's, kept or not: a stream that has
 * begun while its model was loaded says so by its id alone.
 */
export function nameAnswer(response: Response, { model, id }: Pick<RequestPlan, "model" | "id">): void {
  localsOf(response).model = model;
  if (!response.headersSent) response.set("X-Shoulders-Trace", id);
}
