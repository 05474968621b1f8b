import { afterEach, beforeEach, expect, it, vi } from "vitest";
import { Watch } from "../../../src/engine/watch.js";

let stalled: number[];
let watch: Watch;

beforeEach(() => {
  vi.useFakeTimers();
  stalled = [];
  watch = new Watch({ ask: () => undefined, onStalled: (timeoutMs) => stalled.push(timeoutMs) });
  watch.start(8_000);
});
afterEach(() => {
  watch.stop();
  vi.useRealTimers();
});

it("tells when a step takes longer than any may", () => {
  vi.advanceTimersByTime(8_000);
  expect(stalled).toEqual([]);
  vi.advanceTimersByTime(1_000);
  expect(stalled).toEqual([8_000]);
});

it("gives a step five times as long as the longest before it: they grow with the context", () => {
  watch.stepTook(6_000);
  watch.stepTook(10);
  vi.advanceTimersByTime(30_000);
  expect(stalled).toEqual([]);
  vi.advanceTimersByTime(1_000);
  expect(stalled).toEqual([30_000]);
});

it("forgets what steps of an engine took that has ended", () => {
  watch.stepTook(60_000);
  watch.start(8_000);
  vi.advanceTimersByTime(9_000);
  expect(stalled).toEqual([8_000]);
});

it("counts anew from each sign of life", () => {
  for (let time = 0; time < 5; time++) {
    vi.advanceTimersByTime(7_000);
    watch.gotOn();
    vi.advanceTimersByTime(7_000);
    watch.ponged(null);
  }
  expect(stalled).toEqual([]);
});
