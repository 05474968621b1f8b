import { describe, expect, it } from "vitest";
import { AnswerBudget } from "../../../src/api/completion/answer-budget.js";
import { describeEngine } from "../../support/fake-engine.js";

const [both, giant] = describeEngine().configs as [
  ReturnType<typeof describeEngine>["configs"][number],
  ReturnType<typeof describeEngine>["configs"][number],
];

type Asked = ConstructorParameters<typeof AnswerBudget>[0];
const asking = ({ trace, topLogprobs }: { trace: Asked["reports"]; topLogprobs: number | null }): Asked => ({
  reports: trace,
  request: { topLogprobs },
  fieldName: (param) => param,
});

describe("AnswerBudget", () => {
  const full = { trace: "full", topLogprobs: null } as const;

  it("counts what comes, and says what to do when it is too much", () => {
    const budget = new AnswerBudget(asking(full), both);
    let numTokens = 0;
    const takeAll = () => {
      for (; numTokens < 1e6; numTokens += 100) budget.take(100);
    };
    expect(takeAll).toThrow(
      /stream it, or ask for fewer choices or tokens, fewer logprobs, or less in fusion.trace/,
    );
    expect(numTokens).toBeGreaterThan(1000);
  });

  it("has more room the less is told of each token", () => {
    const mostOf = (budget: AnswerBudget) => {
      let most = 0;
      for (let step = 2 ** 22; step >= 1; step /= 2)
        try {
          budget.check(most + step);
          most += step;
        } catch {
          // Too many.
        }
      return most;
    };
    const asked = [
      [full, both],
      [full, giant],
      [{ trace: "weights", topLogprobs: 20 }, both],
      [{ trace: "weights", topLogprobs: null }, both],
      [{ trace: "off", topLogprobs: 0 }, both],
      [{ trace: "off", topLogprobs: null }, giant],
    ] as const;
    const rooms = asked.map(([request, config]) => mostOf(new AnswerBudget(asking(request), config)));
    expect(rooms).toEqual([...rooms].sort((a, b) => a - b));
    expect(new Set(rooms).size).toBe(rooms.length);
  });
});
