import { getLlama, type Token } from "node-llama-cpp";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import {
  startRealEngine,
  answer,
  modelPath,
  questions,
  resolvedConfig,
  textRequest,
} from "../support/real-engine.js";
import { expectSameButTies } from "../support/ties.js";
import type { Engine, GenerationEvent } from "../../src/protocol/protocol.js";

const prompts = [...questions("recall").slice(0, 10), ...questions("sums").slice(0, 10)].map(
  ({ prompt }) => prompt,
);

describe("equalities on the starter models", () => {
  let engine: Engine;
  const family = { base: "giant", reference: "dwarf" };

  beforeAll(async () => {
    engine = await startRealEngine([
      resolvedConfig({ id: "giant", base: "giant" }),
      resolvedConfig({ id: "trivia", ...family, experts: { trivia: "dwarf-trivia" } }),
      resolvedConfig({ id: "both", ...family, experts: { trivia: "dwarf-trivia", sums: "dwarf-sums" } }),
      resolvedConfig({ id: "idle", ...family, experts: { idle: "dwarf" } }),
    ]);
  });

  afterAll(async () => engine.close());

  it("eight at once give the tokens of one by one, but for ties", async () => {
    const eight = prompts.slice(6, 14);
    let numEqual = 0;
    for (const configId of ["giant", "trivia", "both"]) {
      const ask = (text: string) => answer(engine, textRequest(configId, text, { topLogprobs: 2 }));
      const together = await Promise.all(eight.map(ask));
      for (const [index, text] of eight.entries())
        if (expectSameButTies(await ask(text), together[index]!, `${configId}: ${text}`)) numEqual++;
    }
    expect(numEqual).toBeGreaterThanOrEqual(22);
  });

  it("a crowd of long prompts beside one answer gives the tokens of one by one, but for ties", async () => {
    const long = Array.from({ length: 6 }, (_, index) => prompts.slice(index, index + 12).join(" "));
    const options = { topLogprobs: 2, maxTokens: 24 };
    const ask = (text: string) => answer(engine, textRequest("trivia", text, options));
    const first = engine
      .generate(
        textRequest("trivia", prompts[0]!, { minTokens: 300, maxTokens: 300 }),
        new AbortController().signal,
      )
      [Symbol.asyncIterator]();
    const next = async () => ((await first.next()) as IteratorResult<GenerationEvent, undefined>).value;
    while ((await next())?.type === "accepted");
    const together = await Promise.all(long.map(ask));
    await first.return?.();
    let numEqual = 0;
    for (const [index, text] of long.entries())
      if (expectSameButTies(await ask(text), together[index]!, text)) numEqual++;
    expect(numEqual).toBeGreaterThanOrEqual(5);
  });

  it("the base alone, and every weight at zero, are node-llama-cpp's own greedy tokens", async () => {
    const length = 64;
    const expected = await greedyThroughLibrary(prompts, length);
    for (const [index, text] of prompts.entries()) {
      const zero = { type: "static", weights: {}, plausibility: null } as const;
      const [alone, weightless] = await Promise.all([
        answer(engine, textRequest("giant", text, { maxTokens: length })),
        answer(engine, textRequest("both", text, { maxTokens: length, strategy: zero })),
      ]);
      expect(alone.ids).toEqual(expected[index]);
      expect(weightless.ids).toEqual(expected[index]);
    }
  });

  it("an expert equal to the reference changes nothing", async () => {
    for (const text of prompts.slice(0, 6)) {
      const [alone, idle] = await Promise.all([
        answer(engine, textRequest("giant", text)),
        answer(engine, textRequest("idle", text)),
      ]);
      expect(idle.ids).toEqual(alone.ids);
      for (const { record } of idle.tokens) expect(record.weights).toEqual({ idle: 0 });
    }
  });

  it("the same seed gives the same tokens, another seed others", async () => {
    const sampling = {
      temperature: 1,
      topK: 0,
      topP: 0.95,
      minP: 0,
      typicalP: 1,
      repeatPenalty: 1,
      presencePenalty: 0,
      frequencyPenalty: 0,
    };
    const draw = async (seed: number) =>
      (await answer(engine, textRequest("trivia", "The", { sampling, seed, maxTokens: 60 }))).ids;
    expect(await draw(7)).toEqual(await draw(7));
    expect(await draw(7)).not.toEqual(await draw(8));
  });
});

/** Greedy tokens of the giant through the library's public evaluation, up to and with the end of sequence. */
async function greedyThroughLibrary(texts: string[], length: number): Promise<number[][]> {
  const llama = await getLlama({ build: "never", gpu: false });
  const model = await llama.loadModel({ modelPath: modelPath("giant") });
  const context = await model.createContext({ contextSize: 512, threads: 1 });
  const sequence = context.getSequence();
  const answers: number[][] = [];
  for (const text of texts) {
    await sequence.clearHistory();
    const tokens: number[] = [];
    const input: Token[] = [model.tokens.bos!, ...model.tokenize(text, true)];
    for await (const token of sequence.evaluate(input, { temperature: 0, yieldEogToken: true })) {
      tokens.push(token);
      if (tokens.length === length || model.isEogToken(token)) break;
    }
    answers.push(tokens);
  }
  await llama.dispose();
  return answers;
}
