import type { RequestHandler, Response } from "express";
import { z } from "zod";
import { ShouldersError } from "../../errors.js";
import type { ConfigDescription } from "../../protocol/description.js";
import type { ModelState } from "../../protocol/models.js";
import type { ModelEntry, ModelList, Reloaded, Success } from "../../wire/service.js";
import type { ApiContext } from "../context.js";
import { localsOf } from "../middleware/locals.js";
import { parseRequest } from "../parse.js";

const model = z.string().describe("Id of a fusion config.");

export const loadModelSchema = z.strictObject({
  model,
  pin: z.boolean().nullish().describe("Keep it loaded whatever happens, or no longer."),
});

export const unloadModelSchema = z.strictObject({ model });

/** `GET /v1/models` */
export function listModels(context: ApiContext): RequestHandler<object, ModelList> {
  return (_request, response) => {
    requireReady(context);
    const data = context.models.list().map((state) => toEntry(state, context));
    response.json({ object: "list", data });
  };
}

/** `GET /v1/models/{id}` */
export function getModel(context: ApiContext): RequestHandler<{ id: string }, ModelEntry> {
  return (request, response) => {
    requireReady(context);
    response.json(toEntry(stateOf(context, request.params.id), context));
  };
}

/** `POST /v1/models/load`: begins, and does not wait for the end; `GET /v1/models` tells what became of it. */
export function loadModel(context: ApiContext): RequestHandler<object, Success> {
  return (request, response) => {
    requireOperator(context, response);
    const { model: id, pin = null } = parseRequest(loadModelSchema, request.body);
    stateOf(context, id);
    // What fails is logged, and kept as the model's state.
    context.models.load(id, { pin, signal: context.closing }).catch(() => undefined);
    response.json({ success: true });
  };
}

/** `POST /v1/models/unload` */
export function unloadModel(context: ApiContext): RequestHandler<object, Success> {
  return (request, response) => {
    requireOperator(context, response);
    const { model: id } = parseRequest(unloadModelSchema, request.body);
    stateOf(context, id);
    context.models
      .unload(id)
      .catch((error: unknown) => context.log.error({ err: error }, "a model could not be unloaded"));
    response.json({ success: true });
  };
}

/** `POST /v1/models/reload` */
export function reloadModels(context: ApiContext): RequestHandler<object, Reloaded> {
  return async (_request, response) => {
    requireOperator(context, response);
    const problems = await context.models.reload();
    response.json({ success: problems.length === 0, problems });
  };
}

/** @throws ShouldersError `operator_required` */
function requireOperator({ gate }: ApiContext, response: Response): void {
  if (!gate.isOperator(localsOf(response).owner))
    throw new ShouldersError(
      "operator_required",
      "Only an operator's key may load and unload models; the server's keys name one as operator:name=key.",
    );
}

/** @throws ShouldersError `server_closing`, `engine_not_ready` */
export function requireReady({ models, closing }: ApiContext): void {
  if (closing.aborted)
    throw new ShouldersError(
      "server_closing",
      "The server is shutting down; send the request to another one, or again later.",
    );
  if (!models.isReady)
    throw new ShouldersError(
      "engine_not_ready",
      models.trouble ?? "The models are not loaded yet; ask GET /readyz, and try again.",
    );
}

/** @throws ShouldersError `model_not_found` */
function stateOf({ models }: ApiContext, id: string): ModelState {
  const states = models.list();
  const state = states.find((candidate) => candidate.id === id);
  if (state !== undefined) return state;
  const known = states.map((candidate) => candidate.id).join(", ");
  throw new ShouldersError("model_not_found", `No model has this name; known: ${known || "none"}.`, {
    param: "model",
  });
}

/** What front ends ask of a model before they use it. */
function factsOf(config: ConfigDescription): Partial<ModelEntry> {
  const { base, contextTokens, thinking, vocabularySize } = config;
  return {
    context_length: contextTokens,
    max_model_len: contextTokens,
    capabilities: ["completion", "tools", ...(thinking === null ? [] : (["thinking"] as const))],
    meta: {
      n_ctx: contextTokens,
      n_ctx_train: base.contextTrain,
      n_vocab: vocabularySize,
      n_params: base.numParameters,
      size: base.sizeBytes,
    },
  };
}

function toEntry(state: ModelState, { startedAt, engine }: ApiContext): ModelEntry {
  const { id, status, progress, failure, isPinned } = state;
  const config = engine.description?.configs.find((candidate) => candidate.id === id);
  return {
    id,
    object: "model",
    created: startedAt,
    owned_by: "shoulders",
    ...(config !== undefined && factsOf(config)),
    architecture: { input_modalities: ["text"], output_modalities: ["text"] },
    status: {
      value: status,
      ...(progress !== null && { progress }),
      ...(failure !== null && { failed: true as const }),
      ...(isPinned && { pinned: true as const }),
    },
  };
}
