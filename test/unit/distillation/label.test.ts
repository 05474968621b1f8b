import { describe, expect, it } from "vitest";
import { refuseTested } from "../../../src/distillation/distill.js";
import { labelTokenOf, surest, tailOf } from "../../../src/distillation/label.js";
import type { Item } from "../../../src/evaluation/tasks/task.js";
import { tokenOf } from "../../support/fake-engine.js";

const massOf = (top: readonly (readonly [number, number])[], tail: number) =>
  top.reduce((sum, [, logprob]) => sum + Math.exp(logprob), 0) + Math.exp(tail);

describe("a token of a label", () => {
  it("has a tail that makes the top entries a distribution", () => {
    const top: [number, number][] = [
      [3, Math.log(0.5)],
      [7, Math.log(0.2)],
    ];
    expect(Math.exp(tailOf(top))).toBeCloseTo(0.3, 12);
    expect(massOf(top, tailOf(top))).toBeCloseTo(1, 12);
  });

  it("has none where the top is all there is, however it is rounded", () => {
    expect(tailOf([[1, 0]])).toBe(-9999);
    expect(
      tailOf([
        [1, -0.693147],
        [2, -0.693148],
      ]),
    ).toBe(-9999);
  });

  it("leaves out what has no probability", () => {
    const bytes = new Uint8Array();
    const alternatives = [-0.1, -9999].map((logprob, id) => ({ id, text: "x", logprob, bytes }));
    const token = labelTokenOf({ ...tokenOf("x"), topLogprobs: alternatives });
    expect(token).toMatchObject({
      id: 100,
      top: [[0, -0.1]],
      weights: { trivia: 0.5, sums: 0 },
      vouch: "expert",
    });
    expect(massOf(token.top, token.tail)).toBeCloseTo(1, 6);
  });
});

describe("the surest", () => {
  const labels = [0.2, 0.9, 0.5, 0.7].map((trust) => ({ trust, logprob: Math.log(trust) }));

  it("are a share of all, in their order", () => {
    expect(surest(labels, 0.5).map(({ trust }) => trust)).toEqual([0.9, 0.7]);
    expect(surest(labels, 1)).toEqual(labels);
    expect(surest([], 0.5)).toEqual([]);
  });

  it("are told apart by their logarithms where all are too small", () => {
    const long = [-900, -800, -1000].map((logprob) => ({ trust: 0, logprob }));
    expect(surest(long, 0.3)).toEqual([{ trust: 0, logprob: -800 }]);
  });
});

describe("prompts that are tested on", () => {
  const asked = (content: string): Item => ({
    ...{ answers: [], choices: [], scorer: "none", stop: [], maxTokens: 8, target: "" },
    prompt: { type: "chat", messages: [{ role: "user", content }] },
  });

  it("are refused, however they are written", () => {
    const items = [asked("Who is it?"), asked("Where is it?")];
    expect(() => refuseTested(items, [{ file: "t.jsonl", items: [asked("What?")] }])).not.toThrow();
    expect(() => refuseTested(items, [{ file: "t.jsonl", items: [asked("where  IS it")] }])).toThrow(
      /^1 of the prompts are in t\.jsonl, the first is prompt 2: /,
    );
  });
});
