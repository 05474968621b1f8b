import type { RequestHandler } from "express";
import { z } from "zod";
import { fieldError, ShouldersError } from "../../errors.js";
import type { Conversation, DeletedConversation } from "../../wire/conversation.js";
import type { ItemList, ResponseItem } from "../../wire/response-item.js";
import { newId } from "../completion/plan.js";
import type { ApiContext } from "../context.js";
import { localsOf } from "../middleware/locals.js";
import { itemsQuerySchema, pageOf } from "./item-page.js";
import { parseRequest } from "../parse.js";
import { readFields } from "./read-body.js";
import { sentItems } from "./responses-input.js";
import { inputItems, metadataSchema } from "./responses-schema.js";

/** `/v1/conversations`: items that responses go on with. */

const items = inputItems.nullish().describe("Messages, calls, their outputs and reasoning.");
export const createSchema = z.object({ items, metadata: metadataSchema });
export const updateSchema = z.object({ metadata: metadataSchema });
export const addItemsSchema = z.object({ items: inputItems });

type Handler<Json> = RequestHandler<{ id: string }, Json>;

/** `POST /v1/conversations` */
export function createConversation(context: ApiContext): RequestHandler<object, Conversation> {
  return async (request, response) => {
    const { body } = readFields(createSchema, request.body ?? {});
    if (!context.conversations.isEnabled)
      throw fieldError("", "this server keeps no conversations; send the whole conversation as input");
    const { owner } = localsOf(response);
    const conversation: Conversation = {
      id: newId("conv_"),
      object: "conversation",
      created_at: Math.floor(Date.now() / 1000),
      metadata: body.metadata ?? {},
    };
    await context.conversations.write(owner, conversation, await itemsOf(context, owner, body.items ?? []));
    response.json(conversation);
  };
}

/** `GET /v1/conversations/{id}` */
export function getConversation(context: ApiContext): Handler<Conversation> {
  return async (request, response) => {
    response.json(await conversationOf(context, localsOf(response).owner, request.params.id));
  };
}

/** `POST /v1/conversations/{id}` */
export function updateConversation(context: ApiContext): Handler<Conversation> {
  return async (request, response) => {
    const { body } = readFields(updateSchema, request.body);
    const { owner } = localsOf(response);
    const conversation = await conversationOf(context, owner, request.params.id);
    const updated = { ...conversation, metadata: body.metadata ?? {} };
    await context.conversations.write(owner, updated);
    response.json(updated);
  };
}

/** `DELETE /v1/conversations/{id}` */
export function deleteConversation(context: ApiContext): Handler<DeletedConversation> {
  return async (request, response) => {
    const { owner } = localsOf(response);
    const { id } = await conversationOf(context, owner, request.params.id);
    await context.conversations.delete(owner, id);
    response.json({ id, object: "conversation.deleted", deleted: true });
  };
}

/** `POST /v1/conversations/{id}/items` */
export function addItems(context: ApiContext): Handler<ItemList> {
  return async (request, response) => {
    const { body } = readFields(addItemsSchema, request.body);
    const { owner } = localsOf(response);
    const conversation = await conversationOf(context, owner, request.params.id);
    await context.conversations.itemsBefore(owner, conversation.id);
    const added = await itemsOf(context, owner, body.items);
    await context.conversations.write(owner, conversation, added);
    response.json(pageOf(added, { order: "asc", limit: added.length }));
  };
}

/** `GET /v1/conversations/{id}/items` */
export function listItems(context: ApiContext): Handler<ItemList> {
  return async (request, response) => {
    const query = parseRequest(itemsQuerySchema, { ...request.query });
    const { owner } = localsOf(response);
    const { id } = await conversationOf(context, owner, request.params.id);
    response.json(pageOf(await context.conversations.items(owner, id), query));
  };
}

/** `GET /v1/conversations/{id}/items/{item}` */
export function getItem(context: ApiContext): Handler<ResponseItem> {
  return async (request, response) => {
    const { owner } = localsOf(response);
    const { id } = await conversationOf(context, owner, request.params.id);
    const found = (await context.conversations.items(owner, id)).find((item) => item.id === itemId(request));
    if (found === undefined) throw notFound("item of this conversation");
    response.json(found);
  };
}

/** `DELETE /v1/conversations/{id}/items/{item}` */
export function deleteItem(context: ApiContext): Handler<Conversation> {
  return async (request, response) => {
    const { owner } = localsOf(response);
    const conversation = await conversationOf(context, owner, request.params.id);
    if (!(await context.conversations.deleteItem(owner, conversation.id, itemId(request))))
      throw notFound("item of this conversation");
    response.json(conversation);
  };
}

const itemId = ({ params }: { params: object }): string => String((params as { item?: string }).item);

/** @throws ShouldersError `conversation_not_found` */
async function conversationOf(
  { conversations }: ApiContext,
  owner: string,
  id: string,
): Promise<Conversation> {
  const conversation = await conversations.get(owner, id);
  if (conversation === null) throw notFound("conversation");
  return conversation;
}

async function itemsOf(
  { responses }: ApiContext,
  owner: string,
  input: z.output<typeof inputItems>,
): Promise<ResponseItem[]> {
  const sent = await sentItems({ input }, (id) => responses.item(id, owner), "items");
  return sent.map(({ item }) => item);
}

function notFound(what: string): ShouldersError {
  return new ShouldersError(
    "conversation_not_found",
    `No ${what} has this id: it was never kept, is too old, or was deleted.`,
  );
}
