import type { RequestHandler } from "express";
import { requireEngine, type ApiContext } from "./context.js";

/** `GET /livez`: the server's process answers. */
export const livez: RequestHandler = (_request, response) => {
  response.json({ status: "ok" });
};

/** `GET /readyz` and `GET /health`: a completion would be taken now. */
export function readyz(context: ApiContext): RequestHandler {
  return (_request, response) => {
    const { configs } = requireEngine(context);
    response.json({ status: "ok", version: context.version, models: configs.map(({ id }) => id) });
  };
}

/** `GET /metrics` */
export function getMetrics({ metrics }: ApiContext): RequestHandler {
  return async (_request, response) => {
    const text = await metrics.registry.metrics();
    response.set("Content-Type", metrics.registry.contentType).end(text);
  };
}
