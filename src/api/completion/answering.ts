import type { Response } from "express";
import { requireEngine, type ApiContext } from "../context.js";
import { localsOf } from "../middleware/locals.js";
import type { PlanOptions, RequestPlan } from "./plan.js";

/** What a plan for a request over HTTP is made with. */
export function planOptions(context: ApiContext, response: Response): PlanOptions {
  return {
    requester: localsOf(response),
    description: requireEngine(context),
    keptTrace: context.keptTrace,
    replica: context.replica,
  };
}

/**
 * Tells log and metrics which model answers, and the client which trace is the answer's, kept or not: a stream that has
 * begun while its model was loaded says so by its id alone.
 */
export function nameAnswer(response: Response, { model, id }: Pick<RequestPlan, "model" | "id">): void {
  localsOf(response).model = model;
  if (!response.headersSent) response.set("X-Shoulders-Trace", id);
}
