import type { RequestHandler } from "express";
import type { ApiContext } from "./context.js";
import { requireReady } from "./openai/models.js";
import type { Alive, Ready } from "../wire/service.js";
import { localsOf } from "./middleware/locals.js";

/** Whether a request asks for what needs no key and costs nothing. */
export function isHealth(url = ""): boolean {
  return /^\/(?:livez|readyz)(?:\?|$)/.test(url);
}

/** `GET /livez`: the server's process answers. */
export const livez: RequestHandler<object, Alive> = (_request, response) => {
  response.json({ status: "ok" });
};

/** `GET /readyz` and `GET /health`: a completion would be taken now. */
export function readyz(context: ApiContext): RequestHandler<object, Ready> {
  return (_request, response) => {
    requireReady(context);
    const models = context.models.list().map(({ id }) => id);
    const { trouble } = context.feedback;
    const feedback =
      trouble === null ? ({ status: "on" } as const) : ({ status: "off", reason: trouble } as const);
    const { trouble: down } = context.models;
    const told = down === null ? {} : { trouble: down };
    response.json({ status: "ok", version: context.version, models, ...told, feedback });
  };
}

/** `GET /metrics`; of what is told by key, all to an operator, to others their own. */
export function getMetrics({ metrics, gate }: ApiContext): RequestHandler {
  return async (_request, response) => {
    const { owner } = localsOf(response);
    const text = await (gate.isOperator(owner) ? metrics.registry.metrics() : metrics.textFor(owner));
    response.set("Content-Type", metrics.registry.contentType).end(text);
  };
}
