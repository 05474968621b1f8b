import { afterEach, describe, expect, it, vi } from "vitest";
import { entered, type Outcome, recordsOf, start, tokensOf } from "../../support/scripted-engine.js";
import { dream, fakeRequest, peak, says, type FakeModelsOptions } from "../../support/fake-models.js";

/** One sequence: what does not run, waits. */
const one: FakeModelsOptions = { base: says("x"), config: { context: { tokens: 64, sequences: 1 } } };
/** Answers that end with their context. */
const endless: FakeModelsOptions = {
  base: dream(1),
  reference: dream(2),
  experts: [dream(3)],
  config: { context: { tokens: 64, sequences: 4 } },
};

afterEach(() => vi.restoreAllMocks());

describe("a full queue", () => {
  it("lets a party with fewer in: the one with most loses its newest, and hears of it", async () => {
    const { run, models, engine } = start({ ...one, limits: { maxWaiting: 3 } });
    models.contexts[0]!.gate = entered();
    const many = ["a0", "a1", "a2", "a3"].map((id) => run(fakeRequest(id, { party: "a" })));
    await models.contexts[0]!.gate;
    expect(engine.stats).toMatchObject({ running: 1, waiting: 3 });
    const single = run(fakeRequest("b0", { party: "b" }));
    const outcomes = await Promise.all(many);
    expect(outcomes.map(({ error }) => error?.code ?? null)).toEqual([null, null, null, "queue_full"]);
    expect((await single).text).toBe("x");
  });

  it("is also full in tokens, also of prompts that are longer than they seemed", async () => {
    const { run, models } = start({ ...one, limits: { maxWaitingTokens: 100 } });
    models.contexts[0]!.gate = entered();
    const prompt = { type: "text", text: "y".repeat(40) + ":" } as const;
    const many = ["a0", "a1", "a2", "a3"].map((id) => run(fakeRequest(id, { party: "a", prompt })));
    const single = run(fakeRequest("b0", { party: "b", prompt }));
    const codes = (await Promise.all(many)).map(({ error }) => error?.code ?? null);
    expect(codes).toEqual([null, null, "queue_full", "queue_full"]);
    expect((await single).text).toBe("x");
  });

  it("refuses a party that has as many as all others, and takes nothing from them", async () => {
    const { run, models } = start({ ...one, limits: { maxWaiting: 2 } });
    models.contexts[0]!.gate = entered();
    const outcomes = await Promise.all(
      ["a", "b", "c", "d"].map((party) => run(fakeRequest(party, { party }))),
    );
    expect(outcomes.map(({ error }) => error?.code ?? null)).toEqual([null, null, null, "queue_full"]);
  });
});

describe("running sequences", () => {
  const requests = Array.from({ length: 6 }, (_, index) =>
    fakeRequest(`a${index}`, {
      party: "a",
      prompt: { type: "text", text: `q${"r".repeat(index)}:` },
      maxTokens: 30,
    }),
  );

  /** All that `many` may have run, and a step of theirs is in flight until it is let go. */
  async function startBusy(options: FakeModelsOptions, many: typeof requests) {
    const started = start(options);
    const { models, run } = started;
    const gate = () => {
      let open = () => {};
      models.contexts[0]!.gate = new Promise((resolve) => (open = resolve));
      return open;
    };
    const openFirst = gate();
    const outcomes = many.map(run);
    await entered();
    const open = gate();
    openFirst();
    await entered();
    return { ...started, outcomes, open, gate };
  }

  it("of one party give half their places to another that comes, and go on to the same tokens", async () => {
    const { run, models, engine, outcomes, open, untilIdle } = await startBusy(endless, requests);
    const idle = untilIdle();
    expect(engine.stats).toMatchObject({ running: 4, waiting: 2 });
    const ended: string[] = [];
    for (const [index, outcome] of outcomes.entries()) void outcome.then(() => ended.push(`a${index}`));
    const others = ["b0", "b1", "b2"].map((id) => run(fakeRequest(id, { party: "b", maxTokens: 3 })));
    await entered();
    open();
    await Promise.all(others);
    expect(ended).toEqual([]);
    const together = await Promise.all(outcomes);
    expect(together.map(({ error }) => error)).toEqual(requests.map(() => null));
    await idle;
    for (const context of models.contexts) expect(context.cells.size).toBe(0);
    const alone = [];
    for (const request of requests) alone.push(await start(endless).run(request));
    expect(together.map(tokensOf)).toEqual(alone.map(tokensOf));
    const positions = (outcome: Outcome) => recordsOf(outcome).map(({ position }) => position);
    expect(together.map(positions)).toEqual(alone.map(positions));
  });

  it("wait a step in which one that comes beside them has its short prompt read, and its first token", async () => {
    const options = { ...endless, limits: { speculation: "off" } as const };
    const { run, steps, outcomes, open } = await startBusy(options, requests.slice(0, 4));
    const numBefore = steps.length;
    const single = run(fakeRequest("b", { party: "b", maxTokens: 1 }));
    await entered();
    open();
    expect((await single).error).toBe(null);
    // All four, in the step that was in flight, and then one.
    expect(steps.slice(numBefore).map(({ rows }) => rows)).toEqual([4, 1]);
    expect((await Promise.all(outcomes)).map(({ error }) => error)).toEqual([null, null, null, null]);
  });

  it("that gave up their place do not time out", async () => {
    const now = performance.now.bind(performance);
    let skippedMs = 0;
    vi.spyOn(performance, "now").mockImplementation(() => now() + skippedMs);
    const options = { ...endless, config: { context: { tokens: 64, sequences: 2 } } };
    const { run, engine, outcomes, open, gate } = await startBusy(options, requests.slice(0, 2));
    const other = run(fakeRequest("b", { party: "b", maxTokens: 2 }));
    await entered();
    const openNext = gate();
    open();
    await entered();
    expect(engine.stats).toMatchObject({ running: 2, waiting: 1 });
    skippedMs = 120_000;
    openNext();
    expect((await Promise.all([...outcomes, other])).map(({ error }) => error)).toEqual([null, null, null]);
  });
});

describe("a crowd of prompts", () => {
  const long: Parameters<typeof start>[0] = {
    ...endless,
    batchTokens: 512,
    config: { context: { tokens: 256, sequences: 4 } },
    limits: { speculation: "off" },
  };
  const prompts = (party: string) =>
    ["p", "q", "r"].map((letter) =>
      fakeRequest(`${party}-${letter}`, {
        party,
        prompt: { type: "text", text: `${letter.repeat(99)}:` },
        maxTokens: 4,
      }),
    );

  /** Prompts that come while an answer of `a` runs. @returns the tokens of each batch, and what became of the prompts. */
  async function join(party: string) {
    const { run, models } = start(long);
    const [context] = models.contexts;
    let open = () => {};
    context!.gate = new Promise((resolve) => (open = resolve));
    const first = run(fakeRequest("a", { party: "a", prompt: { type: "text", text: "a:" }, maxTokens: 60 }));
    await entered();
    const outcomes = prompts(party).map(run);
    await entered();
    open();
    await first;
    return { batchSizes: context!.batchSizes, outcomes: await Promise.all(outcomes) };
  }

  it("is read in one step beside an answer of its own party", async () => {
    const { batchSizes, outcomes } = await join("a");
    expect(Math.max(...batchSizes)).toBe(3 * 100 + 1);
    const alone = [];
    for (const request of prompts("a")) alone.push(await start(long).run(request));
    expect(outcomes.map(tokensOf)).toEqual(alone.map(tokensOf));
  });

  it("is read bit by bit beside another's answer", async () => {
    const { batchSizes, outcomes } = await join("b");
    expect(batchSizes.filter((size) => size > 1).length).toBeGreaterThan(2);
    expect(Math.max(...batchSizes)).toBeLessThan(2 * 100);
    expect(outcomes.every(({ error }) => error === null)).toBe(true);
  });
});

describe("what is to be read", () => {
  it("is read once for all answers to a prompt", async () => {
    const { engine, models, outcomes, untilIdle } = start(endless);
    const { model } = models.slots[0]!;
    let numReadings = 0;
    const tokenize = model.tokenizeAside.bind(model);
    model.tokenizeAside = (...given) => {
      numReadings++;
      return tokenize(...given);
    };
    const idle = untilIdle();
    const request = fakeRequest("c-0", { maxTokens: 2 });
    const choices = Array.from({ length: 6 }, (_, index) => ({
      ...{ requestId: `c-${index}`, seed: index, forced: null },
    }));
    engine.submit(request, choices);
    engine.cancel("c-3");
    await idle;
    expect(numReadings).toBe(1);
    expect([...outcomes.keys()]).toEqual(["c-0", "c-1", "c-2", "c-4", "c-5"]);
    expect([...outcomes.values()].every(({ events }) => events.at(-1)?.type === "done")).toBe(true);
  });

  it("is read in turns of the parties, and not at all when nobody wants it any more", async () => {
    const { engine, models, run } = start({
      base: () => peak(0x78),
      config: { context: { tokens: 4096, sequences: 1 } },
      limits: { maxWaiting: 500, maxWaitingTokens: 1_000_000 },
    });
    const { model } = models.slots[0]!;
    const read: string[] = [];
    let open = () => {};
    const opened = new Promise<void>((resolve) => (open = resolve));
    model.tokenizeAside = async (text) => {
      read.push(text);
      await opened;
      return [1, 2];
    };
    const ask = (id: string, party: string, length: number) =>
      void run(
        fakeRequest(id, { party, prompt: { type: "text", text: id.padEnd(length, ".") }, maxTokens: 4 }),
      );
    for (let index = 0; index < 100; index++) ask(`a${index}`, "a", 5_000);
    ask("b", "b", 5_000);
    ask("short", "c", 10);
    await entered();
    // A short text does not wait for the long ones.
    expect(read.map((text) => text.slice(0, 5))).toEqual(["a0...", "short"]);
    for (let index = 2; index < 100; index++) engine.cancel(`a${index}`);
    open();
    await entered();
    expect(read.map((text) => text.split(".")[0])).toEqual(["a0", "short", "a1", "b"]);
    await engine.close();
  });

  it("does not wait for another's question about a hundred thousand ids", async () => {
    const { engine, models, run } = start({ base: says("x") });
    const [config] = models.configs.values();
    const { tokenNames, resolved } = config!;
    const bytes = vi.spyOn(tokenNames, "bytes");
    const numRead = () => bytes.mock.calls.length;
    const tokens = new Int32Array(100_000).fill(1);
    engine.ask("question", "a", { type: "detokenize", configId: resolved.config.id, tokens });
    let numBefore = 0;
    models.slots[0]!.model.tokenizeAside = () => {
      numBefore = numRead();
      return Promise.resolve([1, 2]);
    };
    await run(fakeRequest("short", { party: "b", prompt: { type: "text", text: "y" } }));
    await expect.poll(numRead).toBeGreaterThanOrEqual(tokens.length);
    expect(numBefore).toBeLessThan(tokens.length / 2);
    await engine.close();
  });
});
