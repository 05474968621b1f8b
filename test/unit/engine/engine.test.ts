import { describe, expect, it } from "vitest";
import type { EngineLimits } from "../../../src/engine/engine.js";
import type { GenerationRequest } from "../../../src/protocol/protocol.js";
import { ShouldersError } from "../../../src/errors.js";
import { dream, END, fakeRequest, type FakeModelsOptions, peak, says } from "../../support/fake-models.js";
import { doneOf, entered, type Outcome, start, tokensOf } from "../../support/scripted-engine.js";

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
    const outcome = await run(fakeRequest("a"));
    expect(outcome.text).toBe("right");
    const [, delta] = outcome.events;
    const record = delta?.type === "delta" ? delta.tokens[0]?.record : undefined;
    expect(record).toMatchObject({
      position: 9,
      weights: { e0: 2 },
      chosen: "e0",
      flipped: true,
      baseToken: { text: "g" },
      token: { text: "r" },
    });
    expect(Object.keys(record!.timing.decodeMs)).toEqual(["base", "reference", "e0"]);
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
    expect(objective[nearest]).toBeCloseTo(record!.objective, 2);
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

describe("several requests", () => {
  const options: FakeModelsOptions = {
    base: dream(1),
    reference: dream(2),
    experts: [dream(3)],
    config: { context: { tokens: 64, sequences: 3 } },
  };
  const requests = Array.from({ length: 9 }, (_, index) =>
    fakeRequest(`r${index}`, {
      prompt: { type: "text", text: "q".repeat(1 + index * 5) + ":" },
      maxTokens: 5 + ((index * 7) % 11),
    }),
  );

  it("give the same tokens at once as one by one", async () => {
    const { run } = start(options);
    const together = await Promise.all(requests.map(run));
    const alone = [];
    for (const request of requests) alone.push(await start(options).run(request));
    expect(together.map(tokensOf)).toEqual(alone.map(tokensOf));
  });

  it("share batches, and leave every memory empty", async () => {
    const { run, models, untilIdle, engine } = start(options);
    const idle = untilIdle();
    await Promise.all(requests.map(run));
    await idle;
    expect(Math.max(...models.contexts[0]!.batchSizes)).toBeGreaterThan(1);
    for (const context of models.contexts) expect(context.cells.size).toBe(0);
    expect(engine.stats).toMatchObject({ running: 0, waiting: 0, cells: { base: { used: 0 } } });
  });

  it("takes what can start at once however small the queue is, also all of it together", async () => {
    const config = { context: { tokens: 64, sequences: 4 } };
    const { run } = start({ ...options, config, limits: { maxWaiting: 0 } });
    const outcomes = await Promise.all(["a", "b", "c", "d", "e"].map((id) => run(fakeRequest(id))));
    expect(outcomes.map(({ error }) => error?.code ?? null)).toEqual([null, null, null, null, "queue_full"]);
  });

  it("are refused when too many wait", async () => {
    const { run, models } = start({ ...options, limits: { maxWaiting: 2 } });
    let open = () => {};
    models.contexts[0]!.gate = new Promise((resolve) => (open = resolve));
    const all = requests.map(run);
    open();
    const outcomes = await Promise.all(all);
    const refused = outcomes.filter(({ error }) => error?.code === "queue_full");
    expect(refused.length).toBeGreaterThan(0);
    expect(outcomes.every(({ error, events }) => error !== null || events.at(-1)?.type === "done")).toBe(
      true,
    );
  });

  it("survive a failed decode of one of the models", async () => {
    const { run, models } = start(options);
    models.contexts[1]!.failNext = new ShouldersError("decode_failed", "no room");
    const failed = await run(requests[0]!);
    expect(failed.error?.code).toBe("decode_failed");
    for (const context of models.contexts) expect(context.cells.size).toBe(0);
    expect((await run(requests[1]!)).error).toBeNull();
  });
});

describe("cancel", () => {
  const endless: FakeModelsOptions = {
    base: () => peak(0x78),
    config: { context: { tokens: 64, sequences: 1 } },
  };

  it("frees a running sequence within a step, and lets the one that waits in", async () => {
    const { engine, run, models, outcomes } = start({ ...endless, batchTokens: 4 });
    let open = () => {};
    models.contexts[0]!.gate = new Promise((resolve) => (open = resolve));
    void run(fakeRequest("first"));
    const second = run(fakeRequest("second", { maxTokens: 2 }));
    await entered();
    expect(engine.stats).toMatchObject({ running: 1, waiting: 1 });
    engine.cancel("first");
    open();
    const outcome = await second;
    expect(doneOf(outcome).usage.completionTokens).toBe(2);
    expect(outcomes.get("first")?.events.map(({ type }) => type)).toEqual(["accepted"]);
  });

  it("takes a waiting request out of the queue", async () => {
    const { engine, run, models, untilIdle, outcomes } = start(endless);
    const idle = untilIdle();
    const first = run(fakeRequest("first", { maxTokens: 3 }));
    void run(fakeRequest("second"));
    models.contexts[0]!.gate = entered();
    await models.contexts[0]!.gate;
    engine.cancel("second");
    await first;
    await idle;
    expect(outcomes.get("second")?.events.map(({ type }) => type)).toEqual(["accepted"]);
    expect(engine.stats).toMatchObject({ running: 0, waiting: 0 });
  });

  it("of a request whose prompt is being read lets it never begin", async () => {
    const { engine, run, models, outcomes } = start(endless);
    const { model } = models.slots[0]!;
    let read = () => {};
    const reading = new Promise<void>((resolve) => (read = resolve));
    model.tokenizeAside = () => reading.then(() => [1, 2, 3]);
    void run(fakeRequest("first"));
    expect(engine.stats).toMatchObject({ running: 0, waiting: 1 });
    engine.cancel("first");
    expect(engine.stats).toMatchObject({ running: 0, waiting: 0 });
    read();
    await entered();
    expect(outcomes.has("first")).toBe(false);
    expect(models.contexts[0]!.batchSizes).toEqual([]);
  });

  it("of an unknown request changes nothing", async () => {
    const { engine, run } = start({ base: says("x") });
    engine.cancel("nobody");
    expect((await run(fakeRequest("a"))).text).toBe("x");
  });
});

describe("close", () => {
  it("lets the step in flight end and frees everything", async () => {
    const { engine, run, models } = start({ base: () => peak(0x78) });
    void run(fakeRequest("a"));
    await engine.close();
    expect(models.contexts[0]!.cells.size).toBe(0);
    expect(engine.stats).toMatchObject({ running: 0, waiting: 0 });
  });
});

describe("a paused request", () => {
  it("keeps its place, takes no part in steps, and goes on where it was", async () => {
    const { engine, run, models } = start({
      base: says("hello"),
      config: { context: { tokens: 64, sequences: 2 } },
    });
    let open = () => {};
    models.contexts[0]!.gate = new Promise((resolve) => (open = resolve));
    const slow = run(fakeRequest("slow"));
    const other = run(fakeRequest("other"));
    await entered();
    engine.pause("slow", true);
    open();
    expect((await other).text).toBe("hello");
    expect(engine.stats.running).toBe(1);
    expect(engine.stepAgeMs).toBeNull();
    engine.pause("slow", false);
    expect((await slow).text).toBe("hello");
  });

  it("can be cancelled", async () => {
    const { engine, run, models, untilIdle } = start({ base: says("hello") });
    const idle = untilIdle();
    void run(fakeRequest("slow"));
    engine.pause("slow", true);
    engine.cancel("slow");
    await idle;
    expect(models.contexts[0]!.cells.size).toBe(0);
  });
});

describe("the queue", () => {
  const one: FakeModelsOptions = { base: says("x"), config: { context: { tokens: 64, sequences: 1 } } };

  it("is bounded in tokens too, but never refuses what can start at once", async () => {
    const { run, models } = start({ ...one, limits: { maxWaitingTokens: 20 } });
    models.contexts[0]!.gate = entered();
    const prompt = { type: "text", text: "y".repeat(30) + ":" } as const;
    const outcomes = await Promise.all(["a", "b", "c"].map((id) => run(fakeRequest(id, { prompt }))));
    expect(outcomes.map(({ error }) => error?.code ?? null)).toEqual([null, null, "queue_full"]);
  });

  it("gives up on a request that has waited too long", async () => {
    const { run, models } = start({ ...one, limits: { queueTimeoutMs: 0 } });
    let open = () => {};
    models.contexts[0]!.gate = new Promise((resolve) => (open = resolve));
    const first = run(fakeRequest("first"));
    const second = run(fakeRequest("second"));
    await entered();
    open();
    expect((await second).error?.code).toBe("queue_timeout");
    expect((await first).text).toBe("x");
  });

  it("gives up on it also when nothing goes on, because who runs is paused", async () => {
    const { engine, run, models } = start({ ...one, limits: { queueTimeoutMs: 30 } });
    models.contexts[0]!.gate = entered();
    const slow = run(fakeRequest("slow"));
    await models.contexts[0]!.gate;
    engine.pause("slow", true);
    const waiting = await run(fakeRequest("waiting"));
    expect(waiting.error?.code).toBe("queue_timeout");
    engine.pause("slow", false);
    expect((await slow).text).toBe("x");
  });

  it("lets one party's single request start before another's many", async () => {
    const { run, models } = start(one);
    models.contexts[0]!.gate = entered();
    const ended: string[] = [];
    const ask = async (requestId: string, party: string) => {
      await run(fakeRequest(requestId, { party }));
      ended.push(requestId);
    };
    await Promise.all([ask("a1", "a"), ask("a2", "a"), ask("a3", "a"), ask("b1", "b")]);
    expect(ended).toEqual(["a1", "b1", "a2", "a3"]);
  });
});

describe("the prefix cache", () => {
  const options: FakeModelsOptions & { limits: Partial<EngineLimits> } = {
    base: dream(1),
    reference: dream(2),
    experts: [dream(3)],
    config: { context: { tokens: 64, sequences: 2 } },
    limits: { cacheSequences: 2 },
  };
  const ask = (id: string, text: string, owner = "") =>
    fakeRequest(id, { owner, prompt: { type: "text", text }, maxTokens: 4 });
  const cachedOf = (outcome: Outcome) => doneOf(outcome).usage.cachedTokens;

  it("shares what a finished request left, in every model, and gives the same tokens", async () => {
    const { run, models } = start(options);
    const cold = await run(ask("a", "the quick brown fox:"));
    const sizes = models.contexts.map(({ batchSizes }) => batchSizes.length);
    const warm = await run(ask("b", "the quick brown fox:"));
    expect(cachedOf(cold)).toBe(0);
    expect(cachedOf(warm)).toBe("the quick brown fox".length);
    expect(tokensOf(warm)).toEqual(tokensOf(cold));
    models.contexts.forEach(({ batchSizes }, index) => expect(batchSizes[sizes[index]!]).toBe(1));
  });

  it("shares with a running request too", async () => {
    const { run, engine } = start(options);
    const first = run(
      fakeRequest("a", { prompt: { type: "text", text: "shared beginning:" }, maxTokens: 40 }),
    );
    const untilDecoding = async () => {
      while (engine.stats.steps < 4) await new Promise((resolve) => setImmediate(resolve));
    };
    await untilDecoding();
    const second = await run(ask("b", "shared beginning?"));
    expect(cachedOf(second)).toBe("shared beginning".length);
    await first;
  });

  it("never crosses owners", async () => {
    const { run } = start(options);
    await run(ask("a", "secret words:", "alice"));
    expect(cachedOf(await run(ask("b", "secret words:", "bob")))).toBe(0);
    expect(cachedOf(await run(ask("c", "secret words:", "alice")))).toBeGreaterThan(0);
  });

  it("gives its cells back when running sequences need them, the oldest first", async () => {
    const { run, engine, models } = start(options);
    await run(ask("a", "aaaaaaaaaa:"));
    await run(ask("b", "bbbbbbbbbb:"));
    await run(ask("c", "cccccccccc:"));
    expect(engine.stats.cached).toBe(2);
    expect(cachedOf(await run(ask("a2", "aaaaaaaaaa:")))).toBe(0);
    expect(cachedOf(await run(ask("c2", "cccccccccc:")))).toBe(10);
    const full = (id: string) => fakeRequest(id, { prompt: { type: "text", text: `${id}:` } });
    await Promise.all([run(full("x")), run(full("y"))]);
    for (const { used, total } of Object.values(engine.stats.cells)) expect(used).toBeLessThanOrEqual(total);
    await engine.close();
    for (const context of models.contexts) expect(context.cells.size).toBe(0);
  });

  it("changes no tokens, whatever comes in whatever order", async () => {
    const texts = ["ab:", "abc:", "abcd:", "abX:", "ab:", "b:", "abcd:", "abcd:xyz:"];
    const requests = texts.map((text, index) => ask(`r${index}`, text));
    const cached = start(options);
    const together = await Promise.all(requests.map(cached.run));
    for (const [index, request] of requests.entries()) {
      const alone = await start({ ...options, limits: { cacheSequences: 0 } }).run(request);
      expect(tokensOf(together[index]!)).toEqual(tokensOf(alone));
    }
  });

  it("keeps nothing of a request that failed", async () => {
    const { run, models, engine } = start(options);
    models.contexts[2]!.failNext = new ShouldersError("decode_failed", "no room");
    await run(ask("a", "broken:"));
    expect(engine.stats.cached).toBe(0);
    for (const context of models.contexts) expect(context.cells.size).toBe(0);
  });
});

describe("teacher forcing", () => {
  const trained = { base: says("giant"), reference: says("dwarf"), experts: [says("right")] };

  it("takes the given tokens, with the record of each, and then ends", async () => {
    const { run } = start({
      ...trained,
      strategy: { type: "static", weights: { e0: 2 }, plausibility: null },
    });
    const outcome = await run(fakeRequest("a", { forced: { type: "text", text: "rival" }, maxTokens: 1 }));
    expect(outcome.text).toBe("rival");
    expect(doneOf(outcome)).toMatchObject({ finishReason: "length", usage: { completionTokens: 5 } });
    const records = outcome.events.flatMap((event) => (event.type === "delta" ? event.tokens : []));
    expect(records.map(({ record }) => record.weights)).toEqual(Array(5).fill({ e0: 2 }));
    // The law says "right": the first two letters are likely, the third is not.
    expect(records[1]!.record.logprob).toBeGreaterThan(-0.1);
    expect(records[2]!.record.logprob).toBeLessThan(-3);
  });

  it("goes on past an end of sequence and over stop strings", async () => {
    const { run } = start({ base: says("x") });
    const tokens = [0x61, END, 0x62];
    const outcome = await run(fakeRequest("a", { forced: { type: "tokens", tokens }, stop: ["b"] }));
    expect(tokensOf(outcome)).toEqual(tokens);
    expect(outcome.text).toBe("ab");
  });

  it("is refused when it does not fit, with both numbers", async () => {
    const { run } = start({ base: says("x") });
    const forced = { type: "text", text: "y".repeat(60) } as const;
    const outcome = await run(fakeRequest("a", { forced }));
    expect(outcome.error).toMatchObject({ code: "context_length_exceeded" });
    expect(outcome.error?.message).toMatch(/60 of them for the completion, and the prompt has 9/);
  });

  it("an answer's beginning is weighed as if it had been drawn, and the rest is drawn", async () => {
    const { run } = start({
      ...trained,
      strategy: { type: "static", weights: { e0: 2 }, plausibility: null },
    });
    const whole = await run(fakeRequest("a", { maxTokens: 4 }));
    const answerPrefix = { type: "text", text: "ri" } as const;
    const outcome = await run(fakeRequest("b", { answerPrefix, maxTokens: 2 }));
    expect(outcome.text).toBe("righ");
    expect(doneOf(outcome).usage).toEqual(doneOf(whole).usage);
    const plainRecords = ({ events }: Outcome) =>
      events
        .flatMap((event) => (event.type === "delta" ? event.tokens : []))
        .map(({ record }) => ({ ...record, timing: null }));
    expect(plainRecords(outcome)).toEqual(plainRecords(whole));
  });

  it("tells the bytes of tokens that are no whole characters", async () => {
    const { run } = start({ base: says("x") });
    const outcome = await run(fakeRequest("a", { forced: { type: "text", text: "aé" } }));
    const records = outcome.events.flatMap((event) => (event.type === "delta" ? event.tokens : []));
    expect(records.map(({ record }) => record.token)).toEqual([
      { id: 0x61, text: "a" },
      { id: 0xc3, text: "\ufffd", bytes: [0xc3] },
      { id: 0xa9, text: "\ufffd", bytes: [0xa9] },
    ]);
  });

  it("an answer that begins and may not go on is its beginning", async () => {
    const { run } = start({ base: says("right") });
    const outcome = await run(fakeRequest("a", { answerPrefix: { type: "text", text: "xy" }, maxTokens: 0 }));
    expect(outcome.text).toBe("xy");
    expect(doneOf(outcome)).toMatchObject({ finishReason: "length", usage: { completionTokens: 2 } });
  });
});

describe("several answers to one prompt", () => {
  it("read it once", async () => {
    const { run, models } = start({
      base: dream(1),
      reference: dream(2),
      experts: [dream(3)],
      config: { context: { tokens: 64, sequences: 4 } },
      limits: { cacheSequences: 4 },
      batchTokens: 8,
    });
    const prompt = { type: "text", text: "a long prompt that is read in several chunks:" } as const;
    const outcomes = await Promise.all(
      ["a", "b", "c", "d"].map((id) => run(fakeRequest(id, { prompt, maxTokens: 3 }))),
    );
    expect(new Set(outcomes.map((outcome) => tokensOf(outcome).join())).size).toBe(1);
    const read = models.contexts[0]!.batchSizes.reduce((sum, size) => sum + size, 0);
    // The prompt once, its last token for each, and two of three tokens each.
    expect(read).toBe(prompt.text.length + 3 + 4 * 2);
  });
});
