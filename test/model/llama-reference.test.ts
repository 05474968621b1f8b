import type { LlamaModel, Token as LlamaToken } from "node-llama-cpp";
import { getLlama } from "node-llama-cpp";
import { afterAll, beforeAll, expect, it } from "vitest";

import { openLibrary } from "../../src/llama/library.js";
import type { LoadedModel, NativeLibrary } from "../../src/llama/types.js";
import {
  contextOptions,
  decodeRow,
  largestDifference,
  load,
  questionTokens,
  starterModel,
} from "../support/llama.js";

/** What node-llama-cpp's own API says about the same file. */

let library: NativeLibrary;
let ours: LoadedModel;
let theirs: LlamaModel;

beforeAll(async () => {
  library = await openLibrary({ backend: "cpu" });
  ours = await load(library, starterModel("giant"));
  const llama = await getLlama({ build: "never", gpu: false, progressLogs: false });
  theirs = await llama.loadModel({ modelPath: ours.path });
});

afterAll(async () => {
  await theirs.dispose();
  await library[Symbol.asyncDispose]();
});

it("rows of logits are those of controlledEvaluate", async () => {
  const theirContext = await theirs.createContext({ contextSize: 512, threads: 1 });
  const theirSequence = theirContext.getSequence();
  const context = ours.createContext(contextOptions);
  for (const question of ["What is 3 + 4?", "Who are you?", "Tom has 12 apples and buys 5 more.", "?"]) {
    const tokens = await questionTokens(ours, question);
    await theirSequence.clearHistory();
    const outputs = await theirSequence.controlledEvaluate([
      ...(tokens.slice(0, -1) as LlamaToken[]),
      [tokens.at(-1) as LlamaToken, { generateNext: { logits: true } }],
    ]);
    context.removePositions(0, 0, null);
    const row = await decodeRow(context, tokens);
    const theirRow = new Float32Array(row.length);
    outputs.at(-1)?.next.logits?.forEach((value, token) => (theirRow[token] = value));
    expect(largestDifference(row, theirRow)).toBeLessThan(1e-4);
  }
  await theirContext.dispose();
});

it("tokens of texts are the same", () => {
  const texts = [
    "Question: What is 3 + 4?\nAnswer:",
    " leading and trailing ",
    "two\n\nlines\tand a tab",
    "naïve café, 日本語, 🙂",
    "<bos>Hello<eos>",
    "a\u0000b",
    "12345 + 67890 = 80235.",
    "",
  ];
  for (const text of texts)
    for (const special of [false, true])
      expect(ours.tokenize(text, special)).toEqual(theirs.tokenize(text, special));
});

it("the vocabulary is the same", () => {
  const { vocabulary } = ours;
  expect(vocabulary.bos).toBe(theirs.tokens.bos);
  expect(vocabulary.addsBos).toBe(theirs.tokens.shouldPrependBosToken);
  for (let token = 0; token < vocabulary.size; token++) {
    const id = token as LlamaToken;
    expect(vocabulary.isEndOfGeneration(token)).toBe(theirs.isEogToken(id));
    expect(vocabulary.isControl(token)).toBe(theirs.isSpecialToken(id));
    const bytes = vocabulary.bytes(token);
    if (bytes.every((byte) => byte < 128))
      expect(Buffer.from(bytes).toString()).toBe(theirs.detokenize([id], false));
  }
});

it("facts about the file are the same", () => {
  expect(ours.contextTrain).toBe(theirs.trainContextSize);
  expect(ours.sizeBytes).toBe(theirs.size);
  expect(ours.architecture).toBe(theirs.fileInfo.metadata.general.architecture);
  expect(ours.quantization).toBe("F16");
  expect(ours.numParameters * 2).toBeLessThanOrEqual(ours.sizeBytes);
});
