import express, { type Express, type RequestHandler } from "express";
import { ShouldersError } from "../errors.js";
import type { ApiContext } from "./context.js";
import { getConfig, listConfigs } from "./fusion/configs.js";
import { followTrace, getTrace, listTraces } from "./fusion/traces.js";
import { getMetrics, livez, readyz } from "./health.js";
import { errorHandler, methodNotAllowed, routeNotFound } from "./middleware/errors.js";
import { jsonBody } from "./middleware/json-body.js";
import { localsOf } from "./middleware/locals.js";
import { observe } from "./middleware/observe.js";
import { completionHandler } from "./openai/completions.js";
import { getModel, listModels } from "./openai/models.js";
import { playground } from "./playground.js";

/** Every HTTP route of the server. */
export function createApp(context: ApiContext): Express {
  const app = express();
  app.disable("x-powered-by").disable("etag").enable("case sensitive routing");
  app.use(observe(context));

  for (const prefix of ["/v1", ""]) {
    post(app, `${prefix}/chat/completions`, context, completionHandler(context, "chat"));
    post(app, `${prefix}/completions`, context, completionHandler(context, "text"));
  }
  get(app, "/v1/models", listModels(context));
  get(app, "/v1/models/:id", getModel(context));
  get(app, "/v1/stream", upgradeRequired);
  get(app, "/v1/fusion/configs", listConfigs(context));
  get(app, "/v1/fusion/configs/:id", getConfig(context));
  get(app, "/v1/fusion/traces", listTraces(context));
  get(app, "/v1/fusion/traces/:id", getTrace(context));
  get(app, "/v1/fusion/traces/:id/events", followTrace(context));
  get(app, "/livez", livez);
  get(app, "/readyz", readyz(context));
  get(app, "/health", readyz(context));
  get(app, "/metrics", getMetrics(context));

  app.use(playground());

  app.use(routeNotFound);
  app.use(errorHandler);
  return app;
}

function get(app: Express, path: string, handler: RequestHandler<{ id: string }>): void {
  app.all(path, named(path));
  app.get(path, handler);
  app.all(path, methodNotAllowed("GET, HEAD"));
}

function post(app: Express, path: string, { limits }: ApiContext, handler: RequestHandler): void {
  app.all(path, named(path));
  app.post(path, ...jsonBody(limits.bodyBytes), handler);
  app.all(path, methodNotAllowed("POST"));
}

/** Notes the pattern for metrics and logs, where the client's path must not stand. */
function named(path: string): RequestHandler {
  return (_request, response, next) => {
    localsOf(response).route = path;
    next();
  };
}

const upgradeRequired: RequestHandler = (_request, response) => {
  response.set({ Upgrade: "websocket", Connection: "Upgrade" });
  throw new ShouldersError("upgrade_required", "This route is a WebSocket: connect with ws:// or wss://.");
};
