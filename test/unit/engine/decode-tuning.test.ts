import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import { ShouldersError } from "../../../src/errors.js";
import { applyThreads, DecodeTuning } from "../../../src/engine/decode-tuning.js";
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
  adapter: null,
  remote: null,
  hasWindow: false,
  canTakeBack: true,
  model: { ...fakeModel(id), sizeBytes: id === "giant" ? 4e9 : 1e8 },
  context: new TimedContext(cost),
});

async function choose(costs: Record<string, Cost>, numCores: number, fixedThreads: number | null = null) {
  const slots = Object.entries(costs).map(([id, cost]) => slotOf(id, cost));
  const tuning = new DecodeTuning(slots, { numSequences: 8, numCores, fixedThreads });
  const startMs = performance.now();
  const finish = async (running: Promise<void>) => {
    await vi.runAllTimersAsync();
    await running;
    return performance.now() - startMs;
  };
  const startedMs = await finish(tuning.start());
  const atStart = tuning.timings;
  const settledMs = await finish(tuning.refine(() => false));
  return { plan: tuning.timings, atStart, tuning, slots, startedMs, settledMs };
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
    expect(plan).toMatchObject({ mode: "together", threads: { giant: 1 }, stepMs: 21 });
    expect(plan.batch).toMatchObject({ threads: { giant: 4 }, stepMs: 20 });
    applyThreads(slots, plan);
    expect(slots[0]!.context.chosen).toEqual([1, 4]);
    // 32 tokens of a prompt, in the way of batches.
    expect(plan.promptTokenMs).toBeCloseTo(80 / 32, 6);
  });

  it("gives each model its own, where they take turns", async () => {
    let numRunning = 0;
    const apart: (cost: Cost) => Cost = (cost) => (threads, numTokens, nowMs) =>
      (numRunning > 1 ? 1000 : 1) * cost(threads, numTokens, nowMs);
    // Small models wait for their threads longer than these help.
    const dwarf: Cost = (threads) => 2 * threads;
    const costs = { giant: apart((threads) => 80 / threads), dwarf: apart(dwarf), other: apart(dwarf) };
    const slots = Object.entries(costs).map(([id, cost]) => slotOf(id, cost));
    for (const { context } of slots) {
      const decode = context.decode.bind(context);
      context.decode = async () => {
        numRunning++;
        await decode();
        numRunning--;
      };
    }
    const tuning = new DecodeTuning(slots, { numSequences: 8, numCores: 2, fixedThreads: null });
    const running = tuning.start().then(() => tuning.refine(() => false));
    await vi.runAllTimersAsync();
    await running;
    const way = { mode: "in-turn", threads: { giant: 2, dwarf: 1, other: 1 }, stepMs: 44 };
    expect(tuning.timings).toMatchObject({ ...way, batch: way });
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
    const slots = [crowded("giant"), crowded("dwarf")];
    const tuning = new DecodeTuning(slots, { numSequences: 1, numCores: 1, fixedThreads: null });
    const running = tuning.start();
    await vi.runAllTimersAsync();
    await running;
    expect(tuning.timings).toMatchObject({ mode: "in-turn", stepMs: 20 });
  });

  it("is not misled for good by a machine that does something else for a while", async () => {
    // What is tried first would look eight times as slow as it is.
    const startMs = performance.now();
    const disturbed: Cost = (threads, numTokens, nowMs) =>
      usual(threads, numTokens, nowMs) * (nowMs - startMs < 300 ? 8 : 1);
    const { plan } = await choose({ giant: disturbed }, 4);
    expect(plan.threads).toMatchObject({ giant: 1 });
    expect(plan.batch.threads).toMatchObject({ giant: 4 });
  });

  it("does not hold a start up for long with slow models, and does not go on for ever", async () => {
    const slow: Cost = (threads, numTokens) => (400 * Math.sqrt(numTokens)) / threads;
    const { atStart, plan, startedMs, settledMs, tuning } = await choose({ giant: slow }, 8);
    expect(atStart.threads).toEqual({ giant: 8 });
    expect(startedMs).toBeLessThan(4_000);
    expect(plan.batch.threads).toEqual({ giant: 8 });
    expect(settledMs).toBeLessThan(40_000);
    expect(tuning.isSettled).toBe(true);
  });

  it("finds the few threads that are best although each step is long", async () => {
    // Threads in each other's way: with 16 a step takes 16 times as long as with one.
    const contended: Cost = (threads) => 20 * threads;
    const { plan } = await choose({ giant: contended, dwarf: () => 1 }, 16);
    expect(plan.threads).toEqual({ giant: 1, dwarf: 1 });
  });

  it("spends no more than one long step on small models whose threads are in each other's way", async () => {
    const contended: Cost = (threads) => (threads === 1 ? 3 : 2_000 * threads);
    const { atStart, startedMs } = await choose({ dwarf: contended, other: contended }, 8);
    expect(atStart.threads).toEqual({ dwarf: 1, other: 1 });
    expect(atStart.batch.threads).toEqual({ dwarf: 1, other: 1 });
    // One of each kind of step.
    expect(startedMs).toBeLessThan(2 * 4_100);
  });

  it("stops before the next step when it is told to, and knows what it has found by then", async () => {
    const slots = [slotOf("giant", (threads) => 100 - threads)];
    const tuning = new DecodeTuning(slots, { numSequences: 8, numCores: 4, fixedThreads: null });
    const starting = tuning.start();
    await vi.runAllTimersAsync();
    await starting;
    const numDecodes = slots[0]!.context.batchSizes.length;
    let isOver = false;
    const refining = tuning.refine(() => isOver);
    isOver = true;
    await vi.runAllTimersAsync();
    await refining;
    expect(slots[0]!.context.batchSizes.length - numDecodes).toBe(1);
    expect(tuning.isSettled).toBe(false);
    expect(tuning.timings.threads).toEqual({ giant: 4 });
  });

  it("leaves a number that was set", async () => {
    const { plan } = await choose({ giant: usual, dwarf: usual }, 4, 2);
    expect(plan).toMatchObject({ threads: { giant: 2, dwarf: 2 } });
    expect(plan.batch.threads).toEqual({ giant: 2, dwarf: 2 });
  });

  it("leaves every context empty, also when a model fails", async () => {
    const slots = [slotOf("giant", () => 10), slotOf("dwarf", () => 1)];
    slots[1]!.context.failNext = new ShouldersError("decode_failed", "the device is gone");
    const tuning = new DecodeTuning(slots, { numSequences: 8, numCores: 1, fixedThreads: null });
    const starting = expect(tuning.start()).rejects.toThrow("the device is gone");
    await vi.runAllTimersAsync();
    await starting;
    expect(slots.map(({ context }) => context.cells.size)).toEqual([0, 0]);
  });
});
