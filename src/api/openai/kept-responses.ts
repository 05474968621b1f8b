import type { RequestHandler, Response } from "express";
import { z } from "zod";
import { fieldError, ShouldersError } from "../../errors.js";
import type { DeletedResponse, ResponseBody, ResponseEvent } from "../../wire/response.js";
import type { ItemList } from "../../wire/response-item.js";
import type { ApiContext } from "../context.js";
import { localsOf } from "../middleware/locals.js";
import { parseRequest } from "../parse.js";
import { replicaOf } from "../completion/plan.js";
import { eventName } from "../completion/serve-answer.js";
import { closedSignal, SseWriter } from "../sse-writer.js";
import { itemsQuerySchema, pageOf } from "./item-page.js";
import { isUnfinished, type KeptResponse } from "./response-store.js";

/** Routes for responses that are kept; nobody sees another's. */

export const keptQuerySchema = z.looseObject({
  stream: z
    .enum(["false", "true"])
    .optional()
    .describe("true: its events, of a response in the background that was asked for as a stream."),
  starting_after: z.coerce
    .number()
    .int()
    .min(0)
    .optional()
    .describe("Events after the one with this sequence_number only."),
});

/** `GET /v1/responses/{id}` */
export function getResponse(context: ApiContext): RequestHandler<{ id: string }, ResponseBody> {
  return async (request, response) => {
    const { stream, starting_after: after = -1 } = parseRequest(keptQuerySchema, { ...request.query });
    const { id } = request.params;
    const { owner } = localsOf(response);
    const kept = await keptOf(context, id, owner);
    if (stream !== "true") {
      response.json(kept.response);
      return;
    }
    if (kept.events === undefined)
      throw fieldError("stream", "only a background response that was asked for as a stream is told again");
    const { events } = kept;
    const run = context.background.get(id, owner);
    await sendEvents(context, response, (closed) => run?.follow(closed) ?? events, after);
  };
}

/** `POST /v1/responses/{id}/cancel`: of a background response; one that is over stays as it is. */
export function cancelResponse(context: ApiContext): RequestHandler<{ id: string }, ResponseBody> {
  return async (request, response) => {
    const { id } = request.params;
    const { owner } = localsOf(response);
    const run = context.background.get(id, owner);
    await run?.cancel();
    const { response: kept } = run?.kept ?? (await keptOf(context, id, owner));
    if (!kept.background || isUnfinished(kept))
      throw fieldError("", "only background responses can be cancelled, at the server that runs them");
    response.json(kept);
  };
}

/** Sends events as they come, to the end or until the client has left. @param after the last number that it knows */
export async function sendEvents(
  { limits, cut }: ApiContext,
  response: Response,
  eventsUntil: (closed: AbortSignal) => AsyncIterable<ResponseEvent> | Iterable<ResponseEvent>,
  after = -1,
): Promise<void> {
  const sse = new SseWriter(response, limits);
  try {
    for await (const event of eventsUntil(closedSignal(response, cut)))
      if (event.sequence_number > after) await sse.send(event, eventName(event));
  } finally {
    sse.close();
  }
}

/** `DELETE /v1/responses/{id}` */
export function deleteResponse({
  responses,
  background,
}: ApiContext): RequestHandler<{ id: string }, DeletedResponse> {
  return async (request, response) => {
    const { id } = request.params;
    const { owner } = localsOf(response);
    await background.get(id, owner)?.forget();
    if (!(await responses.delete(id, owner))) throw notFound();
    response.json({ id, object: "response", deleted: true });
  };
}

/** `GET /v1/responses/{id}/input_items`: what it was an answer to, all before it included. */
export function listInputItems(context: ApiContext): RequestHandler<{ id: string }, ItemList> {
  return async (request, response) => {
    const query = parseRequest(itemsQuerySchema, { ...request.query });
    const { input } = await keptOf(context, request.params.id, localsOf(response).owner);
    response.json(pageOf(input, query));
  };
}

/** @throws ShouldersError `response_not_found` */
async function keptOf(context: ApiContext, id: string, owner: string): Promise<KeptResponse> {
  const run = context.background.get(id, owner);
  if (run !== null) return run.kept;
  const kept = await context.responses.get(id, owner);
  if (kept === null) throw notFound();
  return isUnfinished(kept.response) && (replicaOf(id) ?? "") === context.replica ? interrupted(kept) : kept;
}

/** Nobody runs it any more. */
function interrupted(kept: KeptResponse): KeptResponse {
  const message = "The server was started again before the answer was complete; ask again.";
  const error = { code: "server_error", message } as const;
  return { ...kept, response: { ...kept.response, status: "failed", error } };
}

function notFound(): ShouldersError {
  return new ShouldersError(
    "response_not_found",
    "No response of this id is kept: it was never stored, is too old, or was deleted.",
  );
}
