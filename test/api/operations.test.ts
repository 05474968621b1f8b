import { Writable } from "node:stream";
import pino from "pino";
import { describe, expect, it } from "vitest";
import { ShouldersError } from "../../src/errors.js";
import { accepted, answering, deltaOf, doneAfter, Gate } from "../support/fake-engine.js";
import { metricOf, startTestServer, type TestServer } from "../support/server.js";
import { connect } from "../support/socket.js";

const chat = {
  model: "both",
  messages: [{ role: "user", content: "hi" }],
  fusion: { trace: "weights" },
};

describe("health", () => {
  it("alive at once, ready when the engine is", async () => {
    const server = await startTestServer();
    const { description } = server.engine;
    server.engine.description = null;
    expect((await fetch(`${server.url}/livez`)).status).toBe(200);
    for (const path of ["/readyz", "/health", "/v1/models", "/v1/fusion/configs"]) {
      const response = await fetch(server.url + path);
      expect(response.status).toBe(503);
      expect(response.headers.get("retry-after")).toBe("5");
      expect(await response.json()).toMatchObject({ error: { code: "engine_not_ready" } });
    }
    // Another's fault is told, here and to who asks.
    server.engine.trouble = "RPC server 127.0.0.1:50052 cannot be reached.";
    for (const path of ["/readyz", "/v1/models"])
      expect(await (await fetch(server.url + path)).json()).toMatchObject({
        error: { code: "engine_not_ready", message: server.engine.trouble },
      });
    server.engine.trouble = null;
    server.engine.description = description;
    for (const path of ["/readyz", "/health"]) {
      const response = await fetch(server.url + path);
      expect(await response.json()).toEqual({
        ...{ status: "ok", version: "0.0.0", models: ["both", "giant"] },
        feedback: { status: "on" },
      });
    }
  });
});

describe("models and configs", () => {
  it("models are the configs' ids", async () => {
    const server = await startTestServer();
    const model = (id: string) => ({
      id,
      object: "model",
      created: expect.any(Number) as number,
      owned_by: "shoulders",
      ...{ context_length: 512, max_model_len: 512, capabilities: ["completion", "tools"] },
      architecture: { input_modalities: ["text"], output_modalities: ["text"] },
      meta: expect.objectContaining({ n_ctx: 512, n_vocab: 980 }) as object,
      status: { value: "loaded" },
    });
    expect(await (await fetch(`${server.url}/v1/models`)).json()).toEqual({
      object: "list",
      data: [model("both"), model("giant")],
    });
    expect(await (await fetch(`${server.url}/v1/models/giant`)).json()).toEqual(model("giant"));
    for (const path of ["/v1/models/nope", "/v1/fusion/configs/nope"]) {
      const response = await fetch(server.url + path);
      expect(response.status).toBe(404);
      expect(await response.json()).toMatchObject({ error: { code: "model_not_found", param: "model" } });
    }
  });

  it("configs tell what was loaded, but not from where", async () => {
    const server = await startTestServer();
    const response = await fetch(`${server.url}/v1/fusion/configs/both`);
    const text = await response.text();
    expect(text).not.toContain("/somewhere");
    expect(JSON.parse(text)).toMatchObject({
      id: "both",
      object: "fusion.config",
      base: { file: "giant.gguf", quantization: "Q8_0", size_bytes: 2000, vocabulary_size: 980 },
      reference: { file: "dwarf.gguf" },
      experts: [
        { id: "trivia", file: "dwarf-trivia.gguf", bounds: [0, 2] },
        { id: "sums", file: "dwarf-sums.gguf" },
      ],
      strategy: { type: "dynamic", solver: "exact" },
      vocabulary_size: 980,
      context_tokens: 512,
      sampling: { temperature: 0.7 },
    });
    expect(await (await fetch(`${server.url}/v1/fusion/configs`)).json()).toMatchObject({
      object: "list",
      data: [{ id: "both" }, { id: "giant", reference: null, experts: [] }],
    });
  });
});

describe("metrics", () => {
  const requests = (server: TestServer, labels: string) =>
    metricOf(server, `shoulders_requests_total{${labels}}`);

  it("every request begun ends in one outcome", async () => {
    const server = await startTestServer();
    const path = "/v1/chat/completions";
    await (await server.post(path, chat)).text();
    await (await server.post(path, { ...chat, stream: true })).text();
    await (await server.post(path, { ...chat, model: "nope" })).text();
    await (await fetch(`${server.url}/v1/models/a`)).text();
    await (await fetch(`${server.url}/a/b/c`)).text();
    server.engine.script = () => [new ShouldersError("queue_full", "Later.")];
    await (await server.post(path, chat)).text();
    server.engine.script = () => [accepted, deltaOf("a"), new ShouldersError("engine_died", "Dead.")];
    await (await server.post(path, { ...chat, stream: true })).text();
    server.engine.script = () => [accepted, deltaOf("a"), new Gate()];
    const controller = new AbortController();
    await server.post(path, { ...chat, stream: true }, { signal: controller.signal });
    controller.abort();
    await server.engine.untilCancelled(1);
    const socket = await connect(server.url);
    socket.send({ type: "response.create", response: { ...chat, model: "nope" } });
    await socket.until("error");
    server.engine.script = () => answering("ok");
    socket.send({ type: "response.create", response: chat });
    await socket.until("response.done");

    const route = `route="${path}",model="both"`;
    expect(await requests(server, `${route},outcome="ok"`)).toBe(2);
    expect(await requests(server, `${route},outcome="client_error"`)).toBe(1);
    expect(await requests(server, `${route},outcome="server_error"`)).toBe(1);
    expect(await requests(server, `${route},outcome="aborted"`)).toBe(1);
    expect(await requests(server, `route="${path}",model="none",outcome="client_error"`)).toBe(1);
    expect(await requests(server, 'route="/v1/models/:id",model="none",outcome="client_error"')).toBe(1);
    expect(await requests(server, 'route="unmatched",model="none",outcome="client_error"')).toBe(1);
    expect(await requests(server, 'route="/v1/stream",model="both",outcome="ok"')).toBe(1);
    expect(await requests(server, 'route="/v1/stream",model="none",outcome="client_error"')).toBe(1);
    expect(await metricOf(server, "shoulders_requests_started_total")).toBe(10);
  });

  it("tokens, weights, steps and gauges are the engine's; a scrape changes nothing", async () => {
    const server = await startTestServer();
    await server.post("/v1/chat/completions", chat);
    server.engine.step({
      decodeMs: { giant: 20, dwarf: 2 },
      batches: [{ model: "giant", tokens: 4, ms: 20 }],
      fuseMs: 1,
      sampleMs: 1,
      rows: 2,
      skippedShare: 0.5,
    });
    server.engine.stats = { ...server.engine.stats, running: 3, waiting: 2 };
    const scrape = async () =>
      (await (await fetch(`${server.url}/metrics`)).text())
        .split("\n")
        .filter((line) => line.startsWith("shoulders_"))
        .join("\n");
    const text = await scrape();
    for (const line of [
      "shoulders_prompt_tokens_total 7",
      "shoulders_queue_seconds_sum 0.002",
      "shoulders_cached_sequences 0",
      "shoulders_engine_resident_memory_bytes 123000000",
      'shoulders_decode_threads{model="giant",mode="together"} 2',
      'shoulders_batch_cost_ratio{model="giant",tokens="2",rows="2"} 1.5',
      'shoulders_batch_cost_ratio{model="giant",tokens="2",rows="1"} 1.2',
      'shoulders_batch_seconds_sum{model="giant",tokens="4"} 0.02',
      "shoulders_spec_decode_num_drafts_total 0",
      'shoulders_planned_memory_bytes{device="main memory",kind="cells"} 1000000',
      'shoulders_planned_memory_bytes{device="main memory",kind="programs"} 1000000',
      'shoulders_free_memory_bytes{device="main memory"} 1000000000',
      'shoulders_key_requests_total{key="anonymous",outcome="ok"} 1',
      'shoulders_key_generated_tokens_total{key="anonymous"} 3',
      "shoulders_cached_prompt_tokens_total 3",
      "shoulders_generated_tokens_total 3",
      "shoulders_time_to_first_token_seconds_count 1",
      "shoulders_inter_token_latency_seconds_count 2",
      "shoulders_request_duration_seconds_count 1",
      'shoulders_fusion_weight_sum{config="both",expert="trivia"} 1.5',
      'shoulders_divergence_nats_count{config="both",direction="forward"} 3',
      'shoulders_flipped_tokens_total{config="both"} 2',
      "shoulders_solve_evaluations_sum 15",
      'shoulders_decode_seconds_sum{model="giant"} 0.02',
      "shoulders_solve_seconds_sum 0.001",
      "shoulders_sequences_running 3",
      "shoulders_requests_waiting 2",
      'shoulders_kv_cells_used_ratio{model="giant"} 0.25',
    ])
      expect(text.split("\n")).toContain(line);
    expect(await scrape()).toBe(text);
    expect((await fetch(`${server.url}/metrics`)).headers.get("content-type")).toContain("text/plain");
  });

  it("restarts are the engine's", async () => {
    const server = await startTestServer();
    const restarts = () => metricOf(server, "shoulders_engine_restarts_total");
    expect(await restarts()).toBe(0);
    server.engine.numRestarts = 2;
    expect(await restarts()).toBe(2);
    expect(await restarts()).toBe(2);
  });

  it("a divergence without bound does no harm", async () => {
    const server = await startTestServer();
    server.engine.script = () => {
      const [first, ...rest] = answering("a");
      const delta = rest[0] as Extract<(typeof rest)[number], { type: "delta" }>;
      delta.tokens[0]!.record.divergence.reverse = null;
      return [first!, ...rest];
    };
    const response = await server.post("/v1/chat/completions", chat);
    expect(await response.json()).toMatchObject({
      choices: [{ fusion: { tokens: [{ divergence: { reverse: null } }, {}] } }],
    });
    const reverse = `shoulders_divergence_nats_count{config="both",direction="reverse"}`;
    expect(await metricOf(server, reverse)).toBe(1);
  });
});

describe("closing", () => {
  it("lets running answers finish, takes nothing new, and ends", async () => {
    const server = await startTestServer({ closeGraceMs: 60_000 });
    const gate = new Gate();
    server.engine.script = () => [accepted, deltaOf("a"), gate, doneAfter(1)];
    const stream = await server.post("/v1/chat/completions", { ...chat, stream: true });
    const [busy, idle] = [await connect(server.url), await connect(server.url)];
    busy.send({ type: "response.create", response: chat });
    await busy.until("response.output_text.delta");
    const closed = server.close();
    expect(await idle.closed()).toBe(1001);
    busy.send({ type: "response.create", response: chat });
    expect((await busy.until("error")).error.code).toBe("server_closing");
    await expect(fetch(`${server.url}/livez`)).rejects.toThrow();
    gate.open();
    expect(await stream.text()).toContain("[DONE]");
    await busy.until("response.done", ({ response }) => response.status === "completed");
    expect(await busy.closed()).toBe(1001);
    await closed;
  });

  it("cuts what outlasts the grace, and says so", async () => {
    const server = await startTestServer({ closeGraceMs: 1 });
    server.engine.script = () => [accepted, deltaOf("a"), new Gate()];
    const stream = await server.post("/v1/chat/completions", { ...chat, stream: true });
    const whole = server.post("/v1/chat/completions", chat);
    const socket = await connect(server.url);
    socket.send({ type: "response.create", response: chat });
    await socket.until("response.output_text.delta");
    await server.engine.untilSubmitted(3);
    await server.close();
    expect(await stream.text()).toMatch(/data: \{"error":\{.*"code":"server_closing"\}\}\n\n$/);
    expect((await whole).status).toBe(503);
    expect(socket.of("response.done")).toMatchObject([
      { response: { status: "failed", output_text: "a", error: { code: "server_closing" } } },
    ]);
    expect(await socket.closed()).toBe(1001);
    await server.engine.untilCancelled(3);
  });
});

it("the log has one line a request, and nothing of its content", async () => {
  const lines: string[] = [];
  const sink = new Writable({
    write(chunk: Buffer, _encoding, done) {
      lines.push(...chunk.toString().trim().split("\n"));
      done();
    },
  });
  const server = await startTestServer({ log: pino(sink) });
  const canary = {
    model: "both",
    messages: [{ role: "user", content: "canary-prompt" }],
    user: "canary-user",
  };
  server.engine.script = () => answering("canary-answer");
  await (await server.post("/v1/chat/completions", canary)).text();
  await (await server.post("/v1/chat/completions", { ...canary, max_tokens: "canary" })).text();
  await (await fetch(`${server.url}/v1/canary?canary=1`)).text();
  server.engine.script = () => {
    throw new TypeError("broken");
  };
  await (await server.post("/v1/chat/completions", canary)).text();
  await server.close();
  expect(lines.join("\n")).not.toContain("canary");
  const records = lines.map((line) => JSON.parse(line) as Record<string, unknown>);
  expect(records.filter(({ msg }) => msg === "request ended")).toMatchObject([
    { method: "POST", route: "/v1/chat/completions", model: "both", status: 200, outcome: "ok" },
    { status: 400, outcome: "client_error", code: "invalid_request" },
    { method: "GET", route: "unmatched", status: 404, code: "route_not_found" },
    { status: 500, outcome: "server_error", code: "internal" },
  ]);
  expect(lines.find((line) => line.includes("request failed"))).toContain("broken");
});
