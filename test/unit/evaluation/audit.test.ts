import fc from "fast-check";
import { describe, expect, it } from "vitest";
import type { Step } from "../../../src/evaluation/answerer.js";
import type { AnswerLine } from "../../../src/evaluation/answers-file.js";
import {
  baseSureness,
  type Conflict,
  conflictOf,
  vouchedOf,
} from "../../../src/evaluation/audit/conflict.js";
import { auditRows, renderAuditMarkdown, verdictOf } from "../../../src/evaluation/audit/markdown.js";
import { renderAuditHtml } from "../../../src/evaluation/audit/html.js";
import { auditMethods, ownSetting, withName } from "../../../src/evaluation/audit/methods.js";
import { buildAudit } from "../../../src/evaluation/audit/report.js";
import { componentSchema } from "../../../src/strategies/fields.js";
import { strategySchema } from "../../../src/strategies/registry.js";
import { answerLine } from "../../support/answer-line.js";

/** An item by what each was right about. */
interface Given {
  alone: boolean;
  with: boolean;
  expert: boolean;
  ceiling: boolean;
}

const methodsOf = (items: readonly Given[], ceiling = true): Map<string, AnswerLine[]> => {
  const lines = (of: (given: Given) => boolean) =>
    items.map((given, item) => answerLine({ item, score: of(given) ? 1 : 0 }));
  return new Map([
    ["alone", lines((given) => given.alone)],
    ["with b", lines((given) => given.with)],
    ["diluted", lines((given) => given.expert)],
    ["expert", lines((given) => given.expert)],
    ...(ceiling ? [["ceiling", lines((given) => given.ceiling)] as const] : []),
  ]);
};
const conflict = (items: readonly Given[]): Conflict => conflictOf("t", methodsOf(items), "with b", 1)!;
const many = (count: number, given: Given) => Array.from({ length: count }, () => given);
const right = { alone: true, with: true, expert: true, ceiling: true };

const anyItems = fc.array(
  fc.record({ alone: fc.boolean(), with: fc.boolean(), expert: fc.boolean(), ceiling: fc.boolean() }),
  { minLength: 1, maxLength: 60 },
);

describe("what an addition costs", () => {
  it("is counted by where the expert can check, and only of what is known", () => {
    const found = conflict([
      ...many(40, right),
      ...many(20, { ...right, expert: false }),
      ...many(2, { ...right, with: false }),
      ...many(8, { ...right, with: false, expert: false }),
      ...many(5, { ...right, with: false, ceiling: false }),
      ...many(3, { ...right, alone: false }),
    ]);
    expect(found.regions).toEqual({
      checked: { items: 45, right: 42, lost: 2, gained: 3 },
      unchecked: { items: 28, right: 28, lost: 8, gained: 0 },
      beyond: { items: 5, right: 5, lost: 5, gained: 0 },
    });
    expect(found.tax.value).toBeCloseTo((15 - 3) / 78, 12);
    expect(found.tax.low).toBeLessThan(found.tax.value);
    expect(found.share).toBeCloseTo(0.8, 12);
    expect(found.baseRate).toBeCloseTo(28 / 70, 12);
    expect(found.excess).toBeCloseTo(0.4, 12);
    // [[8, 2], [20, 40]], counted by whole binomial coefficients.
    expect(found.p).toBeCloseTo(0.011219267783234652, 9);
    expect(verdictOf(found)).toBe("lost where the expert cannot check");
    expect(found.changed).toHaveLength(18);
  });

  it("holds its sums, and loses only what was right without", () => {
    fc.assert(
      fc.property(anyItems, (items) => {
        const { regions, changed, tax, share, p, excess } = conflict(items);
        const all = Object.values(regions);
        const sumOf = (key: "items" | "right" | "lost" | "gained") =>
          all.reduce((sum, counts) => sum + counts[key], 0);
        expect(sumOf("items")).toBe(items.length);
        expect(sumOf("right")).toBe(items.filter(({ alone }) => alone).length);
        for (const { lost, right: could } of all) expect(lost).toBeLessThanOrEqual(could);
        for (const { kind, without } of changed) expect(without.score).toBe(kind === "lost" ? 1 : 0);
        expect(tax.value).toBeCloseTo((sumOf("lost") - sumOf("gained")) / items.length, 9);
        const lost = regions.checked.lost + regions.unchecked.lost;
        for (const undefinedWithout of [share, p, excess]) expect(undefinedWithout === null).toBe(lost === 0);
      }),
    );
  });

  it("has no share, not a share of 0, where nothing is lost", () => {
    const found = conflict(many(4, right));
    expect(found).toMatchObject({ share: null, excess: null, p: null, baseRate: 0, tax: { value: 0 } });
    expect(verdictOf(found)).toBe("nothing is lost");
    expect(auditRows({ conflicts: [found] })[0]!.slice(8)).toEqual(["", "0.00", "", "", "nothing is lost"]);
  });

  it("does not take a high share for an excess where the base rate is as high", () => {
    const rest = { ...right, expert: false };
    const found = conflict([
      ...many(76, rest),
      ...many(24, right),
      ...many(10, { ...rest, with: false }),
      ...many(2, { ...right, with: false }),
    ]);
    expect(found.share).toBeGreaterThan(0.8);
    expect(verdictOf(found)).toBe("no excess");
  });

  it("leaves out items that somebody failed on", () => {
    const methods = methodsOf(many(4, right));
    methods.get("expert")![1] = answerLine({
      item: 1,
      score: null,
      answer: null,
      error: { code: "x", message: "y" },
    });
    expect(conflictOf("t", methods, "with b", 1)!.items).toBe(3);
    expect(conflictOf("t", new Map(), "with b", 1)).toBeNull();
  });
});

const step = (parts: Partial<Step>): Step => ({
  text: "a",
  logprob: -0.1,
  base: null,
  logRatio: 0,
  vouch: "both",
  contested: null,
  ...parts,
});

describe("without a ceiling", () => {
  it("what the base is sure of, reading along, is assumed known", () => {
    // The token that ends the answer is not counted, however unlikely it is to the base.
    const sure = [step({ logprob: -0.1, logRatio: 0.2 }), step({ text: "</s>", logRatio: 20 })];
    const unsure = [step({ logprob: -0.1, logRatio: 2 })];
    expect(baseSureness(answerLine({ answer: "a", steps: sure }))).toBeCloseTo(Math.exp(-0.3), 12);
    expect(baseSureness(answerLine({ answer: "a", steps: [step({ logRatio: null })] }))).toBe(0);
    expect(baseSureness(answerLine({ answer: "a" }))).toBeNull();
    const methods = methodsOf(many(2, { ...right, expert: false, with: false }), false);
    methods.set("alone", [answerLine({ item: 0, steps: sure }), answerLine({ item: 1, steps: unsure })]);
    const { regions } = conflictOf("t", methods, "with b", 1)!;
    expect([regions.unchecked.lost, regions.beyond.lost]).toEqual([1, 1]);
  });
});

describe("who stands behind the tokens", () => {
  const contested = { by: "a", says: "x", against: "b" };
  const lines = [
    answerLine({ item: 0, score: 1, steps: [step({}), step({ vouch: "expert" })] }),
    answerLine({ item: 1, score: 0, steps: [step({}), step({ vouch: "nobody", contested })] }),
    answerLine({ item: 2, score: 1, steps: [step({ vouch: "base" })] }),
  ];

  it("is told by answers with and without a token that nobody vouches for", () => {
    expect(vouchedOf("t", "m", lines)).toEqual({
      task: "t",
      method: "m",
      all: { items: 2, right: 2 },
      notAll: { items: 1, right: 0 },
      baseOnly: { items: 1, right: 1 },
      notBaseOnly: { items: 2, right: 1 },
    });
    expect(vouchedOf("t", "m", [answerLine({})])).toBeNull();
  });

  it("and by whether what was lost was contested", () => {
    const methods = methodsOf(many(3, right));
    methods.set("with b", lines);
    expect(conflictOf("t", methods, "with b", 1)!.contested).toEqual({
      ...{ lost: 1, ofLost: 1, kept: 0, ofKept: 2 },
    });
  });
});

const config = {
  id: "c",
  experts: ["a", "b"].map((id) => ({ id, component: componentSchema.parse({}) })),
  strategy: strategySchema.parse({ type: "mixture" }),
};

describe("what an audit asks", () => {
  it("adds at an unchanged first weight, and lowers that weight by as much without adding", () => {
    const options = { objective: "a", against: ["b"], added: 0.25, ceiling: "top" };
    const methods = auditMethods(config, options);
    const planOf = (name: string) => methods.find((one) => one.name === name)!.planFor({} as never)!;
    const plausibility = { ratio: 0.1, of: "joint" };
    const weighted = (weights: object) => ({ type: "static", weights, plausibility });
    expect(planOf("alone").strategy).toEqual(weighted({ a: 1 }));
    expect(planOf(withName("b")).strategy).toEqual(weighted({ a: 1, b: 0.25 }));
    expect(planOf("diluted").strategy).toEqual(weighted({ a: 0.75 }));
    expect(planOf("served")).toEqual({ configId: "c", strategy: null, prior: null });
    expect(planOf("ceiling").configId).toBe("top");
    for (const method of methods) {
      const { strategy } = method.planFor({} as never)!;
      if (strategy !== null) expect(strategySchema.parse(strategy)).toEqual(strategy);
    }
  });

  it("takes the weight and the tokens from the config's own strategy", () => {
    const of = (strategy: object) => ownSetting({ ...config, strategy: strategySchema.parse(strategy) }, "a");
    const joint = { ratio: 0.2, of: "joint" };
    expect(of({ type: "static", weights: { a: 1.5 }, plausibility: joint })).toEqual({
      ...{ weight: 1.5, plausibility: joint },
    });
    expect(of({ type: "dynamic" })).toEqual({ weight: 1, plausibility: null });
    const component = { kind: "fused", weight: 0.7, plausibility: null };
    expect(of({ type: "mixture", components: { a: component } })).toEqual({
      weight: 0.7,
      plausibility: null,
    });
    const solved = { ...component, weight: "solved" };
    expect(of({ type: "mixture", components: { a: solved } }).weight).toBe(1);
  });
});

describe("the report", () => {
  const items = [...many(3, right), { ...right, with: false, expert: false }];
  const answers = methodsOf(items);
  answers.get("alone")![3]!.prompt = "where & when?";
  answers.set("with b", [
    ...answers.get("with b")!.slice(0, 3),
    answerLine({
      ...{ item: 3, score: 0, answer: "<b>", trace: "http://h/v1/fusion/traces/x" },
      steps: [step({ text: "<b>", vouch: "nobody", contested: { by: "a", says: '"', against: "b" } })],
    }),
  ]);
  answers.set("served", answers.get("alone")!);
  const methods = auditMethods(config, { objective: "a", against: ["b"], added: 0.5, ceiling: "top" });
  const described = {
    ...{ hardware: "h", date: "2026-01-02T03:04:05Z", command: "shoulders audit c" },
    ...{ config: "c", objective: "a", ceiling: "top.gguf" },
  };
  const report = buildAudit(new Map([["t", answers]]), methods, described, 1);

  it("has each addition, and the config as it is served", () => {
    expect(report.conflicts.map(({ method }) => method)).toEqual(["with b", "served"]);
    expect(report.conflicts[1]!.tax.value).toBe(0);
    const text = renderAuditMarkdown(report);
    expect(text).toContain("| with b, on t |");
    expect(text).toContain("what top.gguf gets right");
    expect(text).not.toMatch(/decepti|deceiv/i);
  });

  it("shows what was lost with both answers, escaped, and links to the trace", () => {
    const page = renderAuditHtml(report);
    expect(page).toContain("lost, where the expert cannot check: 4. where &amp; when?");
    expect(page).toContain('class="token contested nobody"');
    expect(page).toContain("contested: a alone says &quot;\\&quot;&quot;, against b");
    expect(page).toContain('<a href="http://h/v1/fusion/traces/x">trace</a>');
    expect(page).not.toContain("<b>");
  });
});
