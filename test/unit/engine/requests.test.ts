import { describe, expect, it } from "vitest";
import { ShouldersError } from "../../../src/errors.js";
import { dream, fakeRequest, type FakeModelsOptions, peak, says } from "../../support/fake-models.js";
import { doneOf, entered, start, tokensOf } from "../../support/scripted-engine.js";

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

describe("several answers to one prompt", () => {
  it("read it once", async () => {
    const { run, models } = start({
      base: dream(1),
      reference: dream(2),
      experts: [dream(3)],
      config: { context: { tokens: 64, sequences: 4 } },
      limits: { cacheSequences: 4, speculation: "off" },
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
