import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import { calibrate } from "../../../src/engine/calibrate.js";
import type { ModelSlot } from "../../../src/engine/loaded-models.js";
import { peak, FakeContext, fakeModel } from "../../support/fake-models.js";

/** ms of a decode with so many threads and tokens, at a time in ms. */
type Cost = (threads: number, numTokens: number, nowMs: number) => number;

/** A context whose decodes take a time of the fake clock. */
class TimedContext extends FakeContext {
  readonly #cost: Cost;
  chosen: readonly number[] = [];

  constructor(cost: Cost) {
    super(() => peak(1), 4096, 512);
    this.#cost = cost;
  }

  override setThreads(single = 1, batch = 1): void {
    this.chosen = [single, batch];
  }

  override async decode(): Promise<void> {
    const ms = this.#cost(this.chosen[0]!, this.batch.numTokens, performance.now());
    await new Promise((resolve) => setTimeout(resolve, ms));
    await super.decode();
  }
}

const slotOf = (id: string, cost: Cost): ModelSlot & { context: TimedContext } => ({
  id,
  model: { ...fakeModel(id), sizeBytes: id === "giant" ? 100 : 1 },
  context: new TimedContext(cost),
});

async function choose(costs: Record<string, Cost>, numCores: number, fixed: number | null = null) {
  const slots = Object.entries(costs).map(([id, cost]) => slotOf(id, cost));
  const startMs = performance.now();
  const running = calibrate(slots, 8, numCores, fixed);
  await vi.runAllTimersAsync();
  const plan = await running;
  return { plan, slots, elapsedMs: performance.now() - startMs };
}

beforeEach(() => {
  vi.useFakeTimers({ toFake: ["performance", "setTimeout"] });
});

afterEach(() => {
  vi.useRealTimers();
});

describe("the choice of threads", () => {
  // A single token waits for memory; a batch is as fast as there are threads.
  const usual: Cost = (threads, numTokens) => (numTokens === 1 ? 20 + threads : (10 * numTokens) / threads);

  it("is made apart for steps of one token and for batches", async () => {
    const { plan, slots } = await choose({ giant: usual, dwarf: () => 5 }, 4);
    expect(plan).toMatchObject({ mode: "together", threads: { giant: 1 }, stepMs: 21, isMeasured: true });
    expect(plan.batch).toMatchObject({ threads: { giant: 4 }, stepMs: 20 });
    expect(slots[0]!.context.chosen).toEqual([1, 4]);
    // 32 tokens of a prompt, in the way of batches.
    expect(plan.promptTokenMs).toBeCloseTo(80 / 32, 6);
  });

  it("takes turns where models at the same time are in each other's way", async () => {
    let numRunning = 0;
    const crowded = (id: string) => {
      const slot = slotOf(id, () => 10);
      const { context } = slot;
      const alone = context.decode.bind(context);
      context.decode = async () => {
        numRunning++;
        if (numRunning > 1) await new Promise((resolve) => setTimeout(resolve, 100));
        await alone();
        numRunning--;
      };
      return slot;
    };
    const running = calibrate([crowded("giant"), crowded("dwarf")], 1, 1, null);
    await vi.runAllTimersAsync();
    expect(await running).toMatchObject({ mode: "in-turn", stepMs: 20 });
  });

  it("is not misled by a machine that does something else for a while", async () => {
    // What is tried first at the start would look eight times as slow as it is.
    const startMs = performance.now();
    const disturbed: Cost = (threads, numTokens, nowMs) =>
      usual(threads, numTokens, nowMs) * (nowMs - startMs < 1_000 ? 8 : 1);
    const { plan } = await choose({ giant: disturbed }, 4);
    expect(plan.threads).toMatchObject({ giant: 1 });
    expect(plan.batch.threads).toMatchObject({ giant: 4 });
  });

  it("does not go on for ever with slow models, and still compares every way once", async () => {
    const slow: Cost = (threads, numTokens) => (400 * Math.sqrt(numTokens)) / threads;
    const { plan, elapsedMs } = await choose({ giant: slow }, 8);
    expect(plan.threads).toEqual({ giant: 8 });
    expect(elapsedMs).toBeLessThan(40_000);
  });

  it("leaves a number that was set", async () => {
    const { plan } = await choose({ giant: usual, dwarf: usual }, 4, 2);
    expect(plan).toMatchObject({ threads: { giant: 2, dwarf: 2 }, isMeasured: false });
    expect(plan.batch.threads).toEqual({ giant: 2, dwarf: 2 });
  });
});
