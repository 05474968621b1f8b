import { basename } from "node:path";
import type { RequestHandler } from "express";
import type { ConfigDescription, ModelDescription } from "../../protocol/protocol.js";
import { findConfig, requireEngine, type ApiContext } from "../context.js";

/** `GET /v1/fusion/configs` */
export function listConfigs(context: ApiContext): RequestHandler {
  return (_request, response) => {
    const { configs } = requireEngine(context);
    response.json({ object: "list", data: configs.map(toConfig) });
  };
}

/** `GET /v1/fusion/configs/{id}` */
export function getConfig(context: ApiContext): RequestHandler<{ id: string }> {
  return (request, response) => {
    response.json(toConfig(findConfig(requireEngine(context), request.params.id)));
  };
}

function toConfig(config: ConfigDescription) {
  const { base, reference, experts } = config;
  return {
    ...config,
    object: "fusion.config",
    base: withoutDirectory(base),
    reference: reference && withoutDirectory(reference),
    experts: experts.map(withoutDirectory),
    // A config whose models do not share a vocabulary is not loaded at all.
    vocabulary: { size: config.vocabularySize, isShared: true },
  };
}

/** Where the files lie is the business of the machine's owner. */
function withoutDirectory<Model extends ModelDescription>({ path, ...model }: Model) {
  return { ...model, file: basename(path) };
}
