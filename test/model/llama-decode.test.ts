import { afterAll, beforeAll, describe, expect, it } from "vitest";

import { openLibrary } from "../../src/llama/library.js";
import type { LoadedModel, ModelContext, NativeLibrary } from "../../src/llama/types.js";
import {
  addTokens,
  argmax,
  contextOptions,
  decodeRow,
  largestDifference,
  load,
  questionTokens,
  starterModel,
} from "../support/llama.js";

const questions = [
  "What is 3 + 4?",
  "Who are you, and where do you live?",
  "Tom has 12 apples and buys 5 more. How many apples does Tom have?",
  "?",
];

/** Rows of one model depend on the shape of the batch; larger differences mean another computation. */
const tolerance = 0.05;

let library: NativeLibrary;
let model: LoadedModel;
let context: ModelContext;

beforeAll(async () => {
  library = await openLibrary({ backend: "cpu" });
  model = await load(library, starterModel("giant"));
});

afterAll(async () => {
  await library[Symbol.asyncDispose]();
});

async function freshContext(changes: Partial<typeof contextOptions> = {}): Promise<ModelContext> {
  await (context as ModelContext | undefined)?.[Symbol.asyncDispose]();
  context = model.createContext({ ...contextOptions, ...changes });
  return context;
}

describe("rows of logits", () => {
  it("are the same with four sequences in a batch as with one", async () => {
    await freshContext();
    const alone: Float32Array[] = [];
    for (const question of questions) {
      context.removePositions(0, 0, null);
      alone.push(await decodeRow(context, await questionTokens(model, question)));
    }
    context.removePositions(0, 0, null);
    context.batch.clear();
    const prompts = await Promise.all(questions.map((question) => questionTokens(model, question)));
    const rows = prompts.map((prompt, sequenceId) => addTokens(context, prompt, { sequenceId }));
    expect(rows).toEqual([0, 1, 2, 3].map((index) => rows[0]! + index));
    await context.decode();
    questions.forEach((_, index) => {
      const row = context.logits(rows[index]!);
      expect(largestDifference(row, alone[index]!)).toBeLessThan(tolerance);
      expect(argmax(row)).toBe(argmax(alone[index]!));
    });
  });

  it("come for several positions of one sequence", async () => {
    await freshContext();
    const tokens = await questionTokens(model, questions[0]!);
    const whole = await decodeRow(context, tokens);
    const prefix = await decodeRow(context, tokens.slice(0, -2), { sequenceId: 1 });
    context.batch.clear();
    const rows = tokens.map((token, position) =>
      context.batch.add(token, position, 2, position >= tokens.length - 3),
    );
    await context.decode();
    const [first, second, third] = rows.slice(-3) as [number, number, number];
    expect([second, third]).toEqual([first + 1, first + 2]);
    expect(rows.slice(0, -3).every((row) => row === -1)).toBe(true);
    expect(largestDifference(context.logits(first), prefix)).toBeLessThan(tolerance);
    expect(largestDifference(context.logits(third), whole)).toBeLessThan(tolerance);
  });

  it("are the same when a prompt comes in chunks", async () => {
    await freshContext();
    const tokens = await questionTokens(model, questions[2]!);
    const whole = await decodeRow(context, tokens);
    await decodeRow(context, tokens.slice(0, 7), { sequenceId: 1 });
    const rest = await decodeRow(context, tokens.slice(7), { sequenceId: 1, start: 7 });
    expect(largestDifference(rest, whole)).toBeLessThan(tolerance);
  });

  it("stay the same view while libllama does not move its buffer", async () => {
    await freshContext();
    const tokens = await questionTokens(model, questions[0]!);
    context.batch.clear();
    const row = addTokens(context, tokens);
    await context.decode();
    const view = context.logits(row);
    expect(context.logits(row)).toBe(view);
    const before = view.slice();
    context.removePositions(0, 0, null);
    context.batch.clear();
    const next = addTokens(context, [5, 6, 7]);
    await context.decode();
    expect(context.logits(next)).toBe(view);
    expect(largestDifference(view, before)).toBeGreaterThan(0);
    // What was written over cannot be taken for what it was.
    expect(() => context.logits(row)).toThrow(/was read after the next decode/);
  });
});

describe("sequence memory", () => {
  it("can be cut back and filled again", async () => {
    await freshContext();
    const tokens = await questionTokens(model, questions[2]!);
    const fresh = await decodeRow(context, tokens);
    for (const cut of [1, 5, tokens.length - 1]) {
      await decodeRow(context, [9, 8, 7], { start: tokens.length });
      context.removePositions(0, cut, null);
      const again = await decodeRow(context, tokens.slice(cut), { start: cut });
      expect(largestDifference(again, fresh)).toBeLessThan(tolerance);
    }
  });

  it("of a prefix can be shared", async () => {
    await freshContext();
    const tokens = await questionTokens(model, questions[1]!);
    const fresh = await decodeRow(context, tokens);
    context.copyPrefix(0, 3, 6);
    const shared = await decodeRow(context, tokens.slice(6), { sequenceId: 3, start: 6 });
    expect(largestDifference(shared, fresh)).toBeLessThan(tolerance);
    // The one that was copied from may go.
    context.removePositions(0, 0, null);
    context.removePositions(3, 6, null);
    const again = await decodeRow(context, tokens.slice(6), { sequenceId: 3, start: 6 });
    expect(largestDifference(again, fresh)).toBeLessThan(tolerance);
    expect(() => context.copyPrefix(3, 3, 2)).toThrow(/must be empty/);
  });

  it("that is full is told as such, and the context goes on", async () => {
    await freshContext({ numCells: 256, batchTokens: 256 });
    const tokens = Array.from({ length: 250 }, (_, index) => 5 + (index % 40));
    await decodeRow(context, tokens);
    context.batch.clear();
    addTokens(context, tokens.slice(0, 20), { sequenceId: 1 });
    await expect(context.decode()).rejects.toMatchObject({
      code: "decode_failed",
      message: expect.stringMatching(
        /giant\.gguf failed: no room for 20 more tokens in its 256 cells/,
      ) as string,
    });
    context.removePositions(0, 0, null);
    await decodeRow(context, tokens.slice(0, 20), { sequenceId: 1 });
  });

  it("of a sequence has no gaps: libllama's reason is passed on", async () => {
    await freshContext();
    await decodeRow(context, [5, 6, 7]);
    context.batch.clear();
    addTokens(context, [5], { start: 9 });
    await expect(context.decode()).rejects.toMatchObject({
      code: "decode_failed",
      message: expect.stringMatching(
        /the batch is not valid: .*sequence positions remain consecutive/,
      ) as string,
    });
  });
});

describe("a context", () => {
  it("tells its memory: cells and buffers", async () => {
    const small = await freshContext({ numCells: 512 });
    const { memoryBytes } = small;
    const large = await freshContext({ numCells: 4096 });
    expect(large.numCells).toBe(4096);
    expect(memoryBytes).toBeGreaterThan(1e6);
    expect(large.memoryBytes).toBeGreaterThan(memoryBytes);
  });

  it("refuses what native code would die of", async () => {
    await freshContext({ maxRows: 4, batchTokens: 6 });
    const { batch } = context;
    expect(() => batch.add(model.vocabulary.size, 0, 0, false)).toThrow(/outside the vocabulary/);
    expect(() => batch.add(-1, 0, 0, false)).toThrow(/outside the vocabulary/);
    expect(() => batch.add(5, 0, 4, false)).toThrow(/sequence 4/);
    expect(() => batch.add(5, -1, 0, false)).toThrow(/position/);
    for (let index = 0; index < 4; index++) batch.add(5, index, 0, true);
    expect(() => batch.add(5, 4, 0, true)).toThrow(/4 rows/);
    batch.add(5, 4, 0, false);
    batch.add(5, 5, 0, false);
    expect(() => batch.add(5, 6, 0, false)).toThrow(/holds 6 tokens/);
    expect(() => context.logits(0)).toThrow(/row 0 of .* has not been decoded/);
    await context.decode();
    expect(() => context.logits(4)).toThrow(/row 4 of .* has not been decoded/);
    batch.clear();
    await expect(context.decode()).rejects.toThrow(/empty batch/);
    expect(() => model.createContext({ ...contextOptions, numSequences: 257 })).toThrow(/256 sequences/);
  });

  it("decodes once at a time, and is released only after it", async () => {
    await freshContext();
    addTokens(context, await questionTokens(model, questions[1]!));
    const decoding = context.decode();
    await expect(context.decode()).rejects.toThrow(/while it decodes/);
    expect(() => context.removePositions(0, 0, null)).toThrow(/while it decodes/);
    const released = context[Symbol.asyncDispose]();
    await decoding;
    await released;
    expect(() => context.logits(0)).toThrow(/after it was released/);
    await expect(context.decode()).rejects.toThrow(/after it was released/);
    await context[Symbol.asyncDispose]();
  });

  it("is made while another one decodes", async () => {
    await freshContext();
    addTokens(context, await questionTokens(model, questions[1]!));
    const decoding = context.decode();
    const other = model.createContext(contextOptions);
    await decoding;
    expect(await decodeRow(other, [5, 6])).toHaveLength(model.vocabulary.size);
    await other[Symbol.asyncDispose]();
  });

  it("of more cells than memory can hold is refused in words", () => {
    expect(() => model.createContext({ ...contextOptions, numCells: 2 ** 31 })).toThrow(
      /No context of 2147483648 tokens for .*giant\.gguf: its cells alone take .* Lower context\.tokens/,
    );
  });
});

describe("three models at the same time", () => {
  it("give the rows that they give one after the other", async () => {
    const others = [
      await load(library, starterModel("dwarf")),
      await load(library, starterModel("dwarf-trivia")),
    ];
    const models = [model, ...others];
    const contexts = models.map((each) => each.createContext(contextOptions));
    const tokens = await questionTokens(model, questions[0]!);
    const alone: Float32Array[] = [];
    for (const each of contexts) alone.push(await decodeRow(each, tokens));
    const together = await Promise.all(contexts.map((each) => decodeRow(each, tokens, { sequenceId: 1 })));
    together.forEach((row, index) => expect(largestDifference(row, alone[index]!)).toBeLessThan(tolerance));
    for (const each of contexts) await each[Symbol.asyncDispose]();
    for (const each of others) await each[Symbol.asyncDispose]();
  });
});
