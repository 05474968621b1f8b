import { modelEntrySchema, modelListSchema, reloadedSchema, successSchema } from "../wire/service.js";
import type { ApiContext } from "./context.js";
import {
  getModel,
  listModels,
  loadModel,
  loadModelSchema,
  reloadModels,
  unloadModel,
  unloadModelSchema,
} from "./openai/models.js";
import { jsonRoute, type Route } from "./route.js";

/** Models as OpenAI lists them, and as llama-server loads and unloads them. */
export function modelRoutes(context: ApiContext): Route[] {
  return [
    jsonRoute({
      method: "GET",
      path: "/v1/models",
      operation: "listModels",
      summary: "The fusion configs, and whether their models are loaded.",
      json: modelListSchema,
      handler: listModels(context),
    }),
    // Before the id, which stands for any name.
    jsonRoute({
      method: "POST",
      path: "/v1/models/load",
      operation: "loadModel",
      summary: "Begin to load the models of a fusion config; an operator's.",
      body: loadModelSchema,
      json: successSchema,
      handler: loadModel(context),
    }),
    jsonRoute({
      method: "POST",
      path: "/v1/models/unload",
      operation: "unloadModel",
      summary: "Unload them when the running answers are done; an operator's.",
      body: unloadModelSchema,
      json: successSchema,
      handler: unloadModel(context),
    }),
    jsonRoute({
      method: "POST",
      path: "/v1/models/reload",
      operation: "reloadModels",
      summary: "Read the fusion configs again; an operator's.",
      json: reloadedSchema,
      handler: reloadModels(context),
    }),
    jsonRoute({
      method: "GET",
      path: "/v1/models/:id",
      operation: "getModel",
      summary: "One of them.",
      json: modelEntrySchema,
      handler: getModel(context),
    }),
  ];
}
