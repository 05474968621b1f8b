import { readFileSync } from "node:fs";
import path from "node:path";
import { describe, expect, it } from "vitest";
import { answering } from "../support/fake-engine.js";
import { root } from "../support/real-engine.js";
import { startTestServer, type TestServer } from "../support/server.js";

const messages = [{ role: "user", content: "hi" }];

interface Refusal {
  error: { code: string; param: string | null; message: string };
}

async function refusalOf(server: TestServer, route: string, body: unknown): Promise<Refusal["error"]> {
  const response = await server.post(route, body);
  expect(response.status, JSON.stringify(body).slice(0, 200)).toBe(400);
  return ((await response.json()) as Refusal).error;
}

describe("POST /v1/fusion/explain", () => {
  it("takes the given answer, and tells of every token", async () => {
    const server = await startTestServer();
    const body = {
      model: "both",
      messages,
      completion: "Hello",
      fusion: { weights: { trivia: 1 }, trace: "full" },
    };
    const response = await server.post("/v1/fusion/explain", body);
    expect(response.status).toBe(200);
    const answer = (await response.json()) as { id: string; tokens: unknown[] };
    expect(answer).toMatchObject({
      id: expect.stringMatching(/^explain-/) as string,
      object: "fusion.explanation",
      model: "both",
      logprob: { sum: -0.75, mean: -0.25 },
      tokens: [{ weights: { trivia: 0.5 } }, {}, {}],
      usage: { prompt_tokens: 7, completion_tokens: 3 },
    });
    expect(server.engine.submitted[0]).toMatchObject({
      forced: { type: "text", text: "Hello" },
      prompt: { type: "chat", messages },
      maxTokens: null,
      trace: "full",
      owner: "anonymous",
      strategy: { type: "static", weights: { trivia: 1 } },
    });
    expect((await fetch(`${server.url}/v1/fusion/traces/${answer.id}`)).status).toBe(200);
    await server.post("/v1/fusion/explain", { model: "both", prompt: [1, 2], completion: [3, 979] });
    expect(server.engine.submitted[1]).toMatchObject({
      forced: { type: "tokens", tokens: [3, 979] },
      prompt: { type: "tokens", tokens: [1, 2] },
    });
  });

  it("refuses what is not one prompt and one answer", async () => {
    const server = await startTestServer();
    const plain = { model: "both", messages, completion: "x" };
    for (const [change, param] of [
      [{ completion: undefined }, "completion"],
      [{ completion: "" }, "completion"],
      [{ completion: [980] }, "completion.0"],
      [{ completion: [-1] }, "completion.0"],
      [{ prompt: "x" }, "messages"],
      [{ messages: undefined }, "messages"],
      [{ messages: null, prompt: [980] }, "prompt"],
      [{ temperature: 1 }, "temperature"],
      [{ fusion: { weights: { x: 1 } } }, "fusion.weights"],
    ] as const)
      expect((await refusalOf(server, "/v1/fusion/explain", { ...plain, ...change })).param).toBe(param);
    expect(server.engine.submitted).toEqual([]);
  });
});

interface Vector {
  name: string;
  base: number[];
  reference: number[];
  experts: number[][];
  bounds: [number, number];
  exact: { alpha: number; objective: number; expert: number | null };
  fusedTop: { token: number; logprob: number }[];
}

describe("POST /v1/fusion/solve", () => {
  const rows = { base: [0, 1, 2], reference: [0, 0, 1], experts: { a: [0, 1, 0] } };

  it("finds the weights of the test vectors", async () => {
    const server = await startTestServer();
    const file = path.join(root, "test/vectors/solver.json");
    const vectors = (JSON.parse(readFileSync(file, "utf8")) as Vector[]).slice(0, 4);
    for (const { name, base, reference, experts, bounds, exact, fusedTop } of vectors) {
      const named = Object.fromEntries(experts.map((row, index) => [`e${index}`, row]));
      const response = await server.post("/v1/fusion/solve", { base, reference, experts: named, bounds });
      const answer = (await response.json()) as {
        weights: Record<string, number>;
        chosen: string;
        fused: { id: number }[];
      };
      expect(answer.chosen, name).toBe(`e${exact.expert}`);
      expect(answer.weights[answer.chosen]).toBeCloseTo(exact.alpha, 3);
      expect(answer.fused[0]?.id).toBe(fusedTop[0]?.token);
    }
  });

  it("fixed weights, the base alone, masked tokens, fewer tops", async () => {
    const server = await startTestServer();
    const ask = async (fields: object) =>
      (await (await server.post("/v1/fusion/solve", { ...rows, ...fields })).json()) as object;
    expect(await ask({ strategy: { type: "static", weights: { a: 0.5 } }, top: 1 })).toMatchObject({
      weights: { a: 0.5 },
      fused: [{}],
    });
    expect(await ask({ strategy: { type: "base" }, top: 0 })).toMatchObject({ chosen: null, fused: [] });
    const answer = (await ask({ base: [0, 1, "-Infinity"] })) as { fused: { id: number }[] };
    expect(answer.fused.map(({ id }) => id).sort()).toEqual([0, 1]);
  });

  it("refuses what are no rows, and names the place", async () => {
    const server = await startTestServer();
    for (const [change, param] of [
      [{ base: undefined }, "base"],
      [{ base: [] }, "base"],
      [{ base: [0, "x"] }, "base.1"],
      [{ base: [0, null] }, "base.1"],
      [{ base: [0, 1e308] }, "base.1"],
      [{ experts: {} }, "experts"],
      [{ experts: { a: [1, "NaN"] } }, "experts.a.1"],
      [{ experts: Object.fromEntries(Array.from({ length: 17 }, (_, i) => [i, [0, 1]])) }, "experts"],
      [{ base: ["-Infinity", "-Infinity"] }, "base"],
      [{ base: Array.from({ length: 262_144 }, () => 0) }, "base"],
      [{ strategy: { type: "static", weights: { b: 1 } } }, "strategy.weights"],
      [{ bounds: [1, 0] }, "bounds"],
      [{ kernel: "simd" }, "kernel"],
    ] as const)
      expect((await refusalOf(server, "/v1/fusion/solve", { ...rows, ...change })).param).toBe(param);
    expect((await server.post("/v1/fusion/solve", rows)).status).toBe(200);
  });

  it("as many logits as are taken are looked at a bounded number of times, with others in between", async () => {
    const server = await startTestServer();
    const noise = (length: number) => Array.from({ length }, () => Math.round(Math.random() * 200) / 10);
    const body = JSON.stringify({
      base: noise(52_000),
      reference: noise(52_000),
      experts: { a: noise(52_000), b: noise(52_000), c: noise(52_000) },
      strategy: { type: "dynamic", solver: "grid" },
    });
    const answered: string[] = [];
    const solve = async () => {
      const response = await server.post("/v1/fusion/solve", body);
      answered.push("solve");
      return (await response.json()) as { evaluations: number };
    };
    const look = async () => {
      expect((await fetch(`${server.url}/livez`)).status).toBe(200);
      answered.push("look");
    };
    const [first, second] = await Promise.all([solve(), solve(), solve(), solve(), look()]);
    // Each expert's axis has 21 points.
    expect([first.evaluations, second.evaluations]).toEqual([63, 63]);
    expect(answered.at(-1)).toBe("solve");
  });
});

describe("llama-server's routes", () => {
  const bytes = (text: string) => new TextEncoder().encode(text);

  it("answer in its shapes", async () => {
    const server = await startTestServer();
    server.engine.answers.tokenize = {
      ids: Int32Array.of(5, 6),
      pieces: { bytes: bytes("aé").slice(0, 2), lengths: Int32Array.of(1, 1) },
    };
    server.engine.answers.detokenize = { bytes: bytes("aé") };
    server.engine.answers.renderPrompt = {
      prompts: { base: { text: "<hi>", tokens: [1] }, reference: { text: "<hi>", tokens: [2] } },
    };
    const ask = async (route: string, body: object) => (await server.post(route, body)).json();
    const ids = { tokens: [5, 6], count: 2, max_model_len: 512 };
    expect(await ask("/tokenize", { content: "aé" })).toEqual(ids);
    expect(await ask("/tokenize", { prompt: "aé", add_special_tokens: false })).toEqual(ids);
    expect(await ask("/tokenize", { content: "aé", with_pieces: true, model: "giant" })).toEqual({
      ...ids,
      tokens: [
        { id: 5, piece: "a" },
        { id: 6, piece: [195] },
      ],
    });
    expect(await ask("/tokenize", { content: "a".repeat(262_144) })).toEqual(ids);
    expect(await ask("/detokenize", { tokens: [5, 6] })).toEqual({ content: "aé", prompt: "aé" });
    expect(await ask("/apply-template", { messages })).toEqual({
      prompt: "<hi>",
      fusion: { prompts: { base: { text: "<hi>", tokens: [1] }, reference: { text: "<hi>", tokens: [2] } } },
    });
    for (const [route, body, param] of [
      ["/tokenize", {}, "content"],
      ["/tokenize", { content: 1 }, "content"],
      ["/tokenize", { content: "a".repeat(262_145) }, "content"],
      ["/detokenize", { tokens: Array<number>(262_145).fill(1) }, "tokens"],
      ["/detokenize", { tokens: ["a"] }, "tokens.0"],
      ["/detokenize", { tokens: [980] }, "tokens.0"],
      ["/apply-template", { messages: [] }, "messages"],
    ] as const)
      expect((await refusalOf(server, route, body)).param).toBe(param);
    expect((await server.post("/tokenize", { content: "a", model: "nope" })).status).toBe(404);
    server.engine.script = () => answering("ok");
  });
});
