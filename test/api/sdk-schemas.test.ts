import { expect, it } from "vitest";
import { readEvents, startTestServer } from "../support/server.js";
import { readSdkSchemas, sdkFaults, sdkFaultsOf, sdkVersions } from "../support/sdk-schemas.js";

/** Every answer of every test is held against these schemas: check-answers.ts. */

it("the schemas are of the SDKs that are installed", () => {
  expect(readSdkSchemas().versions, "run npx tsx scripts/write-sdk-schemas.ts").toEqual(sdkVersions());
});

it("a field that an SDK requires, or with another type, is a fault", async () => {
  const server = await startTestServer();
  const body = { model: "both", messages: [{ role: "user", content: "a" }], max_tokens: 9 };
  const chat = (await (await server.post("/v1/chat/completions", body)).json()) as Record<string, unknown>;
  expect(sdkFaultsOf("OpenAiChatCompletion", chat)).toEqual([]);
  expect(sdkFaultsOf("OpenAiChatCompletion", { ...chat, id: 7 })).not.toEqual([]);
  expect(sdkFaultsOf("OpenAiChatCompletion", { ...chat, choices: [{ index: 0 }] })).not.toEqual([]);
  const message = (await (await server.post("/v1/messages", body)).json()) as Record<string, unknown>;
  expect(sdkFaultsOf("AnthropicMessage", message)).toEqual([]);
  expect(sdkFaultsOf("AnthropicMessage", { ...message, stop_reason: "tired" })).not.toEqual([]);
  const asked = { model: "both", input: "a" };
  const response = (await (await server.post("/v1/responses", asked)).json()) as Record<string, unknown>;
  expect(sdkFaultsOf("OpenAiResponse", response)).toEqual([]);
  expect(sdkFaultsOf("OpenAiResponse", { ...response, tools: undefined })).not.toEqual([]);
  const events = (await readEvents(
    await server.post("/v1/responses", { ...asked, stream: true }),
  )) as object[];
  const faults = (event: object) => sdkFaults({ method: "POST", path: "/v1/responses" }, event, "event");
  expect(events.flatMap(faults)).toEqual([]);
  expect(events.map((event) => faults({ ...event, sequence_number: "1" }).length > 0)).toEqual(
    events.map(() => true),
  );
});
