import type { RequestHandler } from "express";
import type { z } from "zod";
import { ShouldersError } from "../errors.js";
import type { ApiContext } from "./context.js";
import { getConfig, listConfigs } from "./fusion/configs.js";
import { explain, explainSchema } from "./fusion/explain.js";
import { solve, solveSchema } from "./fusion/solve.js";
import { followTrace, getTrace, listQuerySchema, listTraces, traceQuerySchema } from "./fusion/traces.js";
import { getMetrics, livez, readyz } from "./health.js";
import { completionHandler } from "./openai/completions.js";
import { getModel, listModels } from "./openai/models.js";
import { responsesHandler } from "./openai/responses.js";
import { responsesSchema } from "./openai/responses-schema.js";
import { chatSchema, textSchema } from "./openai/schemas.js";
import { getOpenApi } from "./openapi.js";
import {
  applyTemplate,
  applyTemplateSchema,
  detokenize,
  detokenizeSchema,
  tokenize,
  tokenizeSchema,
} from "./vocabulary.js";

export interface Route {
  method: "GET" | "POST";
  /** Express's pattern; also the label in metrics and logs. */
  path: string;
  /** One line for the OpenAPI document. */
  summary: string;
  body?: z.ZodType;
  query?: z.ZodType;
  /** Media types of a good answer; JSON where left out. */
  produces?: readonly string[];
  handler: RequestHandler<{ id: string }>;
}

const jsonOrEvents = ["application/json", "text/event-stream"];

/** Every route of the API: what express serves and what the OpenAPI document says. */
export function createRoutes(context: ApiContext): Route[] {
  const routes: Route[] = [
    ...[...completionRoutes(context), ...fusionRoutes(context)].flatMap(withAndWithoutVersion),
    ...vocabularyRoutes(context),
    ...operationRoutes(context),
    {
      method: "GET",
      path: "/openapi.json",
      summary: "This document.",
      handler: getOpenApi(context, () => routes),
    },
  ];
  return routes;
}

/** Some clients are told an address that ends in /v1, others one that does not. */
function withAndWithoutVersion(route: Route): Route[] {
  return [route, { ...route, path: route.path.replace(/^\/v1/, "") }];
}

function completionRoutes(context: ApiContext): Route[] {
  return [
    {
      method: "POST",
      path: "/v1/chat/completions",
      summary: "Answer a conversation.",
      body: chatSchema,
      produces: jsonOrEvents,
      handler: completionHandler(context, "chat"),
    },
    {
      method: "POST",
      path: "/v1/completions",
      summary: "Go on with a text, or with token ids.",
      body: textSchema,
      produces: jsonOrEvents,
      handler: completionHandler(context, "text"),
    },
    {
      method: "POST",
      path: "/v1/responses",
      summary: "Answer a conversation, in OpenAI's newer shape.",
      body: responsesSchema,
      produces: jsonOrEvents,
      handler: responsesHandler(context),
    },
    { method: "GET", path: "/v1/models", summary: "The fusion configs.", handler: listModels(context) },
    { method: "GET", path: "/v1/models/:id", summary: "One of them.", handler: getModel(context) },
    {
      method: "GET",
      path: "/v1/stream",
      summary: "WebSocket: many responses on one socket, JSON text frames.",
      handler: upgradeRequired,
    },
  ];
}

function fusionRoutes(context: ApiContext): Route[] {
  return [
    {
      method: "GET",
      path: "/v1/fusion/configs",
      summary: "Models, sizes, vocabulary and strategy of every config.",
      handler: listConfigs(context),
    },
    {
      method: "GET",
      path: "/v1/fusion/configs/:id",
      summary: "The same of one config.",
      handler: getConfig(context),
    },
    {
      method: "POST",
      path: "/v1/fusion/explain",
      summary: "Weights and log-probabilities at every token of a given answer; nothing is drawn.",
      body: explainSchema,
      handler: explain(context),
    },
    {
      method: "POST",
      path: "/v1/fusion/solve",
      summary: "Weights for rows of logits; no model is needed.",
      body: solveSchema,
      handler: solve(),
    },
    {
      method: "GET",
      path: "/v1/fusion/traces",
      summary: "Recent completions of the key, newest first.",
      query: listQuerySchema,
      handler: listTraces(context),
    },
    {
      method: "GET",
      path: "/v1/fusion/traces/:id",
      summary: "What happened at each token of a completion.",
      query: traceQuerySchema,
      produces: ["application/json", "text/csv"],
      handler: getTrace(context),
    },
    {
      method: "GET",
      path: "/v1/fusion/traces/:id/events",
      summary: "The same while it happens.",
      produces: ["text/event-stream"],
      handler: followTrace(context),
    },
  ];
}

/** The routes that llama-server has for a vocabulary and a template. */
function vocabularyRoutes(context: ApiContext): Route[] {
  return [
    {
      method: "POST",
      path: "/tokenize",
      summary: "Token ids of a text.",
      body: tokenizeSchema,
      handler: tokenize(context),
    },
    {
      method: "POST",
      path: "/detokenize",
      summary: "The text of token ids.",
      body: detokenizeSchema,
      handler: detokenize(context),
    },
    {
      method: "POST",
      path: "/apply-template",
      summary: "A conversation as the prompt that each model gets.",
      body: applyTemplateSchema,
      handler: applyTemplate(context),
    },
  ];
}

function operationRoutes(context: ApiContext): Route[] {
  const isReady = readyz(context);
  return [
    { method: "GET", path: "/livez", summary: "The process answers.", handler: livez },
    { method: "GET", path: "/readyz", summary: "A completion would be taken.", handler: isReady },
    { method: "GET", path: "/health", summary: "As /readyz.", handler: isReady },
    {
      method: "GET",
      path: "/metrics",
      summary: "Prometheus.",
      produces: ["text/plain"],
      handler: getMetrics(context),
    },
  ];
}

const upgradeRequired: RequestHandler = (_request, response) => {
  response.set({ Upgrade: "websocket", Connection: "Upgrade" });
  throw new ShouldersError("upgrade_required", "This route is a WebSocket: connect with ws:// or wss://.");
};
