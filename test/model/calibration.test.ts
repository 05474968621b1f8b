import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { type Example, featureOfPrompt, mixtureOf, scoreAnswer } from "../../src/calibration/ask.js";
import { answerTokens } from "../../src/verdicts/answer-tokens.js";
import type { Card } from "../../src/routing/card.js";
import { defaultFeature, featureOf } from "../../src/routing/feature.js";
import type { Comparison } from "../../src/calibration/compare.js";
import { makeCard } from "../../src/calibration/make-card.js";
import { readerOf, referenceAlone } from "../../src/calibration/reference-alone.js";
import { priorOf } from "../../src/routing/prior.js";
import type { ComponentConfig } from "../../src/strategies/fields.js";
import { paperStrategy, type StrategyConfig } from "../../src/strategies/registry.js";
import type { Engine, ResolvedFusionConfig } from "../../src/protocol/protocol.js";
import { openLibrary } from "../../src/llama/library.js";
import type { LoadedModel, NativeLibrary } from "../../src/llama/types.js";
import { contextOptions, decodeRow, load, starterModel } from "../support/llama.js";
import { answer, questions, resolvedConfig, startRealEngine, textRequest } from "../support/real-engine.js";

/** Calibration on the starter models: questions about people (trivia) and sums. */

const mixture: StrategyConfig = { type: "mixture", prior: "card", components: {}, floor: 0 };

const configOf = (card: Card | null): ResolvedFusionConfig => ({
  ...resolvedConfig({
    id: "both",
    base: "giant",
    reference: "dwarf",
    experts: { trivia: "dwarf-trivia", sums: "dwarf-sums" },
    strategy: mixture,
  }),
  card,
});

const signal = new AbortController().signal;
const chat = (content: string): Example["prompt"] => ({
  type: "chat",
  messages: [{ role: "user", content }],
});
const questionOf = (prompt: string) => /^Question: (.*)\nAnswer:$/.exec(prompt)?.[1] ?? prompt;

const tasks = { trivia: questions("recall"), sums: questions("sums") };
const groups = Object.entries(tasks).map(([expert, task]) => ({
  expert,
  examples: task.slice(0, 12).map(({ prompt, answer: wanted }) => ({
    expert,
    prompt: chat(questionOf(prompt)),
    answer: expert === "trivia" ? wanted : null,
  })),
}));

let engine: Engine;
let card: Card;
let comparison: Comparison | null;
let library: NativeLibrary;
let dwarf: LoadedModel;

beforeAll(async () => {
  engine = await startRealEngine([configOf(null)]);
  const calibration = await makeCard({
    asked: { engine, configId: "both", signal },
    today: { strategy: paperStrategy, card: null },
    models: configOf(null),
    vocabularySize: engine.description!.configs[0]!.vocabularySize,
    groups,
    concurrency: 4,
    date: new Date(0),
    onProgress: () => undefined,
  });
  ({ card, comparison } = calibration);
  library = await openLibrary({ backend: "cpu" });
  dwarf = await load(library, starterModel("dwarf"));
}, 120_000);

afterAll(async () => {
  await engine.close();
  await library[Symbol.asyncDispose]();
});

/** By its definition: the reference's rows after the last tokens of a prompt but the very last, each by a context of its own. */
async function definedFeature(question: string): Promise<Float64Array> {
  const { tokens } = await dwarf.renderChat([{ role: "user", content: question }]);
  const rows: Float32Array[] = [];
  for (let end = tokens.length - 1; end > 0 && rows.length < defaultFeature.numRows; end--) {
    const context = dwarf.createContext(contextOptions);
    rows.push(await decodeRow(context, tokens.slice(0, end)));
    await context[Symbol.asyncDispose]();
  }
  return featureOf(rows, defaultFeature);
}

describe("calibration and routing", () => {
  it("see the same number in a prompt, and it is the one that is defined", async () => {
    for (const { prompt } of tasks.sums.slice(20, 24)) {
      const question = questionOf(prompt);
      const asked = await featureOfPrompt({ engine, configId: "both", signal }, chat(question));
      const defined = await definedFeature(question);
      asked.forEach((value, index) => expect(Math.abs(value - defined[index]!)).toBeLessThan(0.02));
    }
  });

  it("read prompts without the base where the reference is loaded beside it, to the same numbers", async () => {
    const both = configOf(null);
    const [alone] = referenceAlone(both);
    const members = { ...both.members, base: both.members.reference!, experts: [] };
    const beside = await startRealEngine([both, { ...both, ...alone!, members }]);
    try {
      const asked = { engine: beside, configId: "both", signal };
      expect(await readerOf({ ...asked, engine }, groups)).toBe("both");
      expect(await readerOf(asked, groups)).toBe("both.reference");
      for (const { prompt } of tasks.sums.slice(20, 22)) {
        const question = chat(questionOf(prompt));
        const whole = await featureOfPrompt(asked, question);
        const quick = await featureOfPrompt({ ...asked, configId: "both.reference" }, question);
        quick.forEach((value, index) => expect(Math.abs(value - whole[index]!)).toBeLessThan(0.02));
      }
    } finally {
      await beside.close();
    }
  });

  it("begin an answer with the shares that the card gives", async () => {
    const calibrated = await startRealEngine([configOf(card)]);
    try {
      for (const { prompt } of [tasks.trivia[30]!, tasks.sums[30]!]) {
        const question = questionOf(prompt);
        const { tokens } = await answer(
          calibrated,
          textRequest("both", "", { prompt: chat(question), maxTokens: 1 }),
        );
        const prior = priorOf(card, await definedFeature(question));
        const shares = Object.values(tokens[0]!.record.shares!);
        shares.forEach((share, index) => expect(Math.abs(share - prior[index]!)).toBeLessThan(0.01));
      }
    } finally {
      await calibrated.close();
    }
  });
});

describe("a card of the starter models", () => {
  it("tells their tasks apart, also on prompts that it has not seen", async () => {
    expect(card.figures.accuracy).toBeGreaterThan(0.75);
    for (const [index, task] of [tasks.trivia, tasks.sums].entries())
      for (const { prompt } of task.slice(60, 75)) {
        const shares = priorOf(card, await definedFeature(questionOf(prompt)));
        expect(shares[index + 1]).toBeGreaterThan(shares[2 - index]!);
      }
  });

  it("says what it is worth against today's config, of the answers that were given", () => {
    const { base, expert, today, card: withCard } = comparison!.figures;
    expect(comparison!.numAnswers).toBe(12);
    expect(withCard.exact).toBeGreaterThan(0.4);
    // The paper's rule with two experts, and each model by itself.
    for (const other of [base, expert, today]) expect(other.exact).toBeLessThan(withCard.exact);
  });

  it("has a component for each expert, by its own answers where none were given", () => {
    const [trivia, sums] = card.experts;
    expect(sums).toMatchObject({ id: "sums", numPrompts: 12, numAnswers: 0, component: { kind: "fused" } });
    // What an expert says alone is not compared with what it says alone.
    expect(sums!.trials.every(({ kind, weight }) => kind === "fused" && weight !== 0)).toBe(true);
    expect(trivia).toMatchObject({ id: "trivia", numPrompts: 12, numAnswers: 12 });
    const exactOf = (kind: string, weight: number) =>
      trivia!.trials.find((trial) => trial.kind === kind && trial.weight === weight)!.exact;
    // Neither knows it alone; together they answer.
    expect(trivia!.component).toMatchObject({ kind: "fused" });
    expect(Math.max(...trivia!.trials.map(({ exact }) => exact))).toBeGreaterThan(0.5);
    expect(exactOf("alone", 1)).toBeLessThan(0.5);
    expect(exactOf("fused", 0)).toBeLessThan(0.5);
  });
});

const components: ComponentConfig[] = [
  { kind: "fused", weight: 1, plausibility: { ratio: 0.1, of: "joint" } },
  { kind: "fused", weight: "solved", plausibility: null },
  { kind: "fused", weight: 0.5, plausibility: { ratio: 0.1, of: "gated" } },
  { kind: "alone", weight: 1, plausibility: null },
  { kind: "fused", weight: 0, plausibility: null },
];

describe("the score of an answer", () => {
  it("is right about all tokens just where greedy decoding gives that answer", async () => {
    const asked = { engine, configId: "both", signal };
    const strategies = [
      ...components.map((component) => mixtureOf({ trivia: 1 }, { trivia: component })),
      mixtureOf({ base: 1, trivia: 2, sums: 1 }, { sums: components[0]! }),
      paperStrategy,
    ];
    const verdicts: boolean[][] = strategies.map(() => []);
    for (const { prompt, answer: wanted } of tasks.trivia.slice(0, 12)) {
      const question = chat(questionOf(prompt));
      const [tokens = []] = await answerTokens(asked, question, [wanted]);
      const given = { prompt: question, tokens };
      const scores = await scoreAnswer(asked, given, { strategies, expert: null });
      const ofOne = { strategies: strategies.slice(0, components.length), expert: "trivia" };
      const same = await scoreAnswer(asked, given, ofOne);
      for (const [index, strategy] of strategies.entries()) {
        const greedy = await answer(engine, textRequest("both", "", { prompt: question, strategy }));
        const isSame = greedy.text.trim() === wanted && greedy.done.finishReason === "stop";
        const { numAgreed, numTokens, logprob } = scores[index]!;
        expect(numAgreed === numTokens).toBe(isSame);
        expect(numTokens).toBe(tokens.length + 1);
        if (index < same.length) expect(same[index]!.logprob).toBeCloseTo(logprob, 1);
        verdicts[index]!.push(isSame);
      }
    }
    // Under most some come out and some do not.
    expect(verdicts.filter((of) => new Set(of).size === 2).length).toBeGreaterThan(3);
  });
});
