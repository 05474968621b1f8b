import { afterAll, beforeAll, describe, expect, it } from "vitest";
import type { Engine } from "../../src/protocol/protocol.js";
import { createKernel } from "../../src/fusion/kernel/kernel.js";
import { openLibrary } from "../../src/llama/library.js";
import { inMainMemory, type ModelContext, type NativeLibrary } from "../../src/llama/types.js";
import { decodeRow } from "../support/llama.js";
import {
  answer,
  modelPath,
  questions,
  resolvedConfig,
  startRealEngine,
  textRequest,
} from "../support/real-engine.js";

const prompts = [...questions("recall").slice(20, 30), ...questions("sums").slice(20, 30)].map(
  ({ prompt }) => prompt,
);

describe("a fixed weight of 1", () => {
  let engine: Engine;
  let library: NativeLibrary;
  const contexts: ModelContext[] = [];
  let tokenize: (text: string) => number[];

  beforeAll(async () => {
    engine = await startRealEngine([
      resolvedConfig({
        id: "static",
        base: "giant",
        reference: "dwarf",
        experts: { trivia: "dwarf-trivia" },
        strategy: { type: "static", weights: { trivia: 1 }, plausibility: null },
      }),
    ]);
    library = await openLibrary({ backend: "cpu" });
    for (const name of ["giant", "dwarf", "dwarf-trivia"]) {
      const model = await library.loadModel(modelPath(name), {
        placement: inMainMemory,
        onProgress: () => undefined,
      });
      tokenize = (text) => [model.vocabulary.bos!, ...model.tokenize(text, true)];
      contexts.push(
        model.createContext({ numCells: 512, numSequences: 1, batchTokens: 256, maxRows: 1, threads: 1 }),
      );
    }
  });

  afterAll(async () => {
    await engine.close();
    await library[Symbol.asyncDispose]();
  });

  it("is the sum of the three rows, as the reference kernel makes it", async () => {
    const kernel = createKernel("reference", { vocabularySize: 2048, numExperts: 1 });
    for (const prompt of prompts) {
      const tokens = tokenize(prompt);
      const rows: Float32Array[] = [];
      for (const context of contexts) {
        context.removePositions(0, 0, null);
        rows.push(await decodeRow(context, tokens));
      }
      const [base, reference, expert] = rows as [Float32Array, Float32Array, Float32Array];
      kernel.load({ base, reference, experts: [expert] }, null);
      const expected = kernel.fuse([1]).row.top(5);
      const sum = (token: number) => base[token]! + expert[token]! - reference[token]!;
      const { tokens: drawn } = await answer(
        engine,
        textRequest("static", prompt, { maxTokens: 1, topLogprobs: 5 }),
      );
      const found = drawn[0]!.topLogprobs;
      for (const [rank, { token, logprob }] of expected.entries()) {
        const same = found.find(({ id }) => id === token);
        expect(same, `${prompt}: rank ${rank}`).toBeDefined();
        expect(Math.abs(same!.logprob - logprob)).toBeLessThan(5e-3);
        expect(
          Math.abs(sum(token) - sum(expected[0]!.token) - (logprob - expected[0]!.logprob)),
        ).toBeLessThan(1e-3);
      }
      expect(drawn[0]!.record).toMatchObject({ weights: { trivia: 1 }, token: { id: expected[0]!.token } });
    }
  });
});
