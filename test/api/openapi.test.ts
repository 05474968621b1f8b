import { Validator } from "@seriousme/openapi-schema-validator";
import { expect, it } from "vitest";
import type { ApiContext } from "../../src/api/context.js";
import { createRoutes } from "../../src/api/routes.js";
import { parseApiKeys } from "../../src/config/api-keys.js";
import { chatCompletionSchema } from "../../src/wire/completion.js";
import { faultsOf, numCheckedAnswers } from "../support/check-answers.js";
import { readEvents, startTestServer } from "../support/server.js";
import { connect } from "../support/socket.js";

interface Document {
  openapi: string;
  security: object[];
  paths: Record<string, Record<string, Operation>>;
  components: { schemas: Record<string, { properties?: Record<string, object> }> };
}

interface Operation {
  operationId: string;
  requestBody?: object;
  responses: Record<string, { content?: Record<string, { schema: object }> }>;
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
    ({ method, path }) => `${method} ${path.replaceAll(/:(\w+)/g, "{$1}")}`,
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

it("every good answer has a schema, and what schemas refer to is there", async () => {
  const server = await startTestServer();
  const { paths, components } = await documentOf(server.url);
  for (const operation of Object.values(paths).flatMap((methods) => Object.values(methods))) {
    const contents = Object.entries(operation.responses).filter(([status]) => status !== "default");
    expect(contents).toHaveLength(1);
    for (const { schema } of Object.values(contents[0]![1].content!))
      expect(Object.keys(schema), operation.operationId).not.toEqual([]);
  }
  const written = JSON.stringify({ paths, components });
  const named = [...written.matchAll(/"\$ref":"#\/components\/schemas\/([^"]+)"/g)].map(([, name]) => name);
  expect(named.length).toBeGreaterThan(20);
  for (const name of new Set(named)) expect(components.schemas).toHaveProperty(name!);
  expect(written.match(/"\$ref":"(?!#\/components\/(schemas|responses)\/\w+")/g)).toBeNull();
  expect(components.schemas["TokenRecord"]?.properties).toMatchObject({ base_token: {}, nats: {} });
  expect(components.schemas["FusionConfig"]?.properties).not.toHaveProperty("tool_form");
});

it("tests parse every answer and frame, and a field that no schema knows is a fault", async () => {
  const server = await startTestServer();
  const before = numCheckedAnswers();
  const body = { model: "both", messages: [{ role: "user", content: "a" }] };
  const answer = (await (await server.post("/v1/chat/completions", body)).json()) as object;
  await readEvents(await server.post("/v1/chat/completions", { ...body, stream: true }));
  await fetch(`${server.url}/v1/models/none`);
  const socket = await connect(server.url);
  socket.socket.close();
  // An answer, a role, two texts and an end, an error, and the greeting of a socket.
  expect(numCheckedAnswers() - before).toBe(7);
  expect(faultsOf(chatCompletionSchema, answer)).toEqual([]);
  expect(faultsOf(chatCompletionSchema, { ...answer, toolForm: {} })).toHaveLength(1);
});

it("it says that a key is needed where one is", async () => {
  const key = "0123456789abcdef";
  const server = await startTestServer({ access: { keys: parseApiKeys(`a=${key}`, "test") } });
  expect((await documentOf(server.url, { Authorization: `Bearer ${key}` })).security).toEqual([{ key: [] }]);
});
