import { describe, expect, it } from "vitest";
import { ShouldersError } from "../../src/errors.js";
import type { Chunk } from "../support/chunk.js";
import {
  accepted,
  answering,
  deltaOf,
  doneAfter,
  Gate,
  type ScriptStep,
  tokenOf,
} from "../support/fake-engine.js";
import { readEvents, startTestServer } from "../support/server.js";

const chat = {
  model: "both",
  messages: [{ role: "user", content: "hi" }],
  fusion: { trace: "weights" },
};
const text = { model: "both", prompt: "hi", fusion: { trace: "weights" } };

const usage = {
  prompt_tokens: 7,
  completion_tokens: 3,
  total_tokens: 10,
  prompt_tokens_details: { cached_tokens: 3 },
  completion_tokens_details: { accepted_prediction_tokens: 0, rejected_prediction_tokens: 0 },
  fusion: {
    nats: 0.5,
    flipped: 1,
    tokens: 3,
    certain: 0,
    contested: 0,
    unvouched: 0,
    base_passes: 3,
    skipped_share: 0.25,
  },
};

describe("chat", () => {
  it("a whole answer has OpenAI's shape", async () => {
    const server = await startTestServer();
    const response = await server.post("/v1/chat/completions", chat);
    expect(response.status).toBe(200);
    expect(response.headers.get("content-type")).toBe("application/json; charset=utf-8");
    expect(response.headers.get("x-powered-by")).toBeNull();
    expect(response.headers.get("x-request-id")).toMatch(/^[\w-]+$/);
    const body = (await response.json()) as { choices: { fusion: { tokens: unknown[] } }[] };
    expect(body).toEqual({
      id: expect.stringMatching(/^chatcmpl-[0-9a-f]{32}$/) as string,
      object: "chat.completion",
      created: expect.any(Number) as number,
      model: "both",
      system_fingerprint: expect.stringMatching(/^fp_[0-9a-f]{12}$/) as string,
      choices: [
        {
          index: 0,
          message: { role: "assistant", content: "Hello world", refusal: null },
          logprobs: null,
          finish_reason: "stop",
          fusion: { tokens: expect.any(Array) as unknown[] },
        },
      ],
      usage,
    });
    expect(body.choices[0]?.fusion.tokens).toHaveLength(3);
  });

  it("system_fingerprint is the same until config, library or kernel are others", async () => {
    const server = await startTestServer();
    const fingerprint = async () => {
      const answer = await server.post("/v1/chat/completions", chat);
      return ((await answer.json()) as { system_fingerprint: string }).system_fingerprint;
    };
    const first = await fingerprint();
    expect(await fingerprint()).toBe(first);
    const description = server.engine.description!;
    const { configs, library } = description;
    for (const change of [
      { configs: configs.map((config) => ({ ...config, digest: "other" })) },
      { library: { ...library, llama: "b2" } },
      { library: { ...library, backend: "cuda" } },
      { kernel: "reference" as const },
    ]) {
      server.engine.description = { ...description, ...change };
      expect(await fingerprint()).not.toBe(first);
    }
  });

  it("a stream: role first, deltas, reason, done", async () => {
    const server = await startTestServer();
    const response = await server.post("/chat/completions", { ...chat, stream: true });
    expect(response.headers.get("content-type")).toBe("text/event-stream; charset=utf-8");
    expect(response.headers.get("cache-control")).toBe("no-cache");
    expect(response.headers.get("x-accel-buffering")).toBe("no");
    const events = await readEvents(response);
    expect(events.pop()).toBe("[DONE]");
    const chunks = events as Chunk[];
    expect(new Set(chunks.map(({ id, created }) => `${id} ${created}`)).size).toBe(1);
    expect(chunks.every((chunk) => chunk.object === "chat.completion.chunk" && !("usage" in chunk))).toBe(
      true,
    );
    expect(chunks.map(({ choices: [choice] }) => [choice?.delta, choice?.finish_reason])).toEqual([
      [{ role: "assistant", content: "" }, null],
      [{ content: "Hello" }, null],
      [{ content: " world" }, null],
      [{}, "stop"],
    ]);
    expect(
      chunks.map(({ choices: [choice] }) => choice?.fusion?.tokens.map(({ position }) => position)),
    ).toEqual([undefined, [7], [8], [9]]);
  });
});

describe("legacy completions", () => {
  it("a whole answer, and a stream of the same", async () => {
    const server = await startTestServer();
    const whole = (await (await server.post("/v1/completions", text)).json()) as Chunk;
    expect(whole).toMatchObject({ object: "text_completion", usage });
    expect(whole.id).toMatch(/^cmpl-/);
    expect(whole.choices).toMatchObject([
      { text: "Hello world", index: 0, logprobs: null, finish_reason: "stop" },
    ]);
    const events = await readEvents(await server.post("/completions", { ...text, stream: true }));
    expect(events.pop()).toBe("[DONE]");
    const chunks = events as Chunk[];
    expect(chunks.every((chunk) => chunk.object === "text_completion")).toBe(true);
    expect(chunks.map(({ choices: [choice] }) => [choice?.text, choice?.finish_reason])).toEqual([
      ["Hello", null],
      [" world", null],
      ["", "stop"],
    ]);
  });

  it("logprobs are the four arrays, in chunks too", async () => {
    const server = await startTestServer();
    const euro = new TextEncoder().encode("€");
    server.engine.script = () => [
      accepted,
      {
        type: "delta",
        text: "a€",
        tokens: [tokenOf("a"), tokenOf(euro.slice(0, 1)), tokenOf(euro.slice(1))],
      },
      deltaOf("b", 3),
      doneAfter(4, "length"),
    ];
    const whole = (await (await server.post("/v1/completions", { ...text, logprobs: 2 })).json()) as Chunk;
    expect(whole.choices[0]?.logprobs).toEqual({
      tokens: ["a", "bytes:\\xe2", "bytes:\\x82\\xac", "b"],
      token_logprobs: [-0.25, -0.25, -0.25, -0.25],
      top_logprobs: [
        { a: -0.25, " The": -1.5 },
        { "bytes:\\xe2": -0.25, " The": -1.5 },
        { "bytes:\\x82\\xac": -0.25, " The": -1.5 },
        { b: -0.25, " The": -1.5 },
      ],
      text_offset: [0, 1, 1, 2],
    });
    const events = await readEvents(
      await server.post("/v1/completions", { ...text, logprobs: 2, stream: true }),
    );
    const chunks = events.filter((event) => event !== "[DONE]") as Chunk[];
    expect(chunks.flatMap(({ choices: [choice] }) => choice?.logprobs?.text_offset ?? [])).toEqual([
      0, 1, 1, 2,
    ]);
    expect(chunks.at(-1)?.choices[0]?.logprobs).toBeNull();
  });
});

describe("both kinds", () => {
  it.each([
    ["/v1/chat/completions", chat],
    ["/v1/completions", text],
  ])("%s: usage comes once, last and only when asked for", async (path, body) => {
    const server = await startTestServer();
    const asked = { ...body, stream: true, stream_options: { include_usage: true } };
    const events = await readEvents(await server.post(path, asked));
    expect(events.pop()).toBe("[DONE]");
    const chunks = events as Chunk[];
    expect(chunks.pop()).toMatchObject({ choices: [], usage });
    expect(chunks.length).toBeGreaterThan(2);
    expect(chunks.every((chunk) => chunk.usage === null)).toBe(true);
    for (const options of [{ include_usage: false }, {}, null]) {
      const unasked = await server.post(path, { ...body, stream: true, stream_options: options });
      expect(await unasked.text()).not.toContain('"usage"');
    }
  });

  it.each([
    ["/v1/chat/completions", chat],
    ["/v1/completions", text],
  ])("%s: a stream concatenated is the whole answer", async (path, body) => {
    const server = await startTestServer();
    const smiley = new TextEncoder().encode("😀");
    server.engine.script = (): ScriptStep[] => [
      accepted,
      { type: "delta", text: "", tokens: [tokenOf("")] },
      deltaOf("x", 1),
      { type: "delta", text: "😀", tokens: [tokenOf(smiley.slice(0, 3), 2), tokenOf(smiley.slice(3), 3)] },
      { type: "delta", text: "tail", tokens: [] },
      doneAfter(4),
    ];
    const asked = { ...body, logprobs: path.includes("chat") ? true : 0, fusion: { trace: "full" } };
    const whole = (await (await server.post(path, asked)).json()) as Chunk & {
      choices: { message?: { content: string } }[];
    };
    const events = await readEvents(await server.post(path, { ...asked, stream: true }));
    const choices = (events.filter((event) => event !== "[DONE]") as Chunk[]).map(
      (chunk) => chunk.choices[0]!,
    );
    const choice = whole.choices[0]!;
    const streamed = choices.map((part) => part.delta?.content ?? part.text ?? "").join("");
    expect(streamed).toBe(choice.message?.content ?? choice.text);
    expect(streamed).toBe("x😀tail");
    expect(choices.flatMap((part) => part.fusion?.tokens ?? [])).toEqual(choice.fusion?.tokens);
    const logprobsOf = (part: Chunk["choices"][number]): unknown[] =>
      part.logprobs?.content ?? part.logprobs?.tokens ?? [];
    expect(choices.flatMap(logprobsOf)).toEqual(logprobsOf(choice));
    const bytes = choice.logprobs?.content?.flatMap((entry) => entry.bytes ?? []);
    if (bytes) expect(Buffer.from(bytes).toString()).toBe("x😀");
  });

  it("chat logprobs: alternatives only when asked for", async () => {
    const server = await startTestServer();
    const odd = tokenOf("a", 0, { logprob: -9999 });
    server.engine.script = (request) => [
      accepted,
      {
        type: "delta",
        text: "a",
        tokens: [{ ...odd, topLogprobs: request.topLogprobs ? odd.topLogprobs : [] }],
      },
      doneAfter(1, "length"),
    ];
    const bare = await (await server.post("/v1/chat/completions", { ...chat, logprobs: true })).json();
    expect(bare).toMatchObject({
      choices: [
        {
          logprobs: {
            content: [{ token: "a", logprob: -9999, bytes: [97], top_logprobs: [] }],
            refusal: null,
          },
          fusion: { tokens: [{ logprob: -9999 }] },
        },
      ],
    });
    const asked = { ...chat, logprobs: true, top_logprobs: 2 };
    expect(await (await server.post("/v1/chat/completions", asked)).json()).toMatchObject({
      choices: [{ logprobs: { content: [{ top_logprobs: [{ token: "a" }, { token: " The" }] }] } }],
    });
  });

  it("no trace: no records anywhere", async () => {
    const server = await startTestServer();
    const body = { ...chat, fusion: { trace: "off" } };
    const whole = await server.post("/v1/chat/completions", body);
    expect(await whole.text()).not.toContain("position");
    const streamed = await server.post("/v1/chat/completions", { ...body, stream: true });
    expect(await streamed.text()).not.toContain("position");
    const traces = await (await fetch(`${server.url}/v1/fusion/traces`)).json();
    expect(traces).toEqual({ object: "list", data: [], has_more: false });
  });

  it("an answer without tokens is whole too", async () => {
    const server = await startTestServer();
    server.engine.script = () => [accepted, doneAfter(0, "length")];
    const whole = await server.post("/v1/completions", { ...text, max_tokens: 0 });
    expect(await whole.json()).toMatchObject({
      choices: [{ text: "", finish_reason: "length" }],
      usage: { completion_tokens: 0 },
    });
    const events = await readEvents(await server.post("/v1/chat/completions", { ...chat, stream: true }));
    expect(events).toMatchObject([
      { choices: [{ delta: { role: "assistant", content: "" } }] },
      { choices: [{ delta: {}, finish_reason: "length" }] },
      "[DONE]",
    ]);
  });
});

describe("failures", () => {
  const refusals = [
    ["context_length_exceeded", 400],
    ["queue_full", 429],
    ["engine_died", 503],
    ["non_finite_logits", 500],
  ] as const;
  it.each(refusals)("%s before the first token has status %i, streamed or not", async (code, status) => {
    const server = await startTestServer();
    server.engine.script = () => [accepted, new ShouldersError(code, "Told so.", { param: "messages" })];
    for (const stream of [false, true]) {
      const response = await server.post("/v1/chat/completions", { ...chat, stream });
      expect(response.status).toBe(status);
      expect(response.headers.has("retry-after")).toBe(status === 429 || status === 503);
      expect(await response.json()).toEqual({
        error: { message: "Told so.", type: expect.any(String) as string, param: "messages", code },
      });
    }
  });

  it("after the first token it is an event, and the stream ends without [DONE]", async () => {
    const server = await startTestServer();
    server.engine.script = () => [accepted, deltaOf("Hel"), new ShouldersError("engine_died", "It died.")];
    const events = await readEvents(await server.post("/v1/chat/completions", { ...chat, stream: true }));
    expect(events).toHaveLength(3);
    expect(events.at(-1)).toEqual({
      error: { message: "It died.", type: "server_error", param: null, code: "engine_died" },
    });
  });

  it("the engine's death ends every running request, and the next is told to wait", async () => {
    const server = await startTestServer();
    server.engine.script = () => [accepted, deltaOf("Hel"), new Gate()];
    const streamed = await server.post("/v1/chat/completions", { ...chat, stream: true });
    const whole = server.post("/v1/chat/completions", chat);
    await server.engine.untilSubmitted(2);
    server.engine.die();
    expect(await streamed.text()).toContain("engine_died");
    expect((await whole).status).toBe(503);
    const next = await server.post("/v1/chat/completions", chat);
    expect(next.status).toBe(503);
    expect(next.headers.get("retry-after")).toBe("5");
    expect(await next.json()).toMatchObject({ error: { code: "engine_not_ready" } });
  });

  it("what is not ours stays inside", async () => {
    const server = await startTestServer();
    server.engine.script = () => {
      throw new TypeError("secret /home/me/model.gguf");
    };
    const response = await server.post("/v1/chat/completions", chat);
    expect(response.status).toBe(500);
    const body = await response.text();
    expect(body).not.toContain("secret");
    expect(JSON.parse(body)).toMatchObject({ error: { code: "internal", type: "server_error" } });
    server.engine.script = () => answering("fine");
    expect((await server.post("/v1/chat/completions", chat)).status).toBe(200);
  });
});

describe("readers", () => {
  it.each([true, false])("a hang-up cancels (stream: %s)", async (stream) => {
    const server = await startTestServer();
    server.engine.script = () => [accepted, deltaOf("Hel"), new Gate()];
    const controller = new AbortController();
    const response = server.post("/v1/chat/completions", { ...chat, stream }, { signal: controller.signal });
    await server.engine.untilSubmitted(1);
    if (stream) await response;
    const failure = expect(response.then((answer) => answer.text())).rejects.toThrow();
    controller.abort();
    await server.engine.untilCancelled(1);
    await failure;
    expect(server.engine.cancelled).toEqual([server.engine.submitted[0]?.requestId]);
  });

  it("one who does not read is waited for, then dropped", async () => {
    const server = await startTestServer({ drainTimeoutMs: 50 });
    const numDeltas = 2000;
    server.engine.script = function* () {
      yield accepted;
      for (let index = 0; index < numDeltas; index++) yield deltaOf("x".repeat(50_000), index);
      yield doneAfter(numDeltas);
    };
    const response = await server.post("/v1/chat/completions", { ...chat, stream: true });
    await server.engine.untilCancelled(1);
    expect(server.engine.numYielded).toBeLessThan(numDeltas);
    await expect(response.text()).rejects.toThrow();
  });

  it("silence is filled with comments, before the first token too", async () => {
    const server = await startTestServer({ keepAliveMs: 10 });
    const gate = new Gate();
    server.engine.script = () => [accepted, gate, ...answering("Hi").slice(1)];
    const response = await server.post("/v1/chat/completions", { ...chat, stream: true });
    const reader = response.body!.pipeThrough(new TextDecoderStream()).getReader();
    let received = "";
    while (!received.includes(": keep-alive\n\n")) received += (await reader.read()).value ?? "";
    gate.open();
    for (let part = await reader.read(); !part.done; part = await reader.read()) received += part.value;
    expect(received).toContain("data: [DONE]");
    const first = received.slice(received.indexOf("data: "));
    expect(first).toMatch(/^data: .*"role":"assistant"/);
  });
});
