import { describe, expect, it } from "vitest";
import type { EngineLimits } from "../../../src/engine/engine.js";
import { ShouldersError } from "../../../src/errors.js";
import { dream, fakeRequest, type FakeModelsOptions } from "../../support/fake-models.js";
import { doneOf, type Outcome, start, tokensOf } from "../../support/scripted-engine.js";

describe("the prefix cache", () => {
  const options: FakeModelsOptions & { limits: Partial<EngineLimits> } = {
    base: dream(1),
    reference: dream(2),
    experts: [dream(3)],
    config: { context: { tokens: 64, sequences: 2 } },
    limits: { cacheSequences: 2 },
  };
  const ask = (id: string, text: string, owner = "tester") =>
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
