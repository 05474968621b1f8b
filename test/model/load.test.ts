import { afterAll, beforeAll, describe, expect, it } from "vitest";
import type { Engine, GenerationEvent, GenerationRequest } from "../../src/engine/protocol.js";
import { answer, questions, resolvedConfig, startRealEngine, textRequest } from "../support/real-engine.js";
import { expectSameButTies } from "../support/ties.js";

const family = { base: "giant", reference: "dwarf" };
const configs = [
  resolvedConfig({ id: "giant", base: "giant" }),
  resolvedConfig({ id: "trivia", ...family, experts: { trivia: "dwarf-trivia" } }),
  resolvedConfig({ id: "sums", ...family, experts: { sums: "dwarf-sums" } }),
];

/** A small generator of our own, so that a failing run can be repeated from its seed. */
function randomFrom(seed: number): () => number {
  let state = seed;
  return () => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    return state / 2 ** 32;
  };
}

async function until(condition: () => boolean): Promise<void> {
  while (!condition()) await new Promise((resolve) => setTimeout(resolve, 5));
}

describe("the engine under load", () => {
  let engine: Engine;

  beforeAll(async () => {
    engine = await startRealEngine(configs, { cacheSequences: 4 });
  });

  afterAll(async () => engine.close());

  /** Reads so many events and leaves; true when the request was still going on. */
  async function leaveAfter(request: GenerationRequest, numEvents: number): Promise<void> {
    let seen = 0;
    for await (const event of engine.generate(request, new AbortController().signal))
      if (event.type === "done" || ++seen > numEvents) return;
  }

  it("500 cancels, bad requests and joins change nobody else's tokens", async () => {
    const seed = 20240611;
    const random = randomFrom(seed);
    const pick = <T>(values: readonly T[]): T => values[Math.floor(random() * values.length)]!;
    const texts = [...questions("recall").slice(0, 40), ...questions("sums").slice(0, 40)].map(
      ({ prompt }) => prompt,
    );
    const survivors = Array.from({ length: 16 }, (_, index) =>
      textRequest(pick(["giant", "trivia", "sums"]), texts[index * 5]!, { maxTokens: 60, topLogprobs: 2 }),
    );
    const disturbances = Array.from({ length: 500 }, async () => {
      const kind = random();
      if (kind < 0.6)
        await leaveAfter(textRequest(pick(["giant", "trivia", "sums"]), pick(texts)), random() * 12);
      else if (kind < 0.8) {
        const controller = new AbortController();
        const events = engine.generate(textRequest("trivia", pick(texts)), controller.signal);
        setImmediate(() => controller.abort());
        for await (const event of events) if (event.type === "done") break;
      } else {
        const bad = textRequest("giant", "x", { prompt: { type: "tokens", tokens: [5, 1_000_000] } });
        await expect(answer(engine, bad)).rejects.toMatchObject({ code: "invalid_request" });
      }
    });
    const together = await Promise.all(survivors.map((request) => answer(engine, request)));
    await Promise.all(disturbances);
    await until(() => engine.stats.running + engine.stats.waiting === 0);
    let numEqual = 0;
    for (const [index, request] of survivors.entries()) {
      const alone = await answer(engine, {
        ...request,
        requestId: `alone-${index}`,
        owner: `fresh-${index}`,
      });
      if (expectSameButTies(alone, together[index]!, `seed ${seed}, request ${index}`)) numEqual++;
    }
    expect(numEqual).toBeGreaterThanOrEqual(14);
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

  it("a reader that does not read pauses its own sequence and nobody else's", async () => {
    const slow = engine.generate(
      textRequest("giant", "The", { maxTokens: 400 }),
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
    let numTokens = 0;
    for (;;) {
      const { value } = await events.next();
      if (value === undefined) break;
      if (value.type === "delta") numTokens += value.tokens.length;
    }
    expect(numTokens).toBe(400);
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
