import { afterAll, beforeAll, describe, expect, it } from "vitest";
import type { LlamaCompletion, LlamaEvent, Props, Slots } from "../../src/wire/llama-cpp.js";
import { accepted, deltaOf, doneAfter } from "../support/fake-engine.js";
import { startRealServer, type RealServer } from "../support/real-server.js";
import { readEvents, startTestServer } from "../support/server.js";

const completionOf = async (response: Promise<Response>) =>
  (await (await response).json()) as LlamaCompletion;

describe("POST /completion", () => {
  it("answers in llama-server's shape, with its names and its default of no bound", async () => {
    const server = await startTestServer();
    const body = { prompt: "hi", n_probs: 2, return_tokens: true, cache_prompt: true, samplers: ["top_k"] };
    const answer = await completionOf(server.post("/completion", body));
    expect(answer).toMatchObject({
      content: "Hello world",
      stop: true,
      model: "both",
      prompt: "hi",
      tokens: [100, 101],
      tokens_predicted: 3,
      tokens_evaluated: 7,
      tokens_cached: 3,
      stop_type: "eos",
      stopping_word: "",
      generation_settings: { n_predict: -1, seed: -1, temperature: 0.7, top_k: 40, stream: false },
      timings: { cache_n: 3, prompt_n: 4, predicted_n: 3 },
      completion_probabilities: [
        { id: 100, token: "Hello", logprob: -0.25, top_logprobs: [{ id: 100 }, { id: 17 }] },
        { id: 101 },
      ],
      fusion: { ignored: ["samplers"] },
    });
    expect(server.engine.submitted[0]).toMatchObject({ maxTokens: null, topLogprobs: 2 });
  });

  it("why it stopped: a word, or the limit", async () => {
    const server = await startTestServer();
    const done = { ...doneAfter(1), stopString: "END" } as ReturnType<typeof doneAfter>;
    server.engine.script = () => [accepted, deltaOf("a\n"), done];
    const word = await completionOf(server.post("/completion", { prompt: [1, 2], stop: ["END"] }));
    expect(word).toMatchObject({
      stop_type: "word",
      stopping_word: "END",
      has_new_line: true,
      prompt: [1, 2],
    });
    server.engine.script = () => [accepted, deltaOf("a"), doneAfter(1, "length")];
    const cut = await completionOf(server.post("/completion", { prompt: "hi", n_predict: 1 }));
    expect(cut).toMatchObject({
      stop_type: "limit",
      has_new_line: false,
      generation_settings: { n_predict: 1 },
    });
  });

  it("a fault is named as the client calls it", async () => {
    const server = await startTestServer();
    for (const [fields, param] of [
      [{ prompt: undefined }, "prompt"],
      [{ prompt: ["a", "b"] }, "prompt"],
      [{ n_predict: -2 }, "n_predict"],
      [{ n_probs: 21 }, "n_probs"],
      [{ n: 2 }, "n"],
      [{ temperature: -1 }, "temperature"],
      [{ prompt: [5000] }, "prompt"],
      [{ grammar: 7 }, "grammar"],
    ] as const) {
      const response = await server.post("/completion", { prompt: "hi", ...fields });
      expect(response.status, param).toBe(400);
      expect(await response.json()).toMatchObject({ error: { param } });
    }
  });
});

describe("over real models", () => {
  let server: RealServer;
  beforeAll(async () => {
    server = await startRealServer();
  });
  afterAll(() => server.close());

  it("whole = streamed = /v1/completions", async () => {
    const body = { model: "both", prompt: "Question: What is 12 plus 30?\nAnswer:", temperature: 0 };
    const whole = await completionOf(server.post("/completion", { ...body, n_predict: 12 }));
    const events = (await readEvents(
      await server.post("/completion", { ...body, n_predict: 12, stream: true }),
    )) as LlamaEvent[];
    expect(events.map(({ content }) => content).join("")).toBe(whole.content);
    expect(events.map(({ stop }) => stop).lastIndexOf(false)).toBe(events.length - 2);
    expect(events.at(-1)).toMatchObject({ stop: true, stop_type: whole.stop_type });
    const { choices } = await server.client.completions.create({ ...body, max_tokens: 12 });
    expect(whole.content).toBe(choices[0]?.text);
    expect(whole.timings.predicted_ms).toBeGreaterThan(0);
  });

  it("GET /props, /slots and /health, of the first model or another", async () => {
    const props = (await (await fetch(`${server.url}/props`)).json()) as Props;
    expect(props).toMatchObject({
      model_alias: "both",
      total_slots: 8,
      default_generation_settings: { n_ctx: 512 },
    });
    const other = (await (await fetch(`${server.url}/props?model=giant`)).json()) as Props;
    expect(other.model_alias).toBe("giant");
    expect((await fetch(`${server.url}/props?model=none`)).status).toBe(404);
    const slots = (await (await fetch(`${server.url}/slots`)).json()) as Slots;
    expect(slots).toHaveLength(8);
    expect(slots.filter((slot) => slot.is_processing)).toEqual([]);
    expect(await (await fetch(`${server.url}/health`)).json()).toMatchObject({ status: "ok" });
  });
});
