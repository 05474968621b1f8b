import type { RequestHandler } from "express";
import type { ConfigDescription } from "../../protocol/protocol.js";
import type { ModelEntry, ModelList } from "../../wire/service.js";
import { findConfig, requireEngine, type ApiContext } from "../context.js";

/** `GET /v1/models` */
export function listModels(context: ApiContext): RequestHandler<object, ModelList> {
  return (_request, response) => {
    const { configs } = requireEngine(context);
    response.json({ object: "list", data: configs.map((config) => toModel(config, context)) });
  };
}

/** `GET /v1/models/{id}` */
export function getModel(context: ApiContext): RequestHandler<{ id: string }, ModelEntry> {
  return (request, response) => {
    response.json(toModel(findConfig(requireEngine(context), request.params.id), context));
  };
}

function toModel({ id }: ConfigDescription, { startedAt }: ApiContext): ModelEntry {
  return { id, object: "model", created: startedAt, owned_by: "shoulders" };
}
