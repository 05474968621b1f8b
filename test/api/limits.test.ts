import { request } from "node:http";
import { expect, it } from "vitest";
import { ShouldersError } from "../../src/errors.js";
import { startTestServer } from "../support/server.js";
import { connect } from "../support/socket.js";

/** Row 4 of the promises: each limit one under, at, and one over it. */

const chat = { model: "both", messages: [{ role: "user", content: "hi" }] };
const text = { model: "both", prompt: "hi" };
const list = <Item>(length: number, item: (index: number) => Item) =>
  Array.from({ length }, (_, index) => item(index));
const tool = (index: number) => ({ type: "function", function: { name: `f${index}` } });
/** A grammar, and a schema, of so many bytes; two of them a character. */
const grammarOf = (bytes: number) => `root ::= "x" #é`.padEnd(bytes - 1, "x");
const schemaOf = (bytes: number) => {
  const schema = { type: "object", description: "é" };
  const missing = bytes - Buffer.byteLength(JSON.stringify(schema));
  return { ...schema, description: schema.description + "x".repeat(missing) };
};
const formatOf = (schema: object) => ({ type: "json_schema", json_schema: { name: "a", schema } });

const limits: [string, number, "chat" | "text", (size: number) => object, string][] = [
  ["n", 16, "chat", (n) => ({ n }), "n"],
  ["stop strings", 64, "chat", (size) => ({ stop: list(size, (index) => `s${index}`) }), "stop"],
  ["bytes of a stop string", 256, "chat", (size) => ({ stop: `é${"x".repeat(size - 2)}` }), "stop"],
  ["top_logprobs", 20, "chat", (size) => ({ logprobs: true, top_logprobs: size }), "top_logprobs"],
  ["legacy logprobs", 20, "text", (logprobs) => ({ logprobs }), "logprobs"],
  [
    "entries of logit_bias",
    1024,
    "text",
    (size) => ({ logit_bias: Object.fromEntries(list(size, (id) => [id, 0])) }),
    "logit_bias",
  ],
  ["temperature", 2, "chat", (temperature) => ({ temperature }), "temperature"],
  ["max_tokens", Number.MAX_SAFE_INTEGER, "text", (max_tokens) => ({ max_tokens }), "max_tokens"],
  ["a token id", 979, "text", (id) => ({ prompt: [id] }), "prompt"],
  ["a biased token id", 979, "text", (id) => ({ logit_bias: { [id]: 1 } }), "logit_bias"],
  ["choices", 128, "text", (size) => ({ prompt: list(size, () => "x") }), "prompt"],
  ["bytes of a grammar", 65_536, "chat", (size) => ({ grammar: grammarOf(size) }), "grammar"],
  [
    "bytes of a schema",
    65_536,
    "chat",
    (size) => ({ response_format: formatOf(schemaOf(size)) }),
    "response_format.json_schema.schema",
  ],
  ["tools", 128, "chat", (size) => ({ tools: list(size, tool) }), "tools"],
  [
    "letters of a function's name",
    128,
    "chat",
    (size) => ({ tools: [{ type: "function", function: { name: "f".repeat(size) } }] }),
    "tools.0.function.name",
  ],
];

it.each(limits)("%s: %i", async (name, limit, kind, fieldsOf, param) => {
  const server = await startTestServer();
  const path = kind === "chat" ? "/v1/chat/completions" : "/v1/completions";
  const ask = async (size: number) => {
    const response = await server.post(path, { ...(kind === "chat" ? chat : text), ...fieldsOf(size) });
    const { error } = (await response.json()) as { error?: { param: string } };
    return [response.status, error?.param ?? null];
  };
  if (name === "entries of logit_bias") {
    // As many ids as that have to be in the vocabulary.
    const description = server.engine.description!;
    const configs = description.configs.map((config) => ({ ...config, vocabularySize: 2000 }));
    server.engine.description = { ...description, configs };
  }
  expect(await ask(limit - 1)).toEqual([200, null]);
  expect(await ask(limit)).toEqual([200, null]);
  expect(await ask(limit + 1)).toEqual([400, param]);
});

it("bytes of a body: 2 MiB", async () => {
  const server = await startTestServer();
  const limit = 2 * 1024 * 1024;
  const statusOf = async (bytes: number) => {
    const empty = JSON.stringify({ ...chat, user: "" });
    const body = empty.replace('"user":""', `"user":"${"x".repeat(bytes - empty.length)}"`);
    return (await server.post("/v1/chat/completions", body)).status;
  };
  expect([await statusOf(limit - 1), await statusOf(limit), await statusOf(limit + 1)]).toEqual([
    200, 200, 413,
  ]);
});

it("bytes of headers: about 16 KiB", async () => {
  const server = await startTestServer();
  const statusOf = (bytes: number) =>
    new Promise<number>((resolve, reject) => {
      const { hostname, port } = new URL(server.url);
      const asked = request({ hostname, port, path: "/livez", headers: { "X-Long": "x".repeat(bytes) } });
      asked.on("response", (response) => resolve(response.resume().statusCode ?? 0));
      asked.on("error", reject);
      asked.end();
    });
  // Node counts the other headers and the first line too, a few of its own bytes aside.
  expect(await statusOf(16 * 1024 - 512)).toBe(200);
  expect(await statusOf(16 * 1024)).toBe(431);
  expect(await statusOf(100)).toBe(200);
});

it("bytes of a frame: 1 MiB", async () => {
  const server = await startTestServer();
  const limit = 1024 * 1024;
  const send = async (bytes: number) => {
    const socket = await connect(server.url);
    const empty = JSON.stringify({ type: "response.create", response: { ...chat, user: "" } });
    socket.send(empty.replace('"user":""', `"user":"${"x".repeat(bytes - empty.length)}"`));
    return socket;
  };
  for (const bytes of [limit - 1, limit]) await (await send(bytes)).until("response.done");
  expect(await (await send(limit + 1)).closed()).toBe(1009);
});

it("what is over a limit is refused before the engine hears of it", async () => {
  const server = await startTestServer();
  server.engine.script = () => {
    throw new ShouldersError("internal", "It was asked.");
  };
  for (const [, limit, kind, fieldsOf] of limits) {
    const path = kind === "chat" ? "/v1/chat/completions" : "/v1/completions";
    await server.post(path, { ...(kind === "chat" ? chat : text), ...fieldsOf(limit + 1) });
  }
  expect(server.engine.submitted).toEqual([]);
});
