import type { RequestHandler } from "express";
import { z } from "zod";
import { errorBodySchema } from "../wire/error.js";
import { wireRegistry } from "../wire/registry.js";
import type { ApiContext } from "./context.js";
import type { Route } from "./route.js";

type JsonSchema = z.core.JSONSchema.BaseSchema;

/** The document describes itself no further. */
export const openApiSchema = z.looseObject({ openapi: z.string(), paths: z.looseObject({}) });

type OpenApi = z.output<typeof openApiSchema>;

/** `GET /openapi.json`: made from the routes and their schemas when it is first asked for. */
export function getOpenApi(
  context: ApiContext,
  routes: () => readonly Route[],
): RequestHandler<object, OpenApi> {
  let document: OpenApi | null = null;
  return (_request, response) => {
    response.json((document ??= describeApi(routes(), context)));
  };
}

/** OpenAPI 3.1, whose schemas are JSON Schema 2020-12, as zod writes it. */
function describeApi(routes: readonly Route[], { version, gate }: ApiContext): OpenApi {
  const paths: Record<string, Record<string, object>> = {};
  for (const route of routes) {
    const path = route.path.replaceAll(/:(\w+)/g, "{$1}");
    (paths[path] ??= {})[route.method.toLowerCase()] = describeRoute(route, path);
  }
  return {
    openapi: "3.1.0",
    info: {
      title: "Shoulders",
      version,
      description: "OpenAI's API over models that are fused token by token; additions are in `fusion`.",
      license: { name: "MIT", identifier: "MIT" },
    },
    paths,
    components: {
      schemas: namedSchemas(),
      responses: {
        Error: describeError(errorBodySchema),
      },
      securitySchemes: { key: { type: "http", scheme: "bearer" } },
    },
    security: gate.hasKeys ? [{ key: [] }] : [],
  };
}

function describeRoute(route: Route, path: string): object {
  const { operation, summary, body, query, error } = route;
  const inPath = [...path.matchAll(/\{(\w+)\}/g)].map(([, name]) => ({
    name,
    in: "path",
    required: true,
    schema: { type: "string" },
  }));
  const isOpen = path === "/livez" || path === "/readyz";
  return {
    operationId: operation,
    summary,
    ...(isOpen && { security: [] }),
    parameters: [...inPath, ...(query ? describeQuery(query) : [])],
    ...(body && {
      requestBody: { required: true, content: { "application/json": { schema: toJsonSchema(body) } } },
    }),
    responses: {
      ...describeAnswer(route),
      default: error ? describeError(error) : { $ref: "#/components/responses/Error" },
    },
  };
}

function describeAnswer({ json, event, frame, text }: Route): object {
  if (frame)
    return {
      "101": {
        description: "A WebSocket. Its frames are text; the schema is of those that the server sends.",
        content: { "application/json": { schema: describeJson(frame) } },
      },
    };
  const content = {
    ...(json && { "application/json": { schema: describeJson(json) } }),
    // OpenAPI has no word for what the data of each event is.
    ...(event && {
      "text/event-stream": { schema: { type: "string" }, "x-event-data": describeJson(event) },
    }),
    ...(text && { [text]: { schema: { type: "string" } } }),
  };
  return { "200": { description: "The answer.", content } };
}

function describeError(error: z.ZodType): object {
  return {
    description: "What went wrong: 4xx the request, 5xx the server.",
    content: { "application/json": { schema: describeJson(error) } },
  };
}

function describeQuery(query: z.ZodType): object[] {
  const { properties = {} } = toJsonSchema(query);
  return Object.entries(properties).map(([name, schema]) => ({ name, in: "query", schema }));
}

const refOf = (name: string): string => `#/components/schemas/${name}`;

/** A schema of an answer, by its name where it has one. */
function describeJson(schema: z.ZodType): JsonSchema {
  const name = wireRegistry.get(schema)?.id;
  return name === undefined ? toJsonSchema(schema, "output") : { $ref: refOf(name) };
}

/** Every schema of an answer that has a name, each by reference in the others. */
function namedSchemas(): Record<string, JsonSchema> {
  const { schemas } = z.toJSONSchema(wireRegistry, { uri: refOf, io: "output", unrepresentable: "any" });
  for (const schema of Object.values(schemas)) plain(schema);
  return schemas;
}

/** OpenAPI 3.1 has the same dialect, and names of its own. */
function plain<Schema extends JsonSchema>(schema: Schema): Schema {
  delete schema.$schema;
  delete schema.$id;
  return schema;
}

/** What a client may send, or gets. A check in code, which JSON Schema cannot say, is left out. */
function toJsonSchema(schema: z.ZodType, io: "input" | "output" = "input"): JsonSchema {
  return plain<JsonSchema>(z.toJSONSchema(schema, { io, unrepresentable: "any" }));
}
