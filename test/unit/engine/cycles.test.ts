import fc from "fast-check";
import { afterEach, describe, expect, it, vi } from "vitest";
import { BatchCosts } from "../../../src/engine/batch-costs.js";
import { Stepper } from "../../../src/engine/stepper.js";
import { ShouldersError } from "../../../src/errors.js";
import type { GenerationRequest } from "../../../src/protocol/protocol.js";
import type { StrategyConfig } from "../../../src/strategies/registry.js";
import { dream, fakeRequest, type FakeModelsOptions, greedy, partlySure } from "../../support/fake-models.js";
import { numRuns } from "../../support/num-runs.js";
import { doneOf, type Outcome, start, tokensOf } from "../../support/scripted-engine.js";

/** What a cycle of scouting, guessing, verifying and taking back leaves behind, whatever happens in it. */

const set = { ratio: 0.1, of: "expert" } as const;
const strategies: Record<string, StrategyConfig> = {
  certain: { type: "dynamic", solver: "exact", plausibility: set },
  paper: { type: "dynamic", solver: "exact", plausibility: null },
  mixture: {
    type: "mixture",
    prior: "uniform",
    components: { e0: { kind: "fused", weight: 1, plausibility: set } },
    floor: 0.01,
  },
};

/** An expert that is mostly right where it only guesses, so that guesses of every length are taken and taken back. */
const models = (name: string): FakeModelsOptions => ({
  ...{ base: dream(1), reference: dream(2), experts: [partlySure(name === "paper" ? 1 : 3, 6)] },
  ...{ strategy: strategies[name]!, batchTokens: 24 },
});

/** A token more costs so much of the first. */
const batchesCost = (slope: number) =>
  vi.spyOn(BatchCosts.prototype, "of").mockImplementation((count) => 1 + slope * count);

const asked = (index: number, more: Partial<GenerationRequest> = {}) =>
  fakeRequest(`r${index}`, { prompt: { type: "text", text: `${index}:` }, maxTokens: 24, ...more });

const total = (outcomes: readonly Outcome[], key: "certain" | "drafted" | "accepted") =>
  outcomes.reduce((sum, outcome) => sum + doneOf(outcome).usage.fusion[key], 0);

afterEach(() => vi.restoreAllMocks());

describe("after every step", () => {
  it("each model holds an answer's own tokens as far as it has read them, and nothing is proposed", async () => {
    const step = Reflect.get(Stepper.prototype, "step");
    let numChecked = 0;
    const wrong: unknown[] = [];
    let [numCertain, numAccepted, numWrong] = [0, 0, 0];
    await fc.assert(
      fc.asyncProperty(
        fc.constantFrom(...Object.keys(strategies)),
        fc.integer({ min: 1, max: 6 }),
        fc.constantFrom(0.02, 0.2),
        fc.constantFrom(0, 1),
        async (name, numAnswers, slope, temperature) => {
          batchesCost(slope);
          const { run, models: loaded, untilIdle } = start(models(name));
          vi.spyOn(Stepper.prototype, "step").mockImplementation(async function (this: Stepper, running) {
            const outcome = await step.call(this, running);
            for (const { lease, allCursors, drafts } of running())
              for (const { model, tokens, numDecoded } of lease === null ? [] : allCursors) {
                numChecked++;
                const cells = loaded.contexts[model]!.cells.get(lease!.sequenceId) ?? [];
                const own = tokens.slice(0, numDecoded);
                if (drafts.length > 0 || cells.join() !== own.join())
                  wrong.push({ model, cells, own, drafts });
              }
            return outcome;
          });
          const idle = untilIdle();
          const outcomes = await Promise.all(
            Array.from({ length: numAnswers }, (_, index) =>
              run(asked(index, { sampling: { ...greedy, temperature } })),
            ),
          );
          await idle;
          for (const { cells } of loaded.contexts) expect([...cells.values()].flat()).toEqual([]);
          numCertain += total(outcomes, "certain");
          numAccepted += total(outcomes, "accepted");
          numWrong += total(outcomes, "drafted") - total(outcomes, "accepted");
        },
      ),
      { numRuns: numRuns(15) },
    );
    expect(wrong).toEqual([]);
    expect(numChecked).toBeGreaterThan(100);
    // All that a cycle can do was done.
    expect(Math.min(numCertain, numAccepted, numWrong)).toBeGreaterThan(0);
  });
});

describe("a decode that fails in the middle of a cycle", () => {
  it.each(
    Object.keys(strategies).flatMap((name) =>
      ["base", "reference", "expert"].map((model, context) => ({ name, model, context })),
    ),
  )("ends the answers that were in it, and no others ($name, the $model's)", async ({ name, context }) => {
    batchesCost(0.05);
    const ids = [0, 1, 2];
    const { run: runPlain } = start(models(name));
    const plain = await Promise.all(ids.map((index) => runPlain(asked(index, { speculation: "off" }))));
    let numFailed = 0;
    for (const number of [1, 2, 3, 5, 8, 12]) {
      const { run, models: loaded, untilIdle } = start(models(name));
      const faulty = loaded.contexts[context]!;
      const decode = faulty.decode.bind(faulty);
      let numDecodes = 0;
      faulty.decode = async () => {
        if (++numDecodes === number) faulty.failNext = new ShouldersError("decode_failed", "gone");
        await decode();
      };
      const idle = untilIdle();
      const outcomes = await Promise.all(ids.map((index) => run(asked(index))));
      await idle;
      for (const index of ids) {
        const [{ error }, whole] = [outcomes[index]!, tokensOf(plain[index]!)];
        numFailed += Number(error !== null);
        if (error !== null) expect(error.code).toBe("decode_failed");
        const tokens = tokensOf(outcomes[index]!);
        expect(tokens).toEqual(error === null ? whole : whole.slice(0, tokens.length));
      }
      for (const { cells } of loaded.contexts) expect([...cells.values()].flat()).toEqual([]);
      // Nothing is left that would spoil what comes next.
      expect(tokensOf(await run({ ...asked(1), requestId: "again" }))).toEqual(tokensOf(plain[1]!));
    }
    expect(numFailed).toBeGreaterThan(4);
  });
});

describe("sixty-four answers at once", () => {
  it.each(Object.keys(strategies))("are those that come one by one without guesses (%s)", async (name) => {
    batchesCost(0.05);
    const options = {
      ...{ ...models(name), batchTokens: 96, config: { context: { tokens: 64, sequences: 64 } } },
      limits: { maxWaiting: 128 },
    };
    const requests = Array.from({ length: 64 }, (_, index) =>
      asked(index, { seed: index, maxTokens: 12, sampling: { ...greedy, temperature: 1 } }),
    );
    const { run } = start(options);
    const together = await Promise.all(requests.map(run));
    const { run: runPlain } = start(options);
    for (const [index, request] of requests.entries()) {
      const plain = await runPlain({ ...request, speculation: "off" });
      expect(tokensOf(together[index]!), `answer ${index}`).toEqual(tokensOf(plain));
    }
    expect(total(together, name === "certain" ? "certain" : "accepted")).toBeGreaterThan(0);
  });
});
