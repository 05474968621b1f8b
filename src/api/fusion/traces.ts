import { setImmediate as nextTurn } from "node:timers/promises";
import type { RequestHandler } from "express";
import { z } from "zod";
import { ShouldersError } from "../../errors.js";
import { TraceCsv } from "../../trace/csv.js";
import { withoutFull, type TokenRecord } from "../../wire/token-record.js";
import type { StoredTrace } from "../../trace/store.js";
import type { Trace, TraceList } from "../../wire/trace.js";
import type { ApiContext } from "../context.js";
import { replicaOf } from "../completion/plan.js";
import { localsOf } from "../middleware/locals.js";
import { parseRequest } from "../parse.js";
import { closedSignal, SseWriter, writePieces } from "../sse-writer.js";

export const listQuerySchema = z.strictObject({
  limit: z.coerce.number().int().min(1).max(1000).default(100).describe("Most traces to list."),
  after: z.string().optional().describe("Id of the last trace of the page before."),
});

export const traceQuerySchema = z.strictObject({
  format: z.enum(["json", "csv"]).default("json").describe("csv: one line a token."),
  level: z.enum(["weights", "full"]).default("full").describe("weights: without what only a full trace has."),
  offset: z.coerce.number().int().min(0).default(0).describe("The first token to tell of, from 0."),
  limit: z.coerce.number().int().min(1).optional().describe("Most tokens to tell of. Default: all."),
});

/** `GET /v1/fusion/traces`: headers, newest first. */
export function listTraces({ traces }: ApiContext): RequestHandler<object, TraceList> {
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
export function getTrace(context: ApiContext): RequestHandler<{ id: string }, Trace> {
  return async (request, response) => {
    const { format, ...part } = parseRequest(traceQuerySchema, { ...request.query });
    const trace = found(context, request.params.id, localsOf(response).owner);
    if (format === "json") response.type("json");
    else response.attachment(`${trace.header.id}.csv`).type("text/csv; charset=utf-8");
    if (request.method === "HEAD") {
      response.end();
      return;
    }
    const reading = { trace, ...part };
    const pieces = format === "json" ? jsonOf(reading) : csvOf(reading);
    const { turns, limits } = context;
    await writePieces(response, pieces, { turns, party: localsOf(response).party, ...limits });
  };
}

/** Characters of a part that is read in one turn. */
const pieceCharacters = 64 * 1024;

/** Which of a trace's records are asked for, and what of each. */
interface Reading extends Omit<z.output<typeof traceQuerySchema>, "format"> {
  trace: StoredTrace;
}

const isThinned = ({ level, trace }: Reading) => level === "weights" && trace.header.level === "full";

/** Reads a kept record as it is asked for. */
const recordOf = (reading: Reading) => (json: string) => {
  const record = JSON.parse(json) as TokenRecord;
  return isThinned(reading) ? withoutFull(record) : record;
};

/**
 * What is made of each record, oldest first, in pieces.
 * @throws ShouldersError when the trace is dropped meanwhile
 */
function* piecesOf<Made>(
  { trace, offset, limit = Infinity }: Reading,
  make: (json: string) => Made,
): Generator<Made[], void> {
  let made: Made[] = [];
  let size = 0;
  for (let index = offset; index < Math.min(trace.numTokens, offset + limit); index++) {
    const record = trace.recordAt(index);
    if (record === null) throw traceNotFound(null);
    made.push(make(record));
    size += record.length;
    if (size < pieceCharacters) continue;
    yield made;
    [made, size] = [[], 0];
  }
  if (made.length > 0) yield made;
}

function* jsonOf(reading: Reading): Generator<string, void> {
  const read = recordOf(reading);
  const written = (json: string) => (isThinned(reading) ? JSON.stringify(read(json)) : json);
  yield JSON.stringify(reading.trace.header).slice(0, -1) + ',"tokens":[';
  let separator = "";
  for (const records of piecesOf(reading, written)) {
    yield separator + records.join(",");
    separator = ",";
  }
  yield "]}";
}

function* csvOf(reading: Reading): Generator<string, void> {
  const [csv, read] = [new TraceCsv(), recordOf(reading)];
  // Columns are known once all has been seen; nothing is written until then.
  const seen = (json: string) => {
    csv.see(read(json));
    return "";
  };
  for (const nothing of piecesOf(reading, seen)) yield nothing.join("");
  yield csv.head();
  for (const lines of piecesOf(reading, (json) => csv.line(read(json)))) yield lines.join("");
}

/** `GET /v1/fusion/traces/{completion id}/events`: what is there, then what comes, until the end. */
export function followTrace(context: ApiContext): RequestHandler<{ id: string }> {
  return async (request, response) => {
    const { traces, limits, cut } = context;
    const { header } = found(context, request.params.id, localsOf(response).owner);
    const sse = new SseWriter(response, limits);
    try {
      for await (const event of traces.follow(header.id, closedSignal(response, cut))) {
        await sse.send(event.type === "trace.tokens" ? tokensEvent(event.records) : event);
        // Of a backlog that the reader takes at once.
        await nextTurn();
      }
    } finally {
      sse.close();
    }
  };
}

function tokensEvent(records: readonly string[]): string {
  return `{"type":"trace.tokens","tokens":[${records.join(",")}]}`;
}

function found({ traces, replica }: ApiContext, id: string, owner: string): StoredTrace {
  const trace = traces.get(id, owner);
  const other = replicaOf(id) ?? replica;
  if (trace === null && other !== replica)
    throw new ShouldersError(
      "trace_not_found",
      `The trace is at the replica "${other}", and this is ${replica === "" ? "another" : `"${replica}"`}: ask it there.`,
    );
  if (trace === null) throw traceNotFound(null);
  return trace;
}

function traceNotFound(param: string | null): ShouldersError {
  return new ShouldersError(
    "trace_not_found",
    "No trace has this id: it was dropped for its age or size, it was not asked for (fusion.keep_trace), or it never was.",
    { param },
  );
}
