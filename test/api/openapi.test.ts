import { Validator } from "@seriousme/openapi-schema-validator";
import { expect, it } from "vitest";
import type { ApiContext } from "../../src/api/context.js";
import { createRoutes } from "../../src/api/routes.js";
import { parseApiKeys } from "../../src/config/api-keys.js";
import { startTestServer } from "../support/server.js";

interface Document {
  openapi: string;
  security: object[];
  paths: Record<string, Record<string, { operationId: string; requestBody?: object }>>;
}

const documentOf = async (url: string, headers = {}) =>
  (await (await fetch(`${url}/openapi.json`, { headers })).json()) as Document;

it("/openapi.json is a valid OpenAPI 3.1 document that names every route", async () => {
  const server = await startTestServer();
  const document = await documentOf(server.url);
  expect(document.openapi).toBe("3.1.0");
  const result = await new Validator().validate({ ...document });
  expect(result.errors ?? []).toEqual([]);
  const described = Object.entries(document.paths).flatMap(([path, methods]) =>
    Object.keys(methods).map((method) => `${method.toUpperCase()} ${path}`),
  );
  const served = createRoutes({} as ApiContext).map(
    ({ method, path }) => `${method} ${path.replace(":id", "{id}")}`,
  );
  expect(described.sort()).toEqual(served.sort());
  const ids = Object.values(document.paths).flatMap((methods) =>
    Object.values(methods).map(({ operationId }) => operationId),
  );
  expect(new Set(ids).size).toBe(ids.length);
  expect(document.paths["/v1/chat/completions"]?.["post"]?.requestBody).toMatchObject({
    content: {
      "application/json": {
        schema: { type: "object", required: ["model", "messages"], properties: { temperature: {} } },
      },
    },
  });
  expect(document.security).toEqual([]);
});

it("it says that a key is needed where one is", async () => {
  const key = "0123456789abcdef";
  const server = await startTestServer({ access: { keys: parseApiKeys(`a=${key}`, "test") } });
  expect((await documentOf(server.url, { Authorization: `Bearer ${key}` })).security).toEqual([{ key: [] }]);
});
