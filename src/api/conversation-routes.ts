import { conversationSchema, deletedConversationSchema } from "../wire/conversation.js";
import { itemListSchema, responseItemSchema } from "../wire/response-item.js";
import type { ApiContext } from "./context.js";
import {
  addItems,
  addItemsSchema,
  createConversation,
  createSchema,
  deleteConversation,
  deleteItem,
  getConversation,
  getItem,
  listItems,
  updateConversation,
  updateSchema,
} from "./openai/conversations.js";
import { itemsQuerySchema } from "./openai/item-page.js";
import { jsonRoute, type Route } from "./route.js";

/** Conversations that responses go on with. */
export function conversationRoutes(context: ApiContext): Route[] {
  return [
    jsonRoute({
      method: "POST",
      path: "/v1/conversations",
      operation: "createConversation",
      summary: "Begin a conversation.",
      body: createSchema,
      json: conversationSchema,
      handler: createConversation(context),
    }),
    jsonRoute({
      method: "GET",
      path: "/v1/conversations/:id",
      operation: "getConversation",
      summary: "A conversation, without its items.",
      json: conversationSchema,
      handler: getConversation(context),
    }),
    jsonRoute({
      method: "POST",
      path: "/v1/conversations/:id",
      operation: "updateConversation",
      summary: "Note down something else of a conversation.",
      body: updateSchema,
      json: conversationSchema,
      handler: updateConversation(context),
    }),
    jsonRoute({
      method: "DELETE",
      path: "/v1/conversations/:id",
      operation: "deleteConversation",
      summary: "Keep a conversation and its items no longer.",
      json: deletedConversationSchema,
      handler: deleteConversation(context),
    }),
    ...itemRoutes(context),
  ];
}

function itemRoutes(context: ApiContext): Route[] {
  return [
    jsonRoute({
      method: "POST",
      path: "/v1/conversations/:id/items",
      operation: "addConversationItems",
      summary: "Add items to a conversation.",
      body: addItemsSchema,
      json: itemListSchema,
      handler: addItems(context),
    }),
    jsonRoute({
      method: "GET",
      path: "/v1/conversations/:id/items",
      operation: "listConversationItems",
      summary: "Items of a conversation.",
      query: itemsQuerySchema,
      json: itemListSchema,
      handler: listItems(context),
    }),
    jsonRoute({
      method: "GET",
      path: "/v1/conversations/:id/items/:item",
      operation: "getConversationItem",
      summary: "An item of a conversation.",
      json: responseItemSchema,
      handler: getItem(context),
    }),
    jsonRoute({
      method: "DELETE",
      path: "/v1/conversations/:id/items/:item",
      operation: "deleteConversationItem",
      summary: "Drop an item of a conversation.",
      json: conversationSchema,
      handler: deleteItem(context),
    }),
  ];
}
