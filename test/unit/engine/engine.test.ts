import { describe, expect, it } from "vitest";
import type { GenerationRequest } from "../../../src/protocol/protocol.js";
import { END, fakeRequest, type FakeModelsOptions, peak, says } from "../../support/fake-models.js";
import { doneOf, start } from "../../support/scripted-engine.js";

describe("a single request", () => {
  it("is accepted first, then gives its text, and ends at the end of sequence", async () => {
    const { run } = start({ base: says("hello") });
    const outcome = await run(fakeRequest("a"));
    expect(outcome.events[0]).toEqual({ type: "accepted", promptTokens: 9 });
    expect(outcome.text).toBe("hello");
    expect(doneOf(outcome)).toMatchObject({
      finishReason: "stop",
      stopString: null,
      usage: { promptTokens: 9, completionTokens: 6, cachedTokens: 0 },
    });
    expect(doneOf(outcome).tokens.map((token) => token.record.token.id)).toEqual([END]);
  });

  it("ends with length at the token cap", async () => {
    const { run } = start({ base: says("hello") });
    const outcome = await run(fakeRequest("a", { maxTokens: 3 }));
    expect(outcome.text).toBe("hel");
    expect(doneOf(outcome)).toMatchObject({ finishReason: "length", usage: { completionTokens: 3 } });
  });

  it("gives nothing for a cap of 0", async () => {
    const { run } = start({ base: says("hello") });
    const outcome = await run(fakeRequest("a", { maxTokens: 0 }));
    expect(outcome.events.map(({ type }) => type)).toEqual(["accepted", "done"]);
    expect(doneOf(outcome)).toMatchObject({ finishReason: "length", usage: { completionTokens: 0 } });
  });

  it("ends at a stop string that is spread over tokens, and shows nothing of it", async () => {
    const { run } = start({ base: says("one<end>two") });
    const outcome = await run(fakeRequest("a", { stop: ["<end>"] }));
    expect(outcome.text).toBe("one");
    expect(doneOf(outcome)).toMatchObject({ finishReason: "stop", stopString: "<end>" });
    expect(
      doneOf(outcome)
        .tokens.map((token) => token.record.token.text)
        .join(""),
    ).toBe("<end>");
  });

  it("fills the context to its last place", async () => {
    const { run } = start({ base: () => peak(0x78) });
    const outcome = await run(fakeRequest("a", { prompt: { type: "text", text: "y".repeat(60) } }));
    expect(outcome.text).toBe("xxxx");
    expect(doneOf(outcome)).toMatchObject({ finishReason: "length" });
  });

  it.each([
    [63, null],
    [64, "context_length_exceeded"],
    [65, "context_length_exceeded"],
  ])("with a prompt of %i tokens in a context of 64 gives %s", async (length, code) => {
    const { run } = start({ base: says("hello") });
    const outcome = await run(fakeRequest("a", { prompt: { type: "text", text: "y".repeat(length) } }));
    expect(outcome.error?.code ?? null).toBe(code);
    if (code)
      expect(outcome.error?.message).toContain(
        `64 tokens, one of them for the answer, and the prompt has ${length}`,
      );
  });

  it.each([
    { type: "text", text: "y".repeat(2000) } as const,
    { type: "chat", messages: [{ role: "user", content: "y".repeat(2000) }] } as const,
  ])("with a text that cannot fit is refused without being tokenized ($type)", async (prompt) => {
    const { run, models } = start({ base: says("hello") });
    const { model } = models.slots[0]!;
    model.tokenizeAside = model.renderChat = () => {
      throw new Error("tokenized");
    };
    const outcome = await run(
      fakeRequest("a", { prompt: structuredClone(prompt) as GenerationRequest["prompt"] }),
    );
    expect(outcome.error).toMatchObject({ code: "context_length_exceeded" });
    // The longest token's name, <256>, has five bytes.
    expect(outcome.error?.message).toContain("64 tokens, and the request has at least 400");
  });

  it("refuses ids outside the vocabulary before any model sees them", async () => {
    const { run, models } = start({ base: says("x") });
    const outcome = await run(fakeRequest("a", { prompt: { type: "tokens", tokens: [1, 257] } }));
    expect(outcome.error).toMatchObject({ code: "invalid_request", param: "prompt" });
    expect(models.contexts[0]!.batchSizes).toEqual([]);
  });
});

describe("fusion in the engine", () => {
  const trained = { base: says("giant"), reference: says("dwarf"), experts: [says("right")] };

  it("adds the expert's shift with the fixed weight", async () => {
    const strategy = { type: "static", weights: { e0: 2 }, plausibility: null } as const;
    const { run } = start({ ...trained, strategy });
    const outcome = await run(fakeRequest("a", { trace: "full" }));
    expect(outcome.text).toBe("right");
    const [, delta] = outcome.events;
    const record = delta?.type === "delta" ? delta.tokens[0]?.record : undefined;
    expect(record).toMatchObject({
      position: 9,
      weights: { e0: 2 },
      chosen: "e0",
      flipped: true,
      base_token: { text: "g" },
      token: { text: "r" },
    });
    expect(Object.keys(record!.timing!.decode_ms)).toEqual(["base", "reference", "e0"]);
  });

  it("leaves the experts' models alone when the base alone is asked for", async () => {
    const { run, models } = start(trained);
    const outcome = await run(fakeRequest("a", { strategy: { type: "base" } }));
    expect(outcome.text).toBe("giant");
    expect(models.contexts.map(({ batchSizes }) => batchSizes.length)).toEqual([6, 0, 0]);
  });

  it("keeps the top ten of every model in a full trace", async () => {
    const { run } = start(trained);
    const outcome = await run(fakeRequest("a", { trace: "full", maxTokens: 1 }));
    const [, delta] = outcome.events;
    const top = delta?.type === "delta" ? delta.tokens[0]?.record.top : undefined;
    expect(top?.base[0]?.text).toBe("g");
    expect(top?.reference[0]?.text).toBe("d");
    expect(top?.experts["e0"]?.[0]?.text).toBe("r");
    expect(top?.fused).toHaveLength(10);
  });

  it("keeps the objective along each expert's axis in a full trace, and the solution is its least", async () => {
    const { run } = start(trained);
    const outcome = await run(fakeRequest("a", { trace: "full", maxTokens: 1, bounds: { e0: [0.5, 1.5] } }));
    const [, delta] = outcome.events;
    const record = delta?.type === "delta" ? delta.tokens[0]?.record : undefined;
    const { alphas, forward, objective } = record!.curves!["e0"]!;
    expect([alphas.length, alphas[0], alphas.at(-1)]).toEqual([41, 0.5, 1.5]);
    expect(forward).toEqual(forward.toSorted((a, b) => a - b));
    expect(record!.objective).toBeLessThanOrEqual(Math.min(...objective) * (1 + 1e-6) + 1e-12);
    const nearest = alphas.findIndex((alpha) => alpha >= record!.weights["e0"]! - 1e-9);
    expect(objective[nearest]).toBeCloseTo(record!.objective!, 2);
  });

  it("gives only the base the few-shot examples, and still brings all rows to the same step", async () => {
    const config = { fewShot: [{ user: "a", assistant: "b" }], context: { tokens: 128, sequences: 4 } };
    const { run, models, untilIdle } = start({ ...trained, config, batchTokens: 8 });
    const idle = untilIdle();
    const outcome = await run(
      fakeRequest("a", {
        prompt: { type: "chat", messages: [{ role: "user", content: "c" }] },
        maxTokens: 2,
      }),
    );
    await idle;
    const [base, reference, expert] = models.contexts.map(({ batchSizes }) =>
      batchSizes.reduce((a, b) => a + b),
    );
    expect(base! - reference!).toBe("user a;assistant b;".length);
    expect(expert).toBe(reference);
    expect(doneOf(outcome).usage.completionTokens).toBe(2);
  });

  it("ends a request whose row is not finite, names model and position, and spares its neighbour", async () => {
    const broken: FakeModelsOptions = {
      ...trained,
      reference: (tokens) => (tokens[0] === 0x21 ? peak(1).fill(NaN) : says("dwarf")(tokens)),
    };
    const { run } = start(broken);
    const [bad, good] = await Promise.all([
      run(fakeRequest("bad", { prompt: { type: "text", text: "!:" } })),
      run(fakeRequest("good", { strategy: { type: "static", weights: { e0: 0 }, plausibility: null } })),
    ]);
    expect(bad.error?.code).toBe("non_finite_logits");
    expect(bad.error?.message).toMatch(/reference/);
    expect(bad.error?.message).toMatch(/position 2/);
    expect(good.text).toBe("giant");
  });
});
