import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import { DecodePlanner } from "../../../src/engine/decode-plan.js";
import { keepTimings, readTimings } from "../../../src/engine/kept-timings.js";
import type { KnownTimings } from "../../../src/protocol/timings.js";
import type { DecodePlan } from "../../../src/protocol/protocol.js";
import { FakeContext, fakeModel, peak } from "../../support/fake-models.js";
import { temporaryDirectory } from "../../support/temporary-directory.js";

const directory = temporaryDirectory();
const log = { debug: vi.fn<(...fields: unknown[]) => void>() };
const key = "0123456789abcdef";

/** Decodes that take a time of the fake clock. */
class SlowContext extends FakeContext {
  threads: readonly number[] = [];
  stepMs = 400;
  isBusy = false;

  override setThreads(single = 0, batch = 0): void {
    if (this.isBusy) throw new Error("used while it decodes");
    this.threads = [single, batch];
  }

  override async decode(): Promise<void> {
    this.isBusy = true;
    // One thread more or less makes little difference.
    await new Promise((resolve) => setTimeout(resolve, this.stepMs + (this.threads[0] as number)));
    this.isBusy = false;
    await super.decode();
  }
}

function plannerOf(inherited: KnownTimings | null = null) {
  const context = new SlowContext(() => peak(1), 4096, 512);
  const plans: DecodePlan[] = [];
  const known: KnownTimings[] = [];
  const planner = new DecodePlanner({
    slots: [
      {
        id: "giant",
        model: fakeModel("giant"),
        adapter: null,
        remote: null,
        context,
        hasWindow: false,
        canTakeBack: true,
      },
    ],
    tuning: { numSequences: 8, numCores: 8, fixedThreads: null },
    key,
    inherited,
    onPlan: (plan, timings) => {
      plans.push(plan);
      known.push(timings);
    },
    log,
  });
  const choose = async () => {
    const choosing = planner.choose();
    await vi.runAllTimersAsync();
    return choosing;
  };
  return { planner, choose, context, plans, known };
}

const earlier = (changes: Partial<KnownTimings> = {}): KnownTimings => ({
  key,
  isSettled: true,
  date: new Date().toISOString(),
  timings: {
    mode: "in-turn",
    threads: { giant: 3 },
    stepMs: 1,
    batch: { mode: "in-turn", threads: { giant: 5 }, stepMs: 2 },
    promptTokenMs: 0.1,
  },
  curves: { giant: [{ tokens: 1, rows: 1, ms: 5 }] },
  ...changes,
});

const weeksAgo = new Date(Date.now() - 30 * 24 * 3_600_000).toISOString();

beforeEach(() => {
  vi.stubEnv("SHOULDERS_CACHE_DIR", directory.file(`cache-${Math.random()}`));
  vi.useFakeTimers({ toFake: ["performance", "setTimeout"] });
});

afterEach(() => {
  vi.useRealTimers();
  vi.unstubAllEnvs();
});

describe("the plan of decoding", () => {
  it("is measured where nothing is known, and kept", async () => {
    const { choose, context, plans } = plannerOf();
    const { decoding, mayImprove } = await choose();
    expect(decoding).toMatchObject({ source: "measured", areThreadsSet: false });
    expect(plans).toEqual([decoding]);
    expect(mayImprove).toBe(true);
    expect(context.threads).toEqual([decoding.threads["giant"], decoding.batch.threads["giant"]]);
    expect(readTimings(key, log)).toMatchObject({ isSettled: false, timings: { stepMs: decoding.stepMs } });
  });

  it("is taken from the cache with one step to warm up", async () => {
    keepTimings(earlier(), log);
    const { choose, context } = plannerOf();
    expect(await choose()).toMatchObject({
      decoding: { source: "cache", threads: { giant: 3 } },
      mayImprove: false,
    });
    expect(context.batchSizes).toHaveLength(1);
    expect(context.threads).toEqual([3, 5]);
    expect(context.cells.size).toBe(0);
  });

  it("is inherited by an engine that takes the place of another, even where nothing can be kept", async () => {
    const { choose, context } = plannerOf(earlier({ isSettled: false }));
    // What killed the other may have been a way that was tried.
    expect(await choose()).toMatchObject({ decoding: { source: "cache" }, mayImprove: false });
    expect(context.batchSizes).toHaveLength(1);
  });

  it("is not inherited from an engine with something else", async () => {
    const { choose } = plannerOf(earlier({ key: "another" }));
    expect((await choose()).decoding.source).toBe("measured");
  });

  it.each([
    ["timed in haste", earlier({ isSettled: false })],
    ["old", earlier({ date: weeksAgo })],
  ])("is used and timed again while nobody waits when it is %s", async (_, known) => {
    keepTimings(known, log);
    const { choose, planner, plans } = plannerOf();
    expect(await choose()).toMatchObject({ decoding: { source: "cache" }, mayImprove: true });
    planner.improve();
    await vi.runAllTimersAsync();
    expect(plans.map(({ source }) => source)).toEqual(["cache", "measured"]);
    expect(readTimings(key, log)).toMatchObject({
      isSettled: true,
      timings: plans[1] && { stepMs: plans[1].stepMs },
    });
  });

  it("is improved until a request comes, which waits for one step at most", async () => {
    const { choose, planner, context, plans, known } = plannerOf();
    await choose();
    const numDecodes = context.batchSizes.length;
    planner.improve();
    await vi.advanceTimersByTimeAsync(2.5 * context.stepMs);
    const askedMs = performance.now();
    const stopping = planner.stop();
    await vi.runAllTimersAsync();
    await stopping;
    expect(performance.now() - askedMs).toBeLessThanOrEqual(context.stepMs + 8);
    expect(context.batchSizes.length - numDecodes).toBe(3);
    // What was found out by then counts, and contexts are as the plan says.
    expect(plans).toHaveLength(2);
    expect(context.threads).toEqual([plans[1]?.threads["giant"], plans[1]?.batch.threads["giant"]]);
    expect(known[1]?.isSettled).toBe(false);
    expect(context.cells.size).toBe(0);
  });

  it("stays what it was when a request comes before old timings were taken again", async () => {
    keepTimings(earlier({ date: weeksAgo }), log);
    const { choose, planner, context, plans } = plannerOf();
    await choose();
    planner.improve();
    await vi.advanceTimersByTimeAsync(2.5 * context.stepMs);
    const stopping = planner.stop();
    await vi.runAllTimersAsync();
    await stopping;
    expect(plans).toHaveLength(1);
    expect(context.threads).toEqual([3, 5]);
    expect(readTimings(key, log)?.date).toBe(weeksAgo);
  });

  it("outlives a decode that fails while nobody waits", async () => {
    keepTimings(earlier({ date: weeksAgo }), log);
    const { choose, planner, context } = plannerOf();
    await choose();
    context.decode = () => Promise.reject(new Error("the device is gone"));
    planner.improve();
    await planner.stop();
    expect(context.threads).toEqual([3, 5]);
  });

  it("fails a start whose models cannot decode", async () => {
    keepTimings(earlier(), log);
    const { planner, context } = plannerOf();
    context.decode = () => Promise.reject(new Error("the device is gone"));
    await expect(planner.choose()).rejects.toThrow("the device is gone");
  });
});
