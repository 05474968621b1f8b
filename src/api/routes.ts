import { configListSchema, configSchema } from "../wire/config.js";
import { explanationSchema, solutionSchema } from "../wire/fusion.js";
import { llamaCompletionSchema, llamaEventSchema, propsSchema, slotsSchema } from "../wire/llama-cpp.js";
import {
  aliveSchema,
  detokenizedSchema,
  readySchema,
  templatedSchema,
  tokenizedSchema,
  tokenizerInfoSchema,
} from "../wire/service.js";
import { traceEventSchema, traceListSchema, traceSchema } from "../wire/trace.js";
import { judgedSchema } from "../wire/verdict.js";
import { answerRoutes } from "./answer-routes.js";
import type { ApiContext } from "./context.js";
import { conversationRoutes } from "./conversation-routes.js";
import { feedbackRoutes } from "./feedback-routes.js";
import { getConfig, listConfigs } from "./fusion/configs.js";
import { explain, explainSchema } from "./fusion/explain.js";
import { debateEventSchema } from "../wire/debate.js";
import { debateRoutes, judgeHandler } from "./fusion/debate.js";
import { judgeSchema } from "./fusion/judge.js";
import { solve, solveSchema } from "./fusion/solve.js";
import { followTrace, getTrace, listQuerySchema, listTraces, traceQuerySchema } from "./fusion/traces.js";
import { getMetrics, livez, readyz } from "./health.js";
import { llamaBodySchema, llamaCompletion } from "./llama-cpp/completion.js";
import { getProps, getSlots, propsQuerySchema } from "./llama-cpp/props.js";
import { modelRoutes } from "./model-routes.js";
import { getOpenApi, openApiSchema } from "./openapi.js";
import { jsonRoute, type Route } from "./route.js";
import {
  applyTemplate,
  applyTemplateSchema,
  detokenize,
  detokenizeSchema,
  getTokenizerInfo,
  tokenize,
  tokenizeSchema,
  tokenizerQuerySchema,
} from "./vocabulary.js";

/** Every route of the API: what express serves and what the OpenAPI document says. */
export function createRoutes(context: ApiContext): Route[] {
  const routes: Route[] = [
    ...[
      ...answerRoutes(context),
      ...conversationRoutes(context),
      ...modelRoutes(context),
      ...fusionRoutes(context),
      ...traceRoutes(context),
      ...feedbackRoutes(context),
      ...debateRoutes(context),
    ].flatMap(withAndWithoutVersion),
    ...llamaRoutes(context),
    ...vocabularyRoutes(context),
    ...operationRoutes(context),
    jsonRoute({
      method: "GET",
      path: "/openapi.json",
      operation: "getOpenApi",
      summary: "This document.",
      json: openApiSchema,
      handler: getOpenApi(context, () => routes),
    }),
  ];
  return routes;
}

/** Some clients are told an address that ends in /v1, others one that does not. */
function withAndWithoutVersion(route: Route): Route[] {
  const { path, operation } = route;
  return [route, { ...route, path: path.replace(/^\/v1/, ""), operation: `${operation}WithoutVersion` }];
}

function fusionRoutes(context: ApiContext): Route[] {
  return [
    jsonRoute({
      method: "GET",
      path: "/v1/fusion/configs",
      operation: "listFusionConfigs",
      summary: "Models, sizes, vocabulary and strategy of every config.",
      json: configListSchema,
      handler: listConfigs(context),
    }),
    jsonRoute({
      method: "GET",
      path: "/v1/fusion/configs/:id",
      operation: "getFusionConfig",
      summary: "The same of one config.",
      json: configSchema,
      handler: getConfig(context),
    }),
    jsonRoute({
      method: "POST",
      path: "/v1/fusion/explain",
      holdsModel: true,
      operation: "explainAnswer",
      summary: "Weights and log-probabilities at every token of a given answer; nothing is drawn.",
      body: explainSchema,
      json: explanationSchema,
      handler: explain(context),
    }),
    jsonRoute({
      method: "POST",
      path: "/v1/fusion/judge",
      holdsModel: true,
      operation: "judgeCandidates",
      summary: "Which of several texts is the answer to a prompt, at once or after a debate.",
      body: judgeSchema,
      json: judgedSchema,
      event: debateEventSchema,
      handler: judgeHandler(context),
    }),
    jsonRoute({
      method: "POST",
      path: "/v1/fusion/solve",
      operation: "solveWeights",
      summary: "Weights for rows of logits; no model is needed.",
      body: solveSchema,
      json: solutionSchema,
      handler: solve(),
    }),
  ];
}

function traceRoutes(context: ApiContext): Route[] {
  return [
    jsonRoute({
      method: "GET",
      path: "/v1/fusion/traces",
      operation: "listTraces",
      summary: "Recent completions of the key, newest first.",
      query: listQuerySchema,
      json: traceListSchema,
      handler: listTraces(context),
    }),
    jsonRoute({
      method: "GET",
      path: "/v1/fusion/traces/:id",
      operation: "getTrace",
      summary: "What happened at each token of a completion.",
      query: traceQuerySchema,
      json: traceSchema,
      text: "text/csv",
      handler: getTrace(context),
    }),
    {
      method: "GET",
      path: "/v1/fusion/traces/:id/events",
      operation: "followTrace",
      summary: "The same while it happens.",
      event: traceEventSchema,
      handler: followTrace(context),
    },
  ];
}

/** The routes that front ends of llama-server ask. */
function llamaRoutes(context: ApiContext): Route[] {
  return [
    jsonRoute({
      method: "POST",
      path: "/completion",
      holdsModel: true,
      operation: "createLlamaCompletion",
      summary: "Go on with a text, in llama-server's shape.",
      body: llamaBodySchema,
      json: llamaCompletionSchema,
      event: llamaEventSchema,
      handler: llamaCompletion(context),
    }),
    jsonRoute({
      method: "GET",
      path: "/props",
      operation: "getProps",
      summary: "What a model can do.",
      query: propsQuerySchema,
      json: propsSchema,
      handler: getProps(context),
    }),
    jsonRoute({
      method: "GET",
      path: "/slots",
      operation: "getSlots",
      summary: "How many answers can run, and do.",
      query: propsQuerySchema,
      json: slotsSchema,
      handler: getSlots(context),
    }),
  ];
}

/** The routes that llama-server has for a vocabulary and a template. */
function vocabularyRoutes(context: ApiContext): Route[] {
  return [
    jsonRoute({
      method: "POST",
      path: "/tokenize",
      holdsModel: true,
      operation: "tokenize",
      summary: "Token ids of a text.",
      body: tokenizeSchema,
      json: tokenizedSchema,
      handler: tokenize(context),
    }),
    jsonRoute({
      method: "POST",
      path: "/detokenize",
      holdsModel: true,
      operation: "detokenize",
      summary: "The text of token ids.",
      body: detokenizeSchema,
      json: detokenizedSchema,
      handler: detokenize(context),
    }),
    jsonRoute({
      method: "GET",
      path: "/tokenizer_info",
      operation: "getTokenizerInfo",
      summary: "What a vocabulary is like.",
      query: tokenizerQuerySchema,
      json: tokenizerInfoSchema,
      handler: getTokenizerInfo(context),
    }),
    jsonRoute({
      method: "POST",
      path: "/apply-template",
      holdsModel: true,
      operation: "applyTemplate",
      summary: "A conversation as the prompt that each model gets.",
      body: applyTemplateSchema,
      json: templatedSchema,
      handler: applyTemplate(context),
    }),
  ];
}

function operationRoutes(context: ApiContext): Route[] {
  const isReady = { method: "GET", json: readySchema, handler: readyz(context) } as const;
  return [
    jsonRoute({
      method: "GET",
      path: "/livez",
      operation: "isAlive",
      summary: "The process answers.",
      json: aliveSchema,
      handler: livez,
    }),
    jsonRoute({
      ...isReady,
      path: "/readyz",
      operation: "isReady",
      summary: "A completion would be taken.",
    }),
    jsonRoute({ ...isReady, path: "/health", operation: "isHealthy", summary: "As /readyz." }),
    {
      method: "GET",
      path: "/metrics",
      operation: "getMetrics",
      summary: "Prometheus.",
      text: "text/plain",
      handler: getMetrics(context),
    },
  ];
}
