import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { createKernel, kernelNames } from "../../src/fusion/kernel/kernel.js";
import type { FusionKernel, LogitsRows, Plausibility } from "../../src/fusion/types.js";
import { componentSchema } from "../../src/strategies/fields.js";
import {
  choicesFor,
  defaultStrategy,
  type StrategyConfig,
  strategyOf,
  strategySchema,
  strategyTypes,
  takes,
} from "../../src/strategies/registry.js";
import type { Expert, StrategyRun } from "../../src/strategies/strategy.js";
import { numRuns } from "../support/num-runs.js";
import { anyRows } from "../support/rows.js";

/** What every strategy has to be, whatever it does: a new one in the registry is held to this without another line. */

const expertsOf = ({ experts }: LogitsRows): Expert[] =>
  experts.map((_, index) => ({ id: `e${index}`, bounds: [0, 2], component: componentSchema.parse({}) }));
const settingsOf = (type: string, experts: readonly Expert[]): StrategyConfig =>
  choicesFor({ experts }, null).find(({ settings }) => settings.type === type)!.settings;
const plain = { prior: null, hasCard: false, loss: 0 };
const sum = (values: readonly number[]) => values.reduce((total, value) => total + value, 0);

/** The rows that a run asks for. */
function rowsFor({ active, needsReference }: StrategyRun<Expert>, rows: LogitsRows): LogitsRows {
  return {
    base: rows.base,
    reference: needsReference ? rows.reference : null,
    experts: active.map(({ id }) => rows.experts[Number(id.slice(1))]!),
  };
}

/** Fuses one row and takes in its most probable token, as the engine does. */
function step(run: StrategyRun<Expert>, kernel: FusionKernel, rows: LogitsRows) {
  const before = [...run.active];
  const fusion = run.fuse(
    kernel,
    rowsFor(run, rows),
    before.map(() => Infinity),
  );
  const law = Array.from(fusion.row.logits, (logit) => Math.exp(logit - fusion.row.logNormalizer));
  const [best] = fusion.row.top(1);
  run.learn(fusion, fusion.row.componentLogprobs(best!.token));
  return { fusion, law, before };
}

describe.each(strategyTypes)("strategy %s", (type) => {
  const three = expertsOf({ base: new Float32Array(), reference: null, experts: Array(3).fill(null) });
  const settings = settingsOf(type, three);
  const strategy = strategyOf(settings);

  it("is what its own schema reads, and survives JSON", () => {
    expect(strategySchema.parse(settings)).toEqual(settings);
    expect(strategySchema.parse(JSON.parse(JSON.stringify(settings)))).toEqual(settings);
    expect(strategySchema.safeParse({ ...settings, unknown: 1 }).success).toBe(false);
  });

  it("says in one sentence what it does", () => {
    for (const experts of [three, three.slice(0, 1)]) {
      const words = strategy.words(settings, { experts });
      expect(words).toMatch(/^[A-Z][^.]{10,180}\.$/);
      expect(words).not.toMatch(/undefined|object|null/);
    }
    expect(strategy.label).toMatch(/^[A-Z][\w ]{3,30}$/);
  });

  it("names and solves only experts that there are", () => {
    const ids = three.map(({ id }) => id);
    for (const { path, id } of strategy.namedExperts(settings)) {
      expect(ids).toContain(id);
      expect(path.length).toBeGreaterThan(0);
    }
    const solved = strategy.solvedExperts(settings, three);
    expect(ids).toEqual(expect.arrayContaining(solved));
    if (solved.length > 0) expect(strategy.controls).toContain("bounds");
    expect(strategy.problem(settings)).toBeNull();
  });

  it("does without a card what it does with one, once that is written into its settings", () => {
    const alone = componentSchema.parse({ kind: "alone" });
    const card = { shares: { base: 0.25, e0: 0, e1: 0.25, e2: 0.5 }, components: { e1: alone } };
    const written = strategy.withCard(settings, card);
    expect(strategySchema.parse(written)).toEqual(written);
    expect(strategy.readsCard(written)).toBe(false);
    if (!strategy.readsCard(settings)) expect(written).toBe(settings);
    else expect(strategy.start(written, { ...plain, experts: three }).shares).toEqual(card.shares);
  });

  it("has an axis for every expert that it may need", () => {
    const run = strategy.start(settings, { ...plain, experts: three });
    for (const expert of run.experts) expect(run.axisOf(expert).bounds).toEqual([0, 2]);
  });

  describe.each(kernelNames)("with the %s kernel", (name) => {
    const kernel = createKernel(name, { vocabularySize: 512, numExperts: 4 });

    it("gives a distribution, numbers for each expert, and nats that are its divergence from the base", () => {
      fc.assert(
        fc.property(anyRows, (rows) => {
          const experts = expertsOf(rows);
          const run = strategy.start(settingsOf(type, experts), { ...plain, experts });
          const { fusion, law, before } = step(run, kernel, rows);
          expect(sum(law)).toBeCloseTo(1, 4);
          expect(fusion.weights).toHaveLength(before.length);
          for (const weight of fusion.weights) expect(Number.isFinite(weight)).toBe(true);
          for (const expert of fusion.mixed)
            expect(expert === null || before[expert] !== undefined).toBe(true);
          expect(fusion.chosen === null || before[fusion.chosen] !== undefined).toBe(true);
          // KL over the tokens that no row masks, plainly.
          const all = [rows.base, ...(run.needsReference ? [rows.reference!, ...rows.experts] : [])];
          const isKnown = (token: number) => all.every((row) => row[token] !== -Infinity);
          const best = Math.max(...rows.base.filter((_, token) => isKnown(token)));
          const base = Array.from(law, (_, i) => (isKnown(i) ? Math.exp(rows.base[i]! - best) : 0));
          const total = sum(base);
          const nats = sum(
            law.map((p, i) => (p > 0 && base[i]! > 0 ? p * Math.log((p * total) / base[i]!) : 0)),
          );
          expect(Math.abs(fusion.nats - nats)).toBeLessThan(2e-3 * (1 + nats));
        }),
        { numRuns: numRuns(60) },
      );
    });

    it("leaves the base as it is where tuning changed nothing and all tokens take part", () => {
      fc.assert(
        fc.property(anyRows, (rows) => {
          const same = { ...rows, experts: rows.experts.map(() => rows.reference!) };
          const component = componentSchema.parse({ plausibility: null });
          const experts = expertsOf(same).map((expert) => ({ ...expert, component }));
          const run = strategy.start(settingsOf(type, experts), { ...plain, experts });
          const { fusion } = step(run, kernel, same);
          expect(fusion.nats).toBeLessThan(1e-3);
        }),
        { numRuns: numRuns(30) },
      );
    });

    it("has the same law before its plausible sets: no token is impossible, and over a set it is the fused one", () => {
      const lawOf = ({ logits, logNormalizer }: { logits: Float32Array; logNormalizer: number }) =>
        Array.from(logits, (logit) => Math.exp(logit - logNormalizer));
      const property = (rows: LogitsRows, plausibility: Plausibility | null) => {
        const component = componentSchema.parse({ plausibility });
        const experts = expertsOf(rows).map((expert) => ({ ...expert, component }));
        const mine = choicesFor({ experts }, plausibility).find((choice) => choice.settings.type === type)!;
        const run = strategy.start(mine.settings, { ...plain, experts });
        const asked = rowsFor(run, rows);
        const budgets = run.active.map(() => Infinity);
        const fusion = run.fuse(kernel, asked, budgets);
        const law = lawOf(fusion.row);
        const row = run.unrestricted(kernel, asked, budgets, fusion);
        const whole = lawOf(row);
        expect(sum(whole)).toBeCloseTo(1, 4);
        const all = [asked.base, ...(asked.reference ? [asked.reference] : []), ...asked.experts];
        const isKnown = (token: number) => all.every((of) => of[token] !== -Infinity);
        for (const token of whole.keys()) expect(row.logits[token] !== -Infinity).toBe(isKnown(token));
        // Of several models each has its own set.
        if (fusion.mixed.length > 0 && plausibility !== null) return;
        const inSet = sum(whole.filter((_, token) => law[token]! > 0));
        for (const [token, p] of law.entries())
          if (p > 0) expect(Math.abs(whole[token]! / inSet - p)).toBeLessThan(2e-3);
      };
      const sets = fc.constantFrom<Plausibility | null>(null, { ratio: 0.1, of: "joint" });
      fc.assert(fc.property(anyRows, sets, property), { numRuns: numRuns(60) });
    });

    it("loses experts and never gets one back, and its shares add up to 1", () => {
      fc.assert(
        fc.property(fc.array(anyRows, { minLength: 1, maxLength: 6 }), (text) => {
          const numExperts = Math.min(...text.map(({ experts }) => experts.length));
          const experts = three.slice(0, numExperts);
          const mine = settingsOf(type, experts);
          const run = strategy.start(mine, { ...plain, experts });
          for (const rows of text) {
            const { before } = step(run, kernel, { ...rows, experts: rows.experts.slice(0, numExperts) });
            expect(before).toEqual(expect.arrayContaining([...run.active]));
            expect(run.skippedShare).toBeGreaterThanOrEqual(0);
            expect(run.shares !== null).toBe(takes(mine, "shares"));
            if (run.shares === null) continue;
            expect(Object.keys(run.shares)).toEqual(["base", ...experts.map(({ id }) => id)]);
            expect(sum(Object.values(run.shares))).toBeCloseTo(1, 9);
          }
        }),
        { numRuns: numRuns(30) },
      );
    });
  });
});

describe("the registry", () => {
  it("has a different label for each", () => {
    const labels = strategyTypes.map((type) => strategyOf({ type } as StrategyConfig).label);
    expect(new Set(labels).size).toBe(strategyTypes.length);
  });

  it("has a strategy for configs that name none, however many experts they have", () => {
    for (const numExperts of [0, 1, 2, 16]) {
      const ids = Array.from({ length: numExperts }, (_, index) => ({ id: `e${index}` }));
      expect(strategySchema.safeParse(defaultStrategy(ids)).success).toBe(true);
      expect(strategyOf(defaultStrategy(ids)).needsExperts).toBe(numExperts > 0);
    }
  });
});
