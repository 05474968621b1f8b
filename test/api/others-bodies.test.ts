import { expect, it } from "vitest";
import type { GenerationRequest } from "../../src/protocol/protocol.js";
import { rawRequest, sendRaw, statusOf } from "../support/raw-http.js";
import { startTestServer } from "../support/server.js";

/** What programs send that were written for other servers, and what becomes of it. */

const chat = { model: "both", messages: [{ role: "user", content: "hi" }] };
const text = { model: "both", prompt: "hi" };

interface Reply {
  fusion?: { ignored?: string[] };
  error?: { code: string; param: string; message: string };
}

async function send(fields: object, base: object = chat) {
  const server = await startTestServer();
  const path = "prompt" in base ? "/v1/completions" : "/v1/chat/completions";
  const response = await server.post(path, { ...base, ...fields });
  const reply = (await response.json()) as Reply;
  return { status: response.status, reply, request: server.engine.submitted[0] };
}

it.each<[object, object?]>([
  [{ stop: [] }],
  [{ stop: [""] }],
  [{ max_tokens: -1 }],
  [{ max_completion_tokens: -1 }],
  [{ max_tokens: -1 }, text],
  [{ n_predict: -1 }, text],
  [{ best_of: 1 }],
  [{ best_of: 1 }, text],
  [{ best_of: 3, n: 3 }, text],
  [{ top_logprobs: 0 }],
  [{ logprobs: false }, text],
  [{ cache_prompt: true }],
  [{ cache_prompt: false }],
  [{ min_tokens: 0, ignore_eos: false, stop_token_ids: [] }],
  [{ keep_alive: "5m" }],
  [{ skip_special_tokens: true, include_stop_str_in_output: false }],
  [{ seed: -1 }],
  [{ logit_bias: [] }],
  [{ logit_bias: {} }],
  [{ mirostat: 0, dry_multiplier: 0, xtc_probability: 0, dynatemp_range: 0, top_n_sigma: -1, tfs: 1 }],
  [{ use_beam_search: false, num_beams: 1, no_repeat_ngram_size: 0, do_sample: true, guidance_scale: 1 }],
  [{ documents: [], lora: [], bad_words: [], allowed_token_ids: null, suffix: "" }, text],
  [{ functions: [], function_call: "auto", tools: [], tool_choice: "none", modalities: ["text"] }],
  [{ response_format: { type: "text" }, grammar: "", structured_outputs: {}, chat_template_kwargs: {} }],
  [{ stream_options: {} }],
  [{ prompt: "" }],
  [{ raw: true }, text],
  [{ structured_outputs: true, reasoning: {}, reasoning_effort: "auto" }],
  [{ format: "", json_schema: "", guided_regex: "", guided_grammar: "", response_format: {} }],
  [{ temprature: null, mirostat_lr: null, mode: null }],
  [{ include_reasoning: true, separate_reasoning: true, add_bos_token: true, reasoning: { exclude: false } }],
  [{ prediction: { type: "content", content: "" } }],
  [{ prediction: { type: "content", content: [] } }, text],
  [{ max_tokens: -2 }],
  [{ max_completion_tokens: null, top_logprobs: 0, add_special_tokens: true }, text],
  [{ echo: false, user: "u", store: false, metadata: {}, service_tier: "auto", verbosity: "medium" }],
])("%j asks for nothing, and nothing is said of it", async (fields, base) => {
  const { status, reply, request } = await send(fields, base);
  expect([status, reply.error, reply.fusion]).toEqual([200, undefined, undefined]);
  const plain = await send({}, base);
  const bound = "max_tokens" in fields || "n_predict" in fields ? { maxTokens: null } : {};
  expect({ ...request, requestId: "" }).toEqual({ ...plain.request, requestId: "", ...bound });
});

const sampling = (fields: object) => ({ sampling: expect.objectContaining(fields) as never });
const grammar = (part: string) => ({ grammar: expect.stringContaining(part) as never });
const schema = { type: "object", properties: { town: { type: "string" } } };

it.each<[object, Partial<GenerationRequest>, object?]>([
  [{ n_predict: 5 }, { maxTokens: 5 }],
  [{ num_predict: 5 }, { maxTokens: 5 }, text],
  [{ max_new_tokens: 5 }, { maxTokens: 5 }, text],
  [{ min_tokens: 5 }, { minTokens: 5 }],
  [{ min_new_tokens: 5 }, { minTokens: 5 }, text],
  [{ ignore_eos: true }, { minTokens: Infinity }],
  [{ ban_eos_token: true, min_tokens: 2 }, { minTokens: Infinity }, text],
  [{ repetition_penalty: 1.25 }, sampling({ repeatPenalty: 1.25 })],
  [
    { options: { temperature: 0, num_predict: 7, top_k: 3 } },
    { maxTokens: 7, ...sampling({ temperature: 0, topK: 3 }) },
  ],
  [{ temperature: 1, options: { temperature: 0 } }, sampling({ temperature: 1 })],
  [{ stop_sequences: ["a"] }, { stop: ["a"] }],
  [{ stop: ["", "a"] }, { stop: ["a"] }],
  [{ stop: Array.from({ length: 64 }, (_, index) => `s${index}`) }, {}],
  [{ stop_token_ids: [3, 4] }, { stopTokens: [3, 4] }],
  [{ logit_bias: [[3, -1.5], [4, false]] }, { logitBias: [{ token: 3, bias: -1.5 }, { token: 4, bias: -100 }] }], // prettier-ignore
  [{ n_probs: 4 }, { topLogprobs: 4 }],
  [{ n_probs: 4 }, { topLogprobs: 4 }, text],
  [{ logprobs: true, top_logprobs: 3 }, { topLogprobs: 3 }, text],
  [{ max_completion_tokens: 5, max_tokens: 7 }, { maxTokens: 5 }, text],
  [{ max_tokens: Number.MAX_SAFE_INTEGER }, { maxTokens: 2 ** 31 - 1 }],
  [{ do_sample: false, temperature: 0.7 }, sampling({ temperature: 0 })],
  [{ do_sample: true, temperature: 0.7 }, sampling({ temperature: 0.7 })],
  [{ logprobs: 15 }, { topLogprobs: 15 }, text],
  [{ logprobs: true }, { topLogprobs: 0 }, text],
  [{ json_schema: schema }, grammar("town")],
  [{ guided_json: schema }, grammar("town")],
  [{ guided_json: JSON.stringify(schema) }, grammar("town")],
  [{ structured_outputs: { json: schema } }, grammar("town")],
  [{ response_format: { type: "json_object", schema } }, grammar("town")],
  [{ response_format: { type: "json_schema", schema } }, grammar("town")],
  [
    { response_format: { type: "json_schema", json_schema: { name: "a", schema, other: 1 } } },
    grammar("town"),
  ],
  [
    { response_format: { type: "json_schema", json_schema: { name: "Answer[int, str]", schema } } },
    grammar("town"),
  ],
  [{ response_format: { type: "json", value: schema } }, grammar("town")],
  [{ response_format: { type: "json_object", value: schema } }, grammar("town")],
  [{ response_format: { type: "json_schema", value: { name: "a", schema } } }, grammar("town")],
  [{ response_format: { type: "regex", value: "[ab]{2}" } }, grammar("\\U00000061-\\U00000062")],
  [{ response_format: { type: "regex", pattern: "[ab]{2}" } }, grammar("\\U00000061-\\U00000062")],
  [{ format: schema }, grammar("town")],
  [{ format: "json" }, grammar("object")],
  [{ structured_outputs: { json_object: true } }, grammar("object")],
  [{ guided_choice: ["yes", "no"] }, grammar('"yes" | "no"')],
  [{ structured_outputs: { choice: ["yes", "no"], json: null } }, grammar('"yes" | "no"')],
  [{ guided_regex: "[ab]{2}" }, grammar("\\U00000061-\\U00000062")],
  [{ structured_outputs: { regex: "[ab]{2}" } }, grammar("\\U00000061-\\U00000062")],
  [{ regex: "[ab]{2}" }, grammar("\\U00000061-\\U00000062")],
  [{ ebnf: 'root ::= "x"' }, { grammar: 'root ::= "x"' }],
  [
    { typ_p: 0.5, random_seed: 3 },
    { seed: 3, ...sampling({ typicalP: 0.5 }) },
  ],
  [
    { reasoning: { effort: "high" } },
    { prompt: expect.objectContaining({ isThinking: true, effort: "high" }) as never },
  ],
  [{ reasoning: { enabled: false } }, { prompt: expect.objectContaining({ isThinking: false }) as never }],
  [{ thinking: { type: "disabled" } }, { prompt: expect.objectContaining({ isThinking: false }) as never }],
  [{ thinking: { type: "enabled" } }, { prompt: expect.objectContaining({ isThinking: true }) as never }],
  [
    { messages: [...chat.messages, { role: "assistant", content: "A", prefix: true }] },
    { prompt: expect.objectContaining({ ending: "continue" }) as never },
  ],
  [{ guided_grammar: 'root ::= "x"' }, { grammar: 'root ::= "x"' }],
  [{ structured_outputs: { grammar: 'root ::= "x"' } }, { grammar: 'root ::= "x"' }],
  [{ response_format: { type: "grammar", grammar: 'root ::= "x"' } }, { grammar: 'root ::= "x"' }],
])("%j is done", async (fields, expected, base) => {
  const { status, reply, request } = await send(fields, base);
  expect([status, reply.error]).toEqual([200, undefined]);
  expect(request).toMatchObject(expected);
});

it.each<[string, unknown[], object]>([
  ["user", ["a", { type: "input_text", text: "b" }, { type: "text", text: "c" }], { content: "a\nb\nc" }],
  [
    "assistant",
    [
      { type: "thinking", thinking: [{ type: "text", text: "hm" }] },
      { type: "output_text", text: "a", annotations: [] },
    ],
    { content: "a", reasoning: "hm" },
  ],
  ["assistant", [{ type: "refusal", refusal: "I cannot." }], { content: "I cannot." }],
  ["assistant", [{ type: "reasoning", text: "hm" }, { text: "a" }], { content: "a", reasoning: "hm" }],
  ["assistant", [{ type: "reasoning", reasoning: "hm" }, "a"], { content: "a", reasoning: "hm" }],
  [
    "assistant",
    [
      { type: "redacted_thinking", data: "x" },
      { type: "text", text: "a" },
    ],
    { content: "a" },
  ],
])("parts of a message of the %s are read: %j", async (role, content, expected) => {
  const { status, request } = await send({ messages: [...chat.messages, { role, content }] });
  expect(status).toBe(200);
  const messages = [...chat.messages, { role, ...expected }];
  expect(request).toMatchObject({ prompt: { messages } });
});

it.each(["image_url", "input_image", "input_audio", "file"])(
  "a part of type %s is refused, with what to do",
  async (type) => {
    const content = [{ type: "text", text: "What is it?" }, { type }];
    const { status, reply } = await send({ messages: [{ role: "user", content }] });
    expect([status, reply.error]).toMatchObject([
      400,
      {
        code: "unsupported_field",
        param: "messages.0.content.1",
        message: expect.stringMatching(/as text/) as never,
      },
    ]);
  },
);

it.each<[object, string[], object?]>([
  [{ id_slot: 3, samplers: ["top_k"], provider: { order: ["x"] } }, ["id_slot", "samplers", "provider"]],
  [{ x_session: "a", litellm_call_id: "b" }, ["x_session", "litellm_call_id"]],
  [{ guided_decoding_backend: "x", priority: 1 }, ["guided_decoding_backend", "priority"], text],
  [{ verbosity: "low", top_a: 0 }, ["verbosity"]],
  [
    { separate_reasoning: false, add_bos_token: false, mode: "instruct" },
    ["separate_reasoning", "add_bos_token", "mode"],
  ],
  [{ top_logprobs: 3, add_special_tokens: false }, ["top_logprobs", "add_special_tokens"], text],
  [{ store: true, metadata: { a: "b" }, service_tier: "flex" }, ["store", "metadata", "service_tier"]],
  [{ max_tokens: 3, n_predict: 5 }, ["n_predict"]],
  [{ reasoning: { max_tokens: 2000, exclude: false } }, ["reasoning.max_tokens"]],
  [{ reasoning_effort: "low", reasoning: { effort: "high" } }, ["reasoning"]],
  [
    { model_item: {}, model_name: "a", maxContextTokens: 9, reasoning_budget: 5 },
    ["model_name", "maxContextTokens", "reasoning_budget"],
  ],
  [{ temperature: 1, options: { temperature: 0, num_ctx: 9 } }, ["options.temperature", "num_ctx"]],
])("of %j is told what was ignored", async (fields, ignored, base) => {
  const { status, reply } = await send(fields, base);
  expect([status, reply.error]).toEqual([200, undefined]);
  expect(reply.fusion?.ignored).toEqual(ignored);
});

it.each<[object, string, string, RegExp, object?]>([
  [{ temprature: 1 }, "invalid_request", "temprature", /did you mean "temperature"\?$/],
  [{ max_token: 1 }, "invalid_request", "max_token", /did you mean "max_tokens"\?$/],
  [{ respose_format: {} }, "invalid_request", "respose_format", /did you mean "response_format"\?$/],
  [{ guided_jsn: {} }, "invalid_request", "guided_jsn", /did you mean "guided_json"\?$/],
  [{ maxTokens: 1 }, "invalid_request", "maxTokens", /did you mean "max_tokens"\?$/],
  [{ topP: 1 }, "invalid_request", "topP", /did you mean "top_p"\?$/],
  [{ reasoning: "high" }, "invalid_request", "reasoning", /expected an object/],
  [{ reasoning: { effort: 3 } }, "invalid_request", "reasoning.effort", /expected string/],
  [{ functions: [{ name: "f" }, {}] }, "invalid_request", "functions.1.name", /expected string/],
  [{ functions: 3 }, "invalid_request", "functions", /list of functions/],
  [{ functions: [{ name: "f" }], function_call: { name: "g" } }, "invalid_request", "function_call", /"g"/],
  [{ function_call: { name: "g" } }, "invalid_request", "function_call", /send them/],
  [{ n_predict: "many" }, "invalid_request", "n_predict", /expected number/],
  [{ options: { num_predict: 0.5 } }, "invalid_request", "options.num_predict", /expected int/],
  [{ options: { temperature: 9 } }, "invalid_request", "options.temperature", /<=2/],
  [{ options: 3 }, "invalid_request", "options", /object/],
  [{ guided_json: "{" }, "invalid_request", "guided_json", /JSON schema/],
  [{ guided_json: 3 }, "invalid_request", "guided_json", /expected object/],
  [{ guided_json: { type: "strin" } }, "unsupported_field", "guided_json.type", /string/],
  [{ guided_choice: "yes" }, "invalid_request", "guided_choice", /array/],
  [{ guided_choice: [] }, "invalid_request", "guided_choice", />=1/],
  [{ guided_regex: "(" }, "unsupported_field", "guided_regex", /no regular expression/],
  [{ guided_regex: "(?=a)b" }, "unsupported_field", "guided_regex", /looks around/],
  [
    { structured_outputs: { structural_tag: "{}" } },
    "unsupported_field",
    "structured_outputs.structural_tag",
    /only json/,
  ],
  [
    { structured_outputs: { json: {}, regex: "a" } },
    "invalid_request",
    "structured_outputs.regex",
    /leave it out/,
  ],
  [
    { guided_grammar: "x", response_format: { type: "json_object" } },
    "invalid_request",
    "guided_grammar",
    /response_format/,
  ],
  [{ logit_bias: [["word", 1]] }, "invalid_request", "logit_bias.0", /token id/],
  [{ stop_token_ids: [980] }, "invalid_request", "stop_token_ids", /980/],
  [{ ignore_eos: 1 }, "invalid_request", "ignore_eos", /boolean/],
  [{ min_tokens: 17 }, "invalid_request", "min_tokens", /more than max_tokens = 16/, text],
  [{ min_new_tokens: 3, max_tokens: 2 }, "invalid_request", "min_new_tokens", /more than max_tokens = 2/],
  [{ mirostat: 2 }, "unsupported_field", "mirostat", /leave it out/],
  [{ top_a: 0.5 }, "unsupported_field", "top_a", /leave it out/],
  [{ stop_regex: "a+" }, "unsupported_field", "stop_regex", /leave it out/],
  [{ response_format: { type: "json", value: 3 } }, "invalid_request", "response_format.value", /object/],
  [{ max_tokens: -3 }, "invalid_request", "max_tokens", /-1/],
  [{ skip_special_tokens: false }, "unsupported_field", "skip_special_tokens", /leave it out/],
  [{ best_of: 3, n: 2 }, "invalid_request", "best_of", /leave n out/, text],
  [JSON.parse('{"__proto__": 1}') as object, "invalid_request", "__proto__", /nothing/],
])("%j is refused: %s, %s", async (fields, code, param, message, base) => {
  const { status, reply, request } = await send(fields, base);
  expect([status, reply.error?.code, reply.error?.param]).toEqual([400, code, param]);
  expect(reply.error?.message).toMatch(message);
  expect(request).toBeUndefined();
});

it("keys that clients add to messages, parts, calls and tools are left out", async () => {
  const call = {
    id: "c1",
    type: "function",
    index: 0,
    function: { name: "f", arguments: "{}", parsed_arguments: {} },
  };
  const { status, reply, request } = await send({
    messages: [
      { role: "system", content: [{ type: "text", text: "a", cache_control: { type: "ephemeral" } }] },
      { role: "user", content: "b", name: "n", timestamp: 3, tool_call_id: null },
      { role: "assistant", content: null, refusal: null, annotations: [{}], parsed: null, reasoning_details: [], tool_calls: [call], provider_specific_fields: {} },
      { role: "tool", tool_call_id: "c1", name: "f", content: "d", status: "ok" },
      { role: "assistant", content: "", reasoning: "hm" },
      { role: "assistant", content: null, refusal: "No." },
      { role: "assistant", tool_calls: [{ id: "c2", function: { name: "f", arguments: { a: 1 } } }] },
      { role: "user", content: [] },
    ],
    tools: [{ type: "function", cache_control: {}, function: { name: "f", parameters: { type: "object" }, returns: {} } }],
  }); // prettier-ignore
  expect([status, reply.error, reply.fusion]).toEqual([200, undefined, undefined]);
  expect(request?.prompt).toMatchObject({
    messages: [
      { role: "system", content: "a" },
      { role: "user", content: "b" },
      { role: "assistant", content: "", toolCalls: [{ id: "c1", name: "f", arguments: "{}" }] },
      { role: "tool", content: "d", toolCallId: "c1" },
      { role: "assistant", content: "" },
      { role: "assistant", content: "No." },
      { role: "assistant", content: "", toolCalls: [{ id: "c2", name: "f", arguments: '{"a":1}' }] },
      { role: "user", content: "" },
    ],
  });
});

it("a stream tells once what was ignored, and a socket when the response begins", async () => {
  const server = await startTestServer();
  const response = await server.post("/v1/chat/completions", { ...chat, stream: true, id_slot: 1 });
  const chunks = (await response.text())
    .split("\n")
    .filter((line) => line.startsWith("data: {"))
    .map((line) => JSON.parse(line.slice(6)) as Reply);
  expect(chunks[0]?.fusion).toEqual({ ignored: ["id_slot"] });
  expect(chunks.slice(1).every(({ fusion }) => fusion === undefined)).toBe(true);
});

it("every route of the API is there without /v1, too", async () => {
  const server = await startTestServer();
  for (const path of ["/models", "/models/both", "/fusion/configs", "/fusion/traces"])
    expect((await fetch(server.url + path)).status, path).toBe(200);
  expect((await server.post("/responses", { model: "both", input: "hi" })).status).toBe(200);
  expect((await server.post("/completions", text)).status).toBe(200);
  expect((await server.post("/chat/completions", chat)).status).toBe(200);
});

const call = (id: string, name: string, more: object = {}) => ({
  id,
  type: "function",
  function: { name, arguments: "{}", ...more },
});

it.each<[string, object[], object[], [string, string][]]>([
  ["nothing for no arguments", [call("a", "f", { arguments: null }), { id: "b", function: { name: "g" } }], [], []],
  ["no id, in order", [call("a", "f"), call("b", "g")], [{ role: "tool", content: "1" }, { role: "tool", content: "2" }], [["a", "1"], ["b", "2"]]],
  ["no id, by name", [call("a", "f"), call("b", "g")], [{ role: "tool", tool_name: "g", content: "2" }, { role: "tool", name: "f", content: "1" }], [["b", "2"], ["a", "1"]]],
  ["a value", [call("a", "f")], [{ role: "tool", tool_call_id: "a", content: { degrees: 3 } }], [["a", '{"degrees":3}']]],
  ["a number", [call("a", "f")], [{ role: "tool", tool_call_id: "a", content: 3 }], [["a", "3"]]],
])("calls and results are read as programs send them: %s", async (_, calls, results, expected) => {
  const messages = [...chat.messages, { role: "assistant", tool_calls: calls }, ...results];
  const { status, reply, request } = await send({ messages });
  expect([status, reply.error]).toEqual([200, undefined]);
  const told = expected.map(([toolCallId, content]) => ({ role: "tool", toolCallId, content }));
  expect((request?.prompt as { messages: unknown[] }).messages.slice(2)).toEqual(told);
}); // prettier-ignore

it("a result that no call is open for is refused", async () => {
  const messages = [...chat.messages, { role: "assistant", tool_calls: [call("a", "f")] }, { role: "tool", name: "x", content: "1" }]; // prettier-ignore
  const { status, reply } = await send({ messages });
  expect([status, reply.error?.param]).toEqual([400, "messages.2.tool_call_id"]);
});

const tool = { type: "function", function: { name: "f", parameters: { type: "object" } } };

it.each([
  { type: "web_search" },
  { type: "openrouter:datetime" },
  { type: "mcp", server_label: "x", server_url: "y" },
])("a tool that a server would run is left out, and named: %j", async (hosted) => {
  const { status, reply, request } = await send({ tools: [hosted, tool] });
  expect([status, reply.fusion?.ignored]).toEqual([200, ["tools.0"]]);
  expect(request?.prompt).toMatchObject({ tools: [{ name: "f" }] });
  expect((await send({ tools: [hosted], tool_choice: "required" })).reply.error?.param).toBe("tool_choice");
});

it.each([
  { type: "tool", name: "f" },
  { function: { name: "f" } },
  { type: "allowed_tools", mode: "required", tools: [{ type: "function", name: "f" }] },
])("a tool is chosen by %j", async (tool_choice) => {
  const { status, request } = await send({ tools: [tool], tool_choice });
  expect(status).toBe(200);
  const required = await send({ tools: [tool], tool_choice: { type: "function", function: { name: "f" } } });
  const list = await send({ tools: [tool], tool_choice: "required" });
  expect([required.request?.grammar, list.request?.grammar]).toContain(request?.grammar);
});

it("a schema that is none is left out of tools, and named; with strict, and as an answer's format, it is refused", async () => {
  const parameters = { type: "OBJECT", properties: { a: { type: "str1ng" }, b: { type: "INTEGER", enum: null } }, required: [] };
  const of = (strict: boolean) => ({ tools: [{ type: "function", function: { name: "f", parameters, strict } }] });
  const { status, reply, request } = await send({ ...of(false), tool_choice: "required" });
  expect([status, reply.fusion?.ignored]).toEqual([200, ["tools.0.function.parameters.properties.a.type"]]);
  expect(request?.grammar).toContain('("-"? digits)');
  expect((await send(of(true))).status).toBe(400);
  expect((await send({ format: parameters })).reply.error?.param).toBe("format.properties.a.type");
  expect((await send({ format: { ...parameters, properties: { b: parameters.properties.b } } })).status).toBe(200);
}); // prettier-ignore

it.each([
  "//v1/models/both",
  "/v1//models/both",
  "/v1/v1/models/both",
  "/v1/models/both/",
  "/openai/v1/models/both",
  "/openai/deployments/both/models/both?api-version=2024-10-21",
])("an address and a path that do not fit together are understood: %s", async (path) => {
  const server = await startTestServer();
  expect(statusOf(await sendRaw(server.url, rawRequest(`GET ${path}`, ["Host: localhost"])))).toBe(200);
});
