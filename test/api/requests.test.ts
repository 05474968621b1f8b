import { describe, expect, it } from "vitest";
import { type GenerationRequest, plainRequest } from "../../src/protocol/protocol.js";
import { withoutGrammar } from "../../src/api/completion/answer-grammar.js";
import { choicesOf, planCompletion } from "../../src/api/completion/plan.js";
import { describeEngine } from "../support/fake-engine.js";
import { startTestServer, type TestServer } from "../support/server.js";

const chat = { model: "both", messages: [{ role: "user", content: "hi" }] };
const text = { model: "both", prompt: "hi" };

/** What reaches the engine for this body. */
async function submittedFor(path: string, body: object): Promise<GenerationRequest> {
  const server = await startTestServer();
  const response = await server.post(path, body);
  expect(response.status, await response.text()).toBe(200);
  return server.engine.submitted[0]!;
}

const sampling = {
  temperature: 0.7,
  topK: 40,
  topP: 1,
  minP: 0,
  typicalP: 1,
  repeatPenalty: 1,
  presencePenalty: 0,
  frequencyPenalty: 0,
};

describe("what reaches the engine", () => {
  it("defaults are the config's and the API's", async () => {
    const { requestId, ...request } = await submittedFor("/v1/chat/completions", chat);
    expect(requestId).toMatch(/^chatcmpl-/);
    expect(request).toEqual({
      ...plainRequest,
      owner: "anonymous",
      party: "127.0.0.1",
      configId: "both",
      prompt: {
        type: "chat",
        messages: [{ role: "user", content: "hi" }],
        ending: "answer",
        isThinking: null,
        effort: null,
      },
      maxTokens: null,
      stop: [],
      sampling,
      seed: null,
      logitBias: [],
      topLogprobs: null,
      logprobs: "fused",
      strategy: null,
      bounds: null,
      trace: "off",
    });
    expect(await submittedFor("/v1/completions", text)).toMatchObject({
      prompt: { type: "text", text: "hi" },
      maxTokens: 16,
    });
  });

  it("null is the default, for every field", async () => {
    const names =
      "max_tokens max_completion_tokens temperature top_p top_k min_p typical_p seed stop presence_penalty " +
      "frequency_penalty repeat_penalty logit_bias logprobs top_logprobs stream stream_options n user fusion tools " +
      "tool_choice response_format grammar metadata store service_tier parallel_tool_calls modalities audio";
    const nulls = Object.fromEntries(names.split(" ").map((name) => [name, null]));
    expect(await submittedFor("/v1/chat/completions", { ...nulls, ...chat })).toMatchObject({
      maxTokens: null,
      sampling,
      topLogprobs: null,
    });
    const textNulls = { max_tokens: null, echo: null, suffix: null, best_of: null, logprobs: null, n: null };
    expect(await submittedFor("/v1/completions", { ...textNulls, ...text })).toMatchObject({ maxTokens: 16 });
    const fusion = { strategy: null, weights: null, bounds: null, trace: null, logprobs: null };
    expect(await submittedFor("/v1/chat/completions", { ...chat, fusion })).toMatchObject({
      strategy: null,
      trace: "off",
    });
  });

  const honoured: [string, object, Partial<GenerationRequest>][] = [
    ["max_tokens", { max_tokens: 5 }, { maxTokens: 5 }],
    ["max_completion_tokens wins", { max_tokens: 5, max_completion_tokens: 6 }, { maxTokens: 6 }],
    ["temperature", { temperature: 0 }, { sampling: { ...sampling, temperature: 0 } }],
    ["top_p", { top_p: 0.5 }, { sampling: { ...sampling, topP: 0.5 } }],
    ["top_p 0", { top_p: 0 }, { sampling: { ...sampling, topP: 1e-7 } }],
    ["top_k", { top_k: 3 }, { sampling: { ...sampling, topK: 3 } }],
    ["top_k -1", { top_k: -1 }, { sampling: { ...sampling, topK: 0 } }],
    ["min_p", { min_p: 0.1 }, { sampling: { ...sampling, minP: 0.1 } }],
    ["typical_p", { typical_p: 0.9 }, { sampling: { ...sampling, typicalP: 0.9 } }],
    ["repeat_penalty", { repeat_penalty: 1.1 }, { sampling: { ...sampling, repeatPenalty: 1.1 } }],
    ["presence_penalty", { presence_penalty: -2 }, { sampling: { ...sampling, presencePenalty: -2 } }],
    ["frequency_penalty", { frequency_penalty: 2 }, { sampling: { ...sampling, frequencyPenalty: 2 } }],
    ["seed", { seed: 42 }, { seed: 42 }],
    ["a negative seed", { seed: -2 }, { seed: 2 ** 32 - 2 }],
    ["one stop string", { stop: "\n" }, { stop: ["\n"] }],
    ["stop strings", { stop: ["a", "b"] }, { stop: ["a", "b"] }],
    ["logit_bias", { logit_bias: { "979": -100 } }, { logitBias: [{ token: 979, bias: -100 }] }],
    ["logprobs", { logprobs: true }, { topLogprobs: 0 }],
    ["top_logprobs", { logprobs: true, top_logprobs: 20 }, { topLogprobs: 20 }],
    ["no logprobs", { logprobs: false }, { topLogprobs: null }],
    ["fusion.trace", { fusion: { trace: "full" } }, { trace: "full" }],
    ["fusion.logprobs", { fusion: { logprobs: "processed" } }, { logprobs: "processed" }],
    ["fusion.bounds", { fusion: { bounds: [0, 1] } }, { bounds: { trivia: [0, 1], sums: [0, 1] } }],
    ["fusion.bounds by id", { fusion: { bounds: { sums: [0, 1] } } }, { bounds: { sums: [0, 1] } }],
    ["fusion.strategy", { fusion: { strategy: { type: "base" } } }, { strategy: { type: "base" } }],
    [
      "fusion.weights",
      { fusion: { weights: { trivia: 1.5 } } },
      { strategy: { type: "static", weights: { trivia: 1.5 }, plausibility: { ratio: 0.1, of: "joint" } } },
    ],
    [
      "roles and parts",
      {
        messages: [
          {
            role: "developer",
            content: [
              { type: "text", text: "a" },
              { type: "text", text: "b" },
            ],
            name: "x",
          },
          { role: "assistant", content: "c", refusal: null, tool_calls: [], annotations: [] },
        ],
      },
      {
        prompt: {
          type: "chat",
          messages: [
            { role: "system", content: "a\nb" },
            { role: "assistant", content: "c" },
          ],
        },
      },
    ],
  ];
  it.each(honoured)("%s", async (_name, fields, expected) => {
    expect(await submittedFor("/v1/chat/completions", { ...chat, ...fields })).toMatchObject(expected);
  });

  it.each([
    ["token ids", [1, 2], { type: "tokens", tokens: [1, 2] }],
    ["a list of one text", ["hi"], { type: "text", text: "hi" }],
    ["a list of one list of ids", [[1, 2]], { type: "tokens", tokens: [1, 2] }],
  ])("a prompt as %s", async (_name, prompt, expected) => {
    expect((await submittedFor("/v1/completions", { model: "both", prompt })).prompt).toEqual(expected);
  });

  it("fields that ask for nothing here are accepted", async () => {
    const idle = {
      user: "u",
      metadata: { a: "b" },
      store: false,
      service_tier: "auto",
      parallel_tool_calls: true,
      safety_identifier: "s",
      prompt_cache_key: "k",
      n: 1,
      tools: [],
      tool_choice: "none",
      response_format: { type: "text" },
      modalities: ["text"],
      stream_options: null,
    };
    await submittedFor("/v1/chat/completions", { ...chat, ...idle });
    await submittedFor("/v1/completions", { ...text, echo: false, best_of: 1, suffix: "", n: 1 });
  });
});

it("no plan can be made without saying whose it is, and no request of it lacks a prompt", () => {
  const description = describeEngine();
  // @ts-expect-error -- the owner is missing
  expect(() => planCompletion("chat", chat, { description, writeGrammar: withoutGrammar })).toThrow(
    TypeError,
  );
  const plan = planCompletion("chat", chat, {
    description,
    requester: { owner: "ann", party: "p" },
    keptTrace: "off",
    replica: "",
    writeGrammar: withoutGrammar,
  });
  expect(plan.request).toMatchObject({ owner: "ann", party: "p" });
  // @ts-expect-error -- what all choices share is no request yet
  const request: GenerationRequest = plan.request;
  expect(request).not.toHaveProperty("prompt");
  expect(choicesOf(plan)).toMatchObject([{ request: { owner: "ann", prompt: plan.prompts[0] } }]);
});

/** A refusal: body, status, code, param, and a part of the message. */
type Refusal = [string, unknown, number, string, string | null, RegExp];

async function expectRefusals(path: string, refusals: Refusal[]): Promise<void> {
  const server = await startTestServer();
  for (const [name, body, status, code, param, message] of refusals)
    await expectRefusal(server, path, { name, body, status, code, param, message });
  expect(server.engine.submitted).toEqual([]);
  expect((await server.post("/v1/chat/completions", chat)).status).toBe(200);
}

async function expectRefusal(
  server: TestServer,
  path: string,
  expected: {
    name: string;
    body: unknown;
    status: number;
    code: string;
    param: string | null;
    message: RegExp;
  },
): Promise<void> {
  const response = await server.post(path, expected.body);
  expect(response.status, expected.name).toBe(expected.status);
  const { error } = (await response.json()) as { error: Record<string, unknown> };
  expect(error, expected.name).toEqual({
    message: expect.stringMatching(expected.message) as string,
    type: "invalid_request_error",
    param: expected.param,
    code: expected.code,
  });
}

describe("what is refused", () => {
  it("chat bodies", async () => {
    const invalid = (name: string, fields: object, param: string, message = /./): Refusal => [
      name,
      { ...chat, ...fields },
      400,
      "invalid_request",
      param,
      message,
    ];
    await expectRefusals("/v1/chat/completions", [
      ["no object", [], 400, "invalid_request", null, /object/],
      ["null", null, 400, "invalid_request", null, /object/],
      ["no JSON", '{"model": "both",', 400, "invalid_json", null, /JSON/],
      ["unknown model", { ...chat, model: "nope" }, 404, "model_not_found", "model", /both, giant/],
      ["no model", { messages: chat.messages }, 400, "invalid_request", "model", /missing/],
      ["no messages", { model: "both" }, 400, "invalid_request", "messages", /missing/],
      invalid("unknown key", { temprature: 1 }, "temprature", /did you mean "temperature"\?$/),
      invalid("unknown inner key", { fusion: { weight: {} } }, "fusion.weight", /did you mean "weights"/),
      [
        "own __proto__",
        `{"__proto__": 1, ${JSON.stringify(chat).slice(1)}`,
        400,
        "invalid_request",
        "__proto__",
        /nothing has this name/,
      ],
      invalid("empty messages", { messages: [] }, "messages"),
      invalid("wrong role", { messages: [{ role: "king", content: "x" }] }, "messages.0.role"),
      invalid("no content", { messages: [{ role: "user" }] }, "messages.0.content"),
      invalid("null content", { messages: [{ role: "user", content: null }] }, "messages.0.content"),
      invalid("hot", { temperature: 2.1 }, "temperature", /2/),
      invalid("text for a number", { temperature: "1" }, "temperature", /number/),
      [
        "infinite",
        `{"temperature": 1e999, ${JSON.stringify(chat).slice(1)}`,
        400,
        "invalid_request",
        "temperature",
        /number/,
      ],
      invalid("max_tokens 0", { max_tokens: 0 }, "max_tokens"),
      invalid("top_p", { top_p: 1.1 }, "top_p"),
      invalid("half a k", { top_k: 0.5 }, "top_k"),
      invalid("half a seed", { seed: 0.5 }, "seed"),
      invalid("65 stops", { stop: Array.from({ length: 65 }, (_, index) => `s${index}`) }, "stop"),
      invalid("257 bytes", { stop: "é".repeat(128) + "x" }, "stop", /256 bytes/),
      invalid("bias too strong", { logit_bias: { "1": 101 } }, "logit_bias.1"),
      invalid("bias of a word", { logit_bias: { word: 1 } }, "logit_bias.word", /token id/),
      invalid("bias outside", { logit_bias: { "980": 1 } }, "logit_bias", /980/),
      invalid(
        "1025 biases",
        { logit_bias: Object.fromEntries(Array.from({ length: 1025 }, (_, id) => [id, 0])) },
        "logit_bias",
        /1024/,
      ),
      invalid("21 alternatives", { logprobs: true, top_logprobs: 21 }, "top_logprobs"),
      invalid("alternatives without logprobs", { top_logprobs: 1 }, "top_logprobs", /logprobs: true/),
      invalid("number of logprobs", { logprobs: 2 }, "logprobs"),
      invalid("options without stream", { stream_options: { include_usage: true } }, "stream_options"),
      invalid("n 0", { n: 0 }, "n"),
      invalid("unknown expert", { fusion: { weights: { art: 1 } } }, "fusion.weights", /trivia, sums/),
      invalid(
        "unknown expert of a strategy",
        { fusion: { strategy: { type: "static", weights: { art: 1 } } } },
        "fusion.strategy.weights",
      ),
      invalid("weights twice", { fusion: { weights: {}, strategy: { type: "base" } } }, "fusion.weights"),
      invalid("bounds upside down", { fusion: { bounds: [1, 0] } }, "fusion.bounds"),
      invalid("bounds of a stranger", { fusion: { bounds: { chess: [0, 1] } } }, "fusion.bounds"),
      invalid("idle bounds", { fusion: { bounds: [0, 1], weights: {} } }, "fusion.bounds"),
      invalid(
        "no experts to solve for",
        { model: "giant", fusion: { strategy: { type: "dynamic" } } },
        "fusion.strategy",
      ),
    ]);
  });

  it("chat fields that are not honoured yet", async () => {
    const unsupported = (fields: object, param: string): Refusal => [
      param,
      { ...chat, ...fields },
      400,
      "unsupported_field",
      param,
      /not supported/,
    ];
    const part = (content: object) => ({ messages: [{ role: "user", content: [content] }] });
    await expectRefusals("/v1/chat/completions", [
      unsupported({ modalities: ["text", "audio"] }, "modalities"),
      unsupported({ audio: { voice: "x" } }, "audio"),
      unsupported({ prompt: "hi" }, "prompt"),
      unsupported(part({ type: "image_url", image_url: { url: "x" } }), "messages.0.content.0"),
    ]);
  });

  it("legacy bodies", async () => {
    const invalid = (name: string, fields: object, param: string, message = /./): Refusal => [
      name,
      { ...text, ...fields },
      400,
      "invalid_request",
      param,
      message,
    ];
    const unsupported = (fields: object, param: string): Refusal => [
      param,
      { ...text, ...fields },
      400,
      "unsupported_field",
      param,
      /not supported/,
    ];
    await expectRefusals("/v1/completions", [
      ["no prompt", { model: "both" }, 400, "invalid_request", "prompt", /missing/],
      invalid("empty list", { prompt: [] }, "prompt"),
      invalid("mixed list", { prompt: [1, "a"] }, "prompt"),
      invalid("outside the vocabulary", { prompt: [980] }, "prompt", /980/),
      invalid("below the vocabulary", { prompt: [-1] }, "prompt.0"),
      invalid("21 alternatives", { logprobs: 21 }, "logprobs"),
      invalid("negative tokens", { max_tokens: -3 }, "max_tokens"),
      unsupported({ messages: [{ role: "user", content: "hi" }] }, "messages"),
      invalid("a suffix with an echo", { suffix: "x", echo: true }, "echo"),
    ]);
  });
});

describe("HTTP", () => {
  it.each([
    ["GET", "/v1/chat/completions", 405, "method_not_allowed"],
    ["POST", "/v1/models", 405, "method_not_allowed"],
    ["GET", "/v1/nothing", 404, "route_not_found"],
    ["GET", "/V1/models", 404, "route_not_found"],
    ["GET", "/v1/models/%E0%A4%A", 400, "invalid_request"],
    ["GET", "/v1/stream", 426, "upgrade_required"],
  ])("%s %s: %i", async (method, path, status, code) => {
    const server = await startTestServer();
    const response = await fetch(server.url + path, { method });
    expect(response.status).toBe(status);
    expect(await response.json()).toMatchObject({ error: { code, param: null } });
    if (status === 405) expect(response.headers.get("allow")).toMatch(/POST|GET, HEAD/);
  });

  it("another content type, or none, is 415", async () => {
    const server = await startTestServer();
    for (const type of ["application/x-www-form-urlencoded", "text/plain", "application/jsonx"]) {
      const response = await server.post("/v1/chat/completions", chat, { headers: { "Content-Type": type } });
      expect(response.status).toBe(415);
      expect(await response.json()).toMatchObject({ error: { code: "unsupported_media_type" } });
    }
    const charset = { headers: { "Content-Type": "application/json; charset=latin1" } };
    expect((await server.post("/v1/chat/completions", chat, charset)).status).toBe(415);
    for (const name of ["utf8", '"UTF-8"', "us-ascii"]) {
      const utf8 = { headers: { "Content-Type": `application/json; charset=${name}` } };
      expect((await server.post("/v1/chat/completions", chat, utf8)).status, name).toBe(200);
    }
  });

  it("a body over the limit is 413, one at the limit is read", async () => {
    const server = await startTestServer();
    const bodyOf = (bytes: number) => {
      const body = JSON.stringify({ ...chat, user: "" });
      return body.replace('"user":""', `"user":"${"x".repeat(bytes - body.length)}"`);
    };
    const limit = 2 * 1024 * 1024;
    expect((await server.post("/v1/chat/completions", bodyOf(limit))).status).toBe(200);
    const response = await server.post("/v1/chat/completions", bodyOf(limit + 1));
    expect(response.status).toBe(413);
    expect(await response.json()).toMatchObject({ error: { code: "payload_too_large" } });
  });

  it("malformed JSON does not come back", async () => {
    const server = await startTestServer();
    const response = await server.post("/v1/chat/completions", '{"secret": canary}');
    expect(response.status).toBe(400);
    expect(await response.text()).not.toMatch(/canary|SyntaxError|at /);
  });

  it("a client's request id is kept where it is one", async () => {
    const server = await startTestServer();
    const withId = (id: string) => fetch(`${server.url}/livez`, { headers: { "X-Request-Id": id } });
    expect((await withId("abc-1")).headers.get("x-request-id")).toBe("abc-1");
    expect((await withId("a b")).headers.get("x-request-id")).not.toBe("a b");
  });
});
