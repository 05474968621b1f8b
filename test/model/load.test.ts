import { afterAll, beforeAll, describe, expect, it, onTestFinished } from "vitest";
import type { Engine, GenerationEvent, StepSample } from "../../src/protocol/protocol.js";
import { answer, questions, resolvedConfig, startRealEngine, textRequest } from "../support/real-engine.js";
import { expectSameButTies } from "../support/ties.js";

const family = { base: "giant", reference: "dwarf" };
const configs = [
  resolvedConfig({ id: "giant", base: "giant" }),
  resolvedConfig({ id: "trivia", ...family, experts: { trivia: "dwarf-trivia" } }),
  resolvedConfig({ id: "sums", ...family, experts: { sums: "dwarf-sums" } }),
];

/** The end of sequence is forbidden: as many tokens as are asked for. */
const noEnd = [0, 1, 2, 3].map((token) => ({ token, bias: -100 }));

async function until(condition: () => boolean): Promise<void> {
  while (!condition()) await new Promise((resolve) => setTimeout(resolve, 5));
}

describe("the engine under load", () => {
  let engine: Engine;

  beforeAll(async () => {
    engine = await startRealEngine(configs, { cacheSequences: 4 });
  });

  afterAll(async () => engine.close());

  it("requests of different configs share the batches of the models they have in common", async () => {
    const steps: StepSample[] = [];
    engine.onStep((step) => steps.push(step));
    const text = "The birth year of";
    // With guesses a step may bring some of them more tokens than one, and they would not be in step.
    const asked = { maxTokens: 60, logitBias: noEnd, speculation: "off" } as const;
    const answers = await Promise.all(
      configs.map(({ config }) => answer(engine, textRequest(config.id, text, asked))),
    );
    for (const { ids } of answers) expect(ids).toHaveLength(60);
    // One decode of the giant, and of the reference, brings a token of all three.
    const shared = steps.filter(({ rows }) => rows === configs.length);
    expect(shared.length).toBeGreaterThan(40);
    const models = ["dwarf", "dwarf-sums", "dwarf-trivia", "giant"];
    for (const { decodeMs } of shared) expect(Object.keys(decodeMs).sort()).toEqual(models);
  });

  it("a reader that leaves when all is generated and nothing is read leaves nothing behind", async () => {
    const events = engine.generate(
      textRequest("trivia", "The", { maxTokens: 20 }),
      new AbortController().signal,
    );
    const reading = events[Symbol.asyncIterator]() as AsyncGenerator<GenerationEvent, void>;
    expect((await reading.next()).value).toMatchObject({ type: "accepted" });
    const { steps } = engine.stats;
    await until(() => engine.stats.steps > steps && engine.stats.running === 0);
    await reading.return();
    expect(engine.stats).toMatchObject({ running: 0, waiting: 0 });
    expect((await answer(engine, textRequest("trivia", "The", { maxTokens: 20 }))).ids).not.toEqual([]);
  });

  it("a warm prefix gives the text of a cold one, and is reported", async () => {
    const examples = questions("recall")
      .slice(40, 44)
      .map(({ prompt, answer: right }) => `${prompt} ${right}\n`)
      .join("");
    let numEqual = 0;
    const asked = questions("recall").slice(50, 58);
    for (const [index, { prompt }] of asked.entries()) {
      const request = (owner: string) =>
        textRequest("trivia", examples + prompt, { owner, maxTokens: 30, topLogprobs: 2 });
      const cold = await answer(engine, request(`cold-${index}`));
      const warm = await answer(engine, request("warm"));
      const again = await answer(engine, request("warm"));
      expect(cold.done.usage.cachedTokens).toBe(0);
      if (index > 0) expect(warm.done.usage.cachedTokens).toBeGreaterThan(50);
      expect(again.done.usage.cachedTokens).toBe(again.done.usage.promptTokens - 1);
      for (const other of [warm, again]) if (expectSameButTies(cold, other, prompt)) numEqual++;
    }
    expect(numEqual).toBeGreaterThanOrEqual(2 * asked.length - 2);
  });

  it.each([
    { trace: "weights", most: 100 },
    { trace: "full", most: 40 },
  ] as const)(
    "a reader that does not read pauses its own sequence ($trace) and nobody else's",
    async ({ trace, most }) => {
      const slow = engine.generate(
        textRequest("giant", "The", { maxTokens: 400, trace }),
        new AbortController().signal,
      );
      const events = slow[Symbol.asyncIterator]() as AsyncIterator<GenerationEvent, undefined>;
      const first = await events.next();
      expect(first.value).toMatchObject({ type: "accepted" });
      await until(() => engine.stats.running === 1);
      const quick = await answer(engine, textRequest("giant", "The birth year of", { maxTokens: 200 }));
      expect(quick.done.usage.completionTokens).toBe(200);
      const { steps } = engine.stats;
      // The slow one has been paused: without it the engine has nothing to do.
      await answer(engine, textRequest("giant", "The", { maxTokens: 1 }));
      expect(engine.stats.steps - steps).toBeLessThan(20);
      expect(engine.stats.running).toBe(1);
      // What it holds: cells of the prompt and of the tokens that nobody has read.
      let numUnread = 0;
      let numTokens = 0;
      const { steps: before } = engine.stats;
      for (;;) {
        const { value } = await events.next();
        if (engine.stats.steps === before) numUnread++;
        if (value === undefined) break;
        if (value.type === "delta") numTokens += value.tokens.length;
      }
      expect(numTokens).toBe(400);
      expect(numUnread).toBeLessThan(most);
    },
  );

  it("a long text is tokenized beside the steps, not between them", async () => {
    const controller = new AbortController();
    const request = textRequest("giant", "The", { maxTokens: null, logitBias: noEnd });
    const running = engine.generate(request, controller.signal)[Symbol.asyncIterator]();
    const reading = (async () => {
      while (!(await running.next()).done);
    })();
    await until(() => engine.stats.running === 1);
    const { steps } = engine.stats;
    const text = "The birth year of Monen Rupi. ".repeat(20_000);
    const { pieces } = await engine.query({
      type: "tokenize",
      configId: "giant",
      text,
      addSpecial: false,
      parseSpecial: true,
      withPieces: true,
    });
    expect(engine.stats.steps - steps).toBeGreaterThan(5);
    expect(Buffer.from(pieces.bytes).toString().trim()).toBe(text.trim());
    controller.abort();
    await reading;
  });

  it("a prompt of the largest size enters while others go on getting tokens", async () => {
    const controller = new AbortController();
    const running = { tokens: 0, whileEntering: 0, isEntering: false };
    const request = textRequest("giant", "The birth year of", { maxTokens: 450 });
    const reading = (async () => {
      for await (const event of engine.generate(request, controller.signal)) {
        if (event.type !== "delta") continue;
        running.tokens++;
        if (running.isEntering) running.whileEntering++;
      }
    })();
    await until(() => running.tokens > 5);
    const rows: number[] = [];
    engine.onStep((step) => {
      if (running.isEntering) rows.push(step.rows);
    });
    running.isEntering = true;
    const tokens = Array.from({ length: 500 }, (_, index) => 300 + (index % 300));
    await answer(engine, textRequest("giant", "", { prompt: { type: "tokens", tokens }, maxTokens: 1 }));
    running.isEntering = false;
    controller.abort();
    await reading;
    // In chunks, and the running request got its token in each step that read one.
    expect(rows.length).toBeGreaterThan(2);
    expect(Math.min(...rows)).toBe(1);
    expect(running.whileEntering).toBeGreaterThan(2);
  });
});

describe("an engine with little room", () => {
  const start = async (
    parts: Record<string, [tokens: number, sequences: number]>,
    cacheSequences: number,
  ) => {
    const engine = await startRealEngine(
      Object.entries(parts).map(([id, [tokens, sequences]]) =>
        resolvedConfig({ id, base: "giant", config: { context: { tokens, sequences } } }),
      ),
      { cacheSequences },
    );
    onTestFinished(() => engine.close());
    return engine;
  };

  it("ends no request that it took for lack of cells, but lets those wait for whom there are none", async () => {
    const engine = await start({ wide: [256, 2], narrow: [64, 8] }, 2);
    const most = { running: 0, used: 0, total: 0 };
    let hasWaited = false;
    engine.onStep(() => {
      const { running, waiting, cells } = engine.stats;
      most.running = Math.max(most.running, running);
      most.used = Math.max(most.used, cells["giant"]!.used);
      most.total = cells["giant"]!.total;
      // Sequences are free, and cells are not.
      if (waiting > 0 && running < 8) hasWaited = true;
    });
    const ask = (configId: string, index: number) =>
      answer(engine, textRequest(configId, `${index} times`, { maxTokens: null, logitBias: noEnd }));
    const answers = await Promise.all(
      ["wide", "narrow", "narrow", "wide", "narrow", "wide", "narrow", "narrow", "narrow"].map(ask),
    );
    for (const { done } of answers) {
      expect(done.finishReason).toBe("length");
      expect([64, 256]).toContain(done.usage.promptTokens + done.usage.completionTokens);
    }
    expect(most.total).toBe(512);
    expect(most.used).toBeLessThanOrEqual(most.total);
    expect(hasWaited).toBe(true);
  }, 150_000);

  it("serves one key's single request before another's many", async () => {
    const engine = await start({ giant: [128, 2] }, 0);
    const ended: string[] = [];
    const ask = async (party: string, index: number) => {
      await answer(
        engine,
        textRequest("giant", `${index} times`, { party, maxTokens: 20, logitBias: noEnd }),
      );
      ended.push(party);
    };
    const many = Array.from({ length: 12 }, (_, index) => ask("many", index));
    await Promise.all([...many, ask("single", 0)]);
    // Two ran before it could, and one may end beside it in the same step.
    expect(ended.indexOf("single")).toBeLessThanOrEqual(3);
  });

  it("forgets the prefix that was used longest ago", async () => {
    const engine = await start({ giant: [256, 2] }, 2);
    const cachedOf = async (word: string) => {
      const { done } = await answer(engine, textRequest("giant", `${word} `.repeat(20), { maxTokens: 2 }));
      return done.usage.cachedTokens / done.usage.promptTokens;
    };
    for (const word of ["alpha", "beta"]) expect(await cachedOf(word)).toBeLessThan(0.2);
    expect(await cachedOf("alpha")).toBeGreaterThan(0.9);
    // Takes the place of the second.
    expect(await cachedOf("gamma")).toBeLessThan(0.2);
    expect(await cachedOf("alpha")).toBeGreaterThan(0.9);
    expect(await cachedOf("beta")).toBeLessThan(0.2);
  });
});
