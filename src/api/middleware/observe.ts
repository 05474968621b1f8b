import { randomUUID } from "node:crypto";
import type { RequestHandler } from "express";
import { anonymous } from "../access/key-ring.js";
import type { ApiContext } from "../context.js";
import { outcomeOf } from "../metrics.js";
import { localsOf, type RequestLocals } from "./locals.js";

/** Asked for by machines every few seconds: neither counted (a scrape changes nothing) nor logged. */
export const operations = new Set(["/livez", "/readyz", "/health", "/metrics"]);

/** Gives the request its id, and counts and logs its one end. */
export function observe({ metrics, log, replica }: ApiContext): RequestHandler {
  return (request, response, next) => {
    const startedAt = performance.now();
    const requestId = requestIdOf(request.headers["x-request-id"]);
    response.set("X-Request-Id", requestId);
    if (replica !== "") response.set("X-Shoulders-Replica", replica);
    Object.assign(response.locals, {
      requestId,
      route: "unmatched",
      model: "none",
      owner: anonymous,
      party: anonymous,
      outcome: null,
      error: null,
    } satisfies RequestLocals);
    const isOperation = operations.has(request.path);
    if (!isOperation) metrics.requestStarted();
    let isTaken = false;
    // Said of a connection that breaks with the end of the answer unread, too.
    response.once("finish", () => (isTaken = !response.destroyed && !request.socket.destroyed));
    response.once("close", () => {
      const { route, model, owner, error, outcome: own } = localsOf(response);
      if (error?.status === 500) log.error({ requestId, route, err: error }, "request failed");
      if (isOperation) return;
      const outcome = isTaken ? (own ?? outcomeOf(response.statusCode)) : "aborted";
      metrics.requestEnded({ route, model, owner, outcome });
      const labels = { route, model, key: owner, status: response.statusCode, outcome };
      const durationMs = Math.round(performance.now() - startedAt);
      log.info(
        { requestId, method: request.method, ...labels, code: error?.code, durationMs },
        "request ended",
      );
    });
    next();
  };
}

/** The client's own where it may stand in a log, or a new one. */
export function requestIdOf(given: string | string[] | undefined): string {
  return typeof given === "string" && /^[\w.:-]{1,128}$/.test(given) ? given : randomUUID();
}
