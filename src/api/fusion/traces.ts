import type { RequestHandler } from "express";
import { z } from "zod";
import { ShouldersError } from "../../errors.js";
import { traceToCsv } from "../../trace/csv.js";
import type { Trace } from "../../trace/store.js";
import type { ApiContext } from "../context.js";
import { localsOf } from "../middleware/locals.js";
import { parseRequest } from "../parse.js";
import { closedSignal, SseWriter } from "../sse-writer.js";

export const listQuerySchema = z.strictObject({
  limit: z.coerce.number().int().min(1).max(1000).default(100).describe("Most traces to list."),
  after: z.string().optional().describe("Id of the last trace of the page before."),
});

export const traceQuerySchema = z.strictObject({
  format: z.enum(["json", "csv"]).default("json").describe("csv: one line a token."),
});

/** `GET /v1/fusion/traces`: headers, newest first. */
export function listTraces({ traces }: ApiContext): RequestHandler {
  return (request, response) => {
    const { limit, after } = parseRequest(listQuerySchema, { ...request.query });
    const all = traces.list(localsOf(response).owner);
    const start = after === undefined ? 0 : all.findIndex(({ id }) => id === after) + 1;
    if (after !== undefined && start === 0) throw traceNotFound("after");
    const data = all.slice(start, start + limit);
    response.json({ object: "list", data, has_more: start + data.length < all.length });
  };
}

/** `GET /v1/fusion/traces/{completion id}`, as JSON or CSV; also while the completion runs. */
export function getTrace({ traces }: ApiContext): RequestHandler<{ id: string }> {
  return (request, response) => {
    const { format } = parseRequest(traceQuerySchema, { ...request.query });
    const trace = found(traces.get(request.params.id, localsOf(response).owner));
    if (format === "json") {
      response.json(trace);
      return;
    }
    response.attachment(`${trace.id}.csv`);
    response.type("text/csv; charset=utf-8").send(traceToCsv(trace.tokens));
  };
}

/** `GET /v1/fusion/traces/{completion id}/events`: what is there, then what comes, until the end. */
export function followTrace({ traces, limits, cut }: ApiContext): RequestHandler<{ id: string }> {
  return async (request, response) => {
    const { id } = found(traces.get(request.params.id, localsOf(response).owner));
    const sse = new SseWriter(response, limits);
    try {
      for await (const event of traces.follow(id, closedSignal(response, cut))) await sse.send(event);
    } finally {
      sse.close();
    }
  };
}

function found(trace: Trace | null): Trace {
  if (trace === null) throw traceNotFound(null);
  return trace;
}

function traceNotFound(param: string | null): ShouldersError {
  return new ShouldersError(
    "trace_not_found",
    "No trace has this id: it was dropped for its age or size, its request had fusion.trace off, or it never was.",
    { param },
  );
}
