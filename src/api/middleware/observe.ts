import { randomUUID } from "node:crypto";
import type { RequestHandler, Response } from "express";
import type { ApiContext } from "../context.js";
import { outcomeOf, type Outcome } from "../metrics.js";
import { localsOf, type RequestLocals } from "./locals.js";

/** Asked for by machines every few seconds: neither counted (a scrape changes nothing) nor logged. */
const operations = new Set(["/livez", "/readyz", "/health", "/metrics"]);

/** Gives the request its id, and counts and logs its one end. */
export function observe({ metrics, log }: ApiContext): RequestHandler {
  return (request, response, next) => {
    const startedAt = performance.now();
    const requestId = acceptableId(request.get("x-request-id")) ?? randomUUID();
    response.set("X-Request-Id", requestId);
    Object.assign(response.locals, {
      requestId,
      route: "unmatched",
      model: "none",
      outcome: null,
      error: null,
    } satisfies RequestLocals);
    const isOperation = operations.has(request.path);
    if (!isOperation) metrics.requestStarted();
    response.once("close", () => {
      const { route, model, error } = localsOf(response);
      if (error?.status === 500) log.error({ requestId, route, err: error }, "request failed");
      if (isOperation) return;
      const outcome = endOf(response);
      metrics.requestEnded({ route, model, outcome });
      const line = { requestId, method: request.method, route, model, status: response.statusCode, outcome };
      const durationMs = Math.round(performance.now() - startedAt);
      log.info({ ...line, code: error?.code, durationMs }, "request ended");
    });
    next();
  };
}

function acceptableId(given: string | undefined): string | null {
  return given !== undefined && /^[\w.:-]{1,128}$/.test(given) ? given : null;
}

function endOf(response: Response): Outcome {
  if (!response.writableFinished) return "aborted";
  return localsOf(response).outcome ?? outcomeOf(response.statusCode);
}
