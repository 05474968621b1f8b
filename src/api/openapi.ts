import type { RequestHandler } from "express";
import { z } from "zod";
import type { ApiContext } from "./context.js";
import type { Route } from "./routes.js";

/** `GET /openapi.json`: made from the routes and their schemas when it is first asked for. */
export function getOpenApi(context: ApiContext, routes: () => readonly Route[]): RequestHandler {
  let document: object | null = null;
  return (_request, response) => {
    response.json((document ??= describeApi(routes(), context)));
  };
}

const errorSchema = z.object({
  error: z.object({
    message: z.string().describe("What is wrong, and what to do."),
    type: z.string(),
    param: z.string().nullable().describe("Dotted path of the field at fault."),
    code: z.string(),
  }),
});

/** OpenAPI 3.1, whose schemas are JSON Schema 2020-12, as zod writes it. */
function describeApi(routes: readonly Route[], { version, gate }: ApiContext): object {
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
      schemas: { Error: toJsonSchema(errorSchema) },
      responses: {
        Error: {
          description: "What went wrong: 4xx the request, 5xx the server.",
          content: { "application/json": { schema: { $ref: "#/components/schemas/Error" } } },
        },
      },
      securitySchemes: { key: { type: "http", scheme: "bearer" } },
    },
    security: gate.hasKeys ? [{ key: [] }] : [],
  };
}

function describeRoute({ method, summary, body, query, produces }: Route, path: string): object {
  const inPath = [...path.matchAll(/\{(\w+)\}/g)].map(([, name]) => ({
    name,
    in: "path",
    required: true,
    schema: { type: "string" },
  }));
  const content = Object.fromEntries((produces ?? ["application/json"]).map((type) => [type, {}]));
  const isOpen = path === "/livez" || path === "/readyz";
  return {
    operationId: `${method.toLowerCase()}${path.replaceAll(/[^a-zA-Z]+(.)?/g, (_, next = "") => String(next).toUpperCase())}`,
    summary,
    ...(isOpen && { security: [] }),
    parameters: [...inPath, ...(query ? describeQuery(query) : [])],
    ...(body && {
      requestBody: { required: true, content: { "application/json": { schema: toJsonSchema(body) } } },
    }),
    responses: {
      "200": { description: "The answer.", content },
      default: { $ref: "#/components/responses/Error" },
    },
  };
}

function describeQuery(query: z.ZodType): object[] {
  const { properties = {} } = toJsonSchema(query);
  return Object.entries(properties).map(([name, schema]) => ({ name, in: "query", schema }));
}

/** What a client may send. A check in code, which JSON Schema cannot say, is left out. */
function toJsonSchema(schema: z.ZodType): z.core.JSONSchema.BaseSchema {
  const written = z.toJSONSchema(schema, { io: "input", unrepresentable: "any" });
  // OpenAPI 3.1 has the same dialect.
  delete written.$schema;
  return written;
}
