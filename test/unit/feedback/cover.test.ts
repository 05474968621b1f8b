import { readFileSync } from "node:fs";
import path from "node:path";
import { describe, expect, it } from "vitest";
import { createRandom } from "../../../src/evaluation/random.js";
import { advantageOf, coverOf, type Scored } from "../../../src/feedback/cover.js";
import type { Report } from "../../../src/evaluation/report.js";
import { root } from "../../../scripts/generated-docs.js";

const scored = (id: string, ...scores: number[]): Scored => ({ id, scores });

describe("an advantage over a set", () => {
  it("is that of the best mixture of tasks, not of the best task", () => {
    const set = [scored("a", 1, 0), scored("b", 0, 1)];
    // Beats each of them at an even mixture by 0.1, and neither on its own task.
    const between = advantageOf(scored("c", 0.6, 0.6), set);
    expect(between.value).toBeCloseTo(0.1, 12);
    between.mixture.forEach((share) => expect(share).toBeCloseTo(0.5, 12));
    expect(advantageOf(scored("d", 0.4, 0.4), set).value).toBeCloseTo(-0.1, 12);
    expect(advantageOf(scored("e", 1, 0), set).value).toBeCloseTo(0, 12);
  });

  it("is what a fine grid over mixtures finds", () => {
    const random = createRandom(7);
    for (let round = 0; round < 30; round++) {
      const draw = (id: string) => scored(id, random(), random(), random());
      const [policy, set] = [draw("x"), [draw("a"), draw("b"), draw("c")]];
      const { value, mixture } = advantageOf(policy, set);
      const at = (w: readonly number[]) =>
        Math.min(
          ...set.map((other) =>
            w.reduce((sum, share, t) => sum + share * (policy.scores[t]! - other.scores[t]!), 0),
          ),
        );
      let best = -Infinity;
      for (let i = 0; i <= 100; i++)
        for (let j = 0; j <= 100 - i; j++) best = Math.max(best, at([i / 100, j / 100, (100 - i - j) / 100]));
      expect(value).toBeGreaterThanOrEqual(best - 1e-9);
      expect(value).toBeLessThan(best + 0.03);
      expect(mixture.reduce((sum, share) => sum + share, 0)).toBeCloseTo(1, 9);
      expect(at(mixture)).toBeCloseTo(value, 9);
    }
  });
});

describe("a cover", () => {
  const policies = [
    scored("a", 1, 0, 0),
    scored("b", 0, 1, 0),
    scored("c", 0.6, 0.6, 0),
    scored("d", 0, 0, 0.2),
  ];

  it("without a tolerance has the best policy of every task", () => {
    const ids = coverOf(policies, 0).taken.map(({ id }) => id);
    expect(ids).toEqual(expect.arrayContaining(["a", "b", "d"]));
  });

  it("is not beaten by more than its tolerance anywhere, and its gaps fall", () => {
    for (const delta of [0.05, 0.2, 0.5]) {
      const { taken, left } = coverOf(policies, delta);
      for (const { advantage } of left) expect(advantage.value).toBeLessThanOrEqual(delta + 1e-9);
      const gaps = taken.map(({ gap }) => gap);
      expect(gaps).toEqual([...gaps].sort((a, b) => b - a));
    }
  });

  it("does not change by a copy of one of them", () => {
    const ids = coverOf(policies, 0.1).taken.map(({ id }) => id);
    const copied = coverOf([...policies, scored("copy", 1, 0, 0)], 0.1);
    expect(copied.taken.map(({ id }) => id)).toEqual(ids);
  });
});

it("of the shipped report's methods a few cover all", () => {
  const { tasks } = JSON.parse(readFileSync(path.join(root, "models/report.json"), "utf8")) as Report;
  const names = ["recall", "problems", "headline", "choice"];
  const methods = Object.keys(tasks["recall"]!).filter((method) =>
    names.every((task) => typeof tasks[task]?.[method]?.score === "number"),
  );
  const policies = methods.map((id) => ({ id, scores: names.map((task) => tasks[task]![id]!.score!) }));
  const { taken } = coverOf(policies, 0.02);
  expect(taken.length).toBeLessThanOrEqual(6);
  expect(taken.at(-1)!.gap).toBeLessThanOrEqual(0.02);
});
