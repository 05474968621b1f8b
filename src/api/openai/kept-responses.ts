import type { RequestHandler } from "express";
import { z } from "zod";
import { fieldError, ShouldersError } from "../../errors.js";
import type { DeletedResponse, ResponseBody } from "../../wire/response.js";
import type { ItemList } from "../../wire/response-item.js";
import type { ApiContext } from "../context.js";
import { localsOf } from "../middleware/locals.js";
import { parseRequest } from "../parse.js";
import type { KeptResponse } from "./response-store.js";

/** Routes for responses that are kept; nobody sees another's. */

export const keptQuerySchema = z.looseObject({
  stream: z
    .enum(["false", "true"])
    .refine((asked) => asked === "false", {
      params: { code: "unsupported_field" },
      error: "not supported; a kept response is answered whole",
    })
    .optional(),
});

export const itemsQuerySchema = z.looseObject({
  limit: z.coerce.number().int().min(1).max(100).optional().describe("Most items. Default: 20."),
  order: z.enum(["asc", "desc"]).optional().describe("asc: oldest first. Default: desc."),
  after: z.string().optional().describe("Id of the item after which to go on."),
});

/** `GET /v1/responses/{id}` */
export function getResponse(context: ApiContext): RequestHandler<{ id: string }, ResponseBody> {
  return async (request, response) => {
    parseRequest(keptQuerySchema, { ...request.query });
    response.json((await keptOf(context, request.params.id, localsOf(response).owner)).response);
  };
}

/** `DELETE /v1/responses/{id}` */
export function deleteResponse({ responses }: ApiContext): RequestHandler<{ id: string }, DeletedResponse> {
  return async (request, response) => {
    const { id } = request.params;
    if (!(await responses.delete(id, localsOf(response).owner))) throw notFound();
    response.json({ id, object: "response", deleted: true });
  };
}

/** `GET /v1/responses/{id}/input_items`: what it was an answer to, all before it included. */
export function listInputItems(context: ApiContext): RequestHandler<{ id: string }, ItemList> {
  return async (request, response) => {
    const { limit = 20, order = "desc", after } = parseRequest(itemsQuerySchema, { ...request.query });
    const { input } = await keptOf(context, request.params.id, localsOf(response).owner);
    const all = order === "asc" ? input : input.reverse();
    const before = after === undefined ? -1 : all.findIndex(({ id }) => id === after);
    if (after !== undefined && before < 0) throw fieldError("after", "no item of this id is in the list");
    const data = all.slice(before + 1, before + 1 + limit);
    response.json({
      object: "list",
      data,
      first_id: data[0]?.id ?? "",
      last_id: data.at(-1)?.id ?? "",
      has_more: before + 1 + limit < all.length,
    });
  };
}

/** @throws ShouldersError `response_not_found` */
async function keptOf({ responses }: ApiContext, id: string, owner: string): Promise<KeptResponse> {
  const kept = await responses.get(id, owner);
  if (kept === null) throw notFound();
  return kept;
}

function notFound(): ShouldersError {
  return new ShouldersError(
    "response_not_found",
    "No response of this id is kept: it was never stored, is too old, or was deleted.",
  );
}
