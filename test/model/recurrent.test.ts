import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { fusionConfigSchema } from "../../src/config/fusion-config.js";
import { openLibrary } from "../../src/llama/library.js";
import { checkModelFile } from "../../src/llama/gguf-file.js";
import { inMainMemory, mainMemory, type ModelContext, type NativeLibrary } from "../../src/llama/types.js";
import type { Engine, ResolvedFusionConfig } from "../../src/protocol/protocol.js";
import { readGguf, saveGguf, uint32Bytes } from "../support/gguf-editor.js";
import { randomLlama, writeGguf } from "../support/gguf-writer.js";
import { contextOptions, decodeRow, largestDifference, load } from "../support/llama.js";
import { located } from "../support/members.js";
import { type Answer, answer, startRealEngine, textRequest } from "../support/real-engine.js";
import { randomHybrid, randomMamba, randomWindowed } from "../support/families.js";
import { checkGreedy } from "../support/plain-oracle.js";
import { temporaryDirectory, type TemporaryDirectory } from "../support/temporary-directory.js";

/** Bases whose memory is a state or a window, which cannot be cut back: against plain contexts with all their cells. */

const names = ["hybrid", "recurrent", "windowed"] as const;
type Name = (typeof names)[number];
const maxTokens = 12;

let folder: TemporaryDirectory;
let engine: Engine;
let library: NativeLibrary;
const contexts = new Map<string, ModelContext>();

const file = (name: string) => folder.file(`${name}.gguf`);

function configOf(id: string, base: string, context = { tokens: 256, sequences: 8 }): ResolvedFusionConfig {
  const parsed = fusionConfigSchema.parse({
    id,
    base: { model: file(base), ...(base === "windowed" && { windowCells: true }) },
    reference: file("reference"),
    experts: [{ id: "e", model: file("expert") }],
    strategy: { type: "static", weights: { e: 1 }, plausibility: null },
    context,
  });
  return { config: { ...parsed, strategy: parsed.strategy! }, members: located(parsed), card: null };
}

beforeAll(async () => {
  folder = temporaryDirectory();
  writeGguf(file("hybrid"), randomHybrid());
  writeGguf(file("recurrent"), randomMamba());
  writeGguf(file("windowed"), randomWindowed());
  writeGguf(file("reference"), randomLlama({ seed: 5 }));
  writeGguf(file("expert"), randomLlama({ seed: 6 }));
  engine = await startRealEngine(
    names.map((name) => configOf(name, name)),
    { cacheSequences: 8 },
  );
  library = await openLibrary({ backend: "cpu" });
  for (const name of [...names, "reference", "expert"])
    contexts.set(name, (await load(library, file(name))).createContext(contextOptions));
});

afterAll(async () => {
  await engine.close();
  await library[Symbol.asyncDispose]();
  folder.remove();
});

const promptOf = (seed: number, length: number): number[] =>
  Array.from({ length }, (_, index) => 2 + ((seed * 31 + index * index * 7 + index * 13) % 300));

const ask = (name: Name, tokens: readonly number[], options = {}): Promise<Answer> =>
  answer(engine, {
    ...textRequest(name, ""),
    prompt: { type: "tokens", tokens: [...tokens] },
    maxTokens,
    ...options,
  });

const check = (name: Name, prompt: readonly number[], answered: Answer): Promise<void> =>
  checkGreedy(
    [name, "expert", "reference"].map((each) => contexts.get(each)!),
    prompt,
    answered,
  );

describe.each(names)("a %s base", (name) => {
  it("answers as its rows say, fresh and asked again", async () => {
    const prompt = promptOf(1, 40);
    for (let time = 0; time < 3; time++) {
      const asked = await ask(name, prompt);
      await check(name, prompt, asked);
      // Its state is that after the whole answer, which is no beginning of the prompt.
      expect(asked.done.usage.cachedTokens).toBe(0);
      expect(asked.done.usage.fusion.drafted).toBe(0);
    }
  });

  it("goes on from the state after an earlier answer, and from no other", async () => {
    const prompt = promptOf(2, 30);
    const first = await ask(name, prompt);
    const more = [...prompt, ...first.ids, ...promptOf(3, 8)];
    const second = await ask(name, more);
    // Of the last token nothing has been read.
    expect(second.done.usage.cachedTokens).toBe(prompt.length + first.ids.length - 1);
    await check(name, more, second);
    const other = [...prompt, ...first.ids.slice(0, 4), ...promptOf(4, 8)];
    const third = await ask(name, other);
    expect(third.done.usage.cachedTokens).toBe(0);
    await check(name, other, third);
  });

  it("eight at once, which begin alike and end apart", async () => {
    const prompts = Array.from({ length: 8 }, (_, index) => [
      ...promptOf(5, 20),
      ...promptOf(6 + index, 4 + 5 * index),
    ]);
    const answers = await Promise.all(prompts.map((prompt) => ask(name, prompt)));
    for (const [index, prompt] of prompts.entries()) await check(name, prompt, answers[index]!);
  });

  it("after somebody hung up", async () => {
    const prompt = promptOf(20, 30);
    const request = {
      ...textRequest(name, ""),
      prompt: { type: "tokens" as const, tokens: prompt },
      maxTokens: 200,
    };
    let numEvents = 0;
    for await (const event of engine.generate(request, new AbortController().signal))
      if (event.type === "delta" && ++numEvents === 3) break;
    await check(name, prompt, await ask(name, prompt));
  });

  it("holds what is given, and samples by a seed", async () => {
    const prompt = promptOf(30, 20);
    const forced = promptOf(31, 5);
    const given = await ask(name, prompt, { answerPrefix: { type: "tokens", tokens: forced } });
    expect(given.ids.slice(0, forced.length)).toEqual(forced);
    await check(name, [...prompt, ...forced], {
      ...given,
      ids: given.ids.slice(forced.length),
      tokens: given.tokens.slice(forced.length),
    });
  });
});

it("a window's cells take less than all cells", () => {
  using measurer = library.createMeasurer();
  const cells = (windowCells: boolean) =>
    measurer
      .measure(file("windowed"), inMainMemory, { ...contextOptions, numCells: 8192, windowCells })
      .memory.get(mainMemory)!.cells;
  // Two of the three layers have a window, and a batch on top of it.
  expect(cells(true)).toBeLessThan(0.75 * cells(false));
});

describe("entries of a header that a config replaces", () => {
  const eos = "tokenizer.ggml.eos_token_id";
  const loaded = (metadata: Record<string, string | number | boolean>) =>
    library.loadModel(file("reference"), {
      placement: { ...inMainMemory, metadata },
      onProgress: () => undefined,
    });

  it("its end, and whether it begins with a token", async () => {
    await using plain = await loaded({});
    expect([plain.vocabulary.endToken, plain.vocabulary.addsBos]).toEqual([1, true]);
    await using changed = await loaded({ [eos]: 40, "tokenizer.ggml.add_bos_token": false });
    expect([changed.vocabulary.endToken, changed.vocabulary.addsBos]).toEqual([40, false]);
    expect(changed.vocabulary.isEndOfGeneration(40)).toBe(true);
    expect(changed.facts).toMatchObject({ firstToken: "none" });
  });

  it("numbers of its architecture, which are checked as the file's are", async () => {
    await using changed = await loaded({
      "llama.context_length": 256,
      "llama.attention.layer_norm_rms_epsilon": 1e-3,
    });
    expect(changed.contextTrain).toBe(256);
    const row = async (metadata: Record<string, number>) => {
      await using model = await loaded(metadata);
      return await decodeRow(model.createContext(contextOptions), [2, 3, 4]);
    };
    const [plain, other] = [await row({}), await row({ "llama.attention.layer_norm_rms_epsilon": 1 })];
    expect(largestDifference(plain, other)).toBeGreaterThan(1e-2);
    await expect(loaded({ "llama.block_count": 0 })).rejects.toThrow(/corrupt: llama\.block_count is 0/);
  });

  it("only those that the file has, of their types", async () => {
    await expect(loaded({ "llama.nothing": 3 })).rejects.toThrow(
      /metadata\.llama\.nothing of .*the file has no such/,
    );
    await expect(loaded({ [eos]: "x" })).rejects.toThrow(/is of the type uint32, got "x"/);
    await expect(loaded({ "general.architecture": "gpt2" })).rejects.toThrow(
      /only entries of tokenizer\.ggml and of llama/,
    );
  });

  it("in a config: an answer ends where the changed end is", async () => {
    const prompt = { type: "tokens" as const, tokens: promptOf(40, 12) };
    const ask_ = async (metadata: Record<string, number>) => {
      const { config, ...rest } = configOf("changed", "expert");
      const base = { ...config.base, metadata };
      const changed = { ...config, base, reference: null, experts: [], strategy: { type: "base" as const } };
      const own = await startRealEngine([{ ...rest, config: changed, members: located(changed) }]);
      const { ids } = await answer(own, { ...textRequest("changed", ""), prompt, maxTokens });
      await own.close();
      return ids;
    };
    const plain = await ask_({});
    expect(plain).toHaveLength(maxTokens);
    const end = plain[4]!;
    expect(await ask_({ [eos]: end })).toEqual(plain.slice(0, plain.indexOf(end) + 1));
  });
});

describe("what cannot be fused is refused kindly", () => {
  it("models that make embeddings", () => {
    const parts = readGguf(file("reference"));
    const withEntry = (key: string, type: number, value: Buffer) => {
      const to = folder.file("embedder.gguf");
      saveGguf(to, { ...parts, entries: [...parts.entries, { key, type, value }] });
      return () => checkModelFile(to);
    };
    expect(withEntry("llama.attention.causal", 7, Buffer.of(0))).toThrow(
      /embeddings of whole texts and writes none/,
    );
    expect(withEntry("llama.pooling_type", 4, uint32Bytes(3))).toThrow(/embeddings of whole texts/);
    expect(withEntry("llama.pooling_type", 4, uint32Bytes(0))).not.toThrow();
  });

  it("a context beyond the positions that a model has learned", async () => {
    const [width, feedForward, positions] = [64, 256, 64];
    const { metadata } = randomLlama();
    const value = (number: number) => ({ type: "uint32", value: number }) as const;
    const matrix = (name: string, columns: number, rows: number) =>
      ({ name: `${name}.weight`, shape: [columns, rows], type: "f16", fill: { spread: 0.1 } }) as const;
    const vector = (name: string, length: number, fill: "ones" | { spread: number }) =>
      ({ name, shape: [length], type: "f32", fill }) as const;
    const norm = (name: string) => [
      vector(`${name}.weight`, width, "ones"),
      vector(`${name}.bias`, width, { spread: 0.1 }),
    ];
    writeGguf(file("gpt2"), {
      version: 3,
      metadata: new Map([
        ["general.architecture", { type: "string", value: "gpt2" }],
        ["gpt2.context_length", value(positions)],
        ["gpt2.embedding_length", value(width)],
        ["gpt2.block_count", value(1)],
        ["gpt2.feed_forward_length", value(feedForward)],
        ["gpt2.attention.head_count", value(4)],
        ["gpt2.attention.layer_norm_epsilon", { type: "float32", value: 1e-5 }],
        ...[...metadata].filter(([key]) => key.startsWith("tokenizer.")),
      ]),
      tensors: [
        matrix("token_embd", width, 320),
        { ...matrix("position_embd", width, positions), type: "f32" },
        ...norm("output_norm"),
        ...norm("blk.0.attn_norm"),
        matrix("blk.0.attn_qkv", width, 3 * width),
        vector("blk.0.attn_qkv.bias", 3 * width, { spread: 0.1 }),
        matrix("blk.0.attn_output", width, width),
        vector("blk.0.attn_output.bias", width, { spread: 0.1 }),
        ...norm("blk.0.ffn_norm"),
        matrix("blk.0.ffn_up", width, feedForward),
        vector("blk.0.ffn_up.bias", feedForward, { spread: 0.1 }),
        matrix("blk.0.ffn_down", feedForward, width),
        vector("blk.0.ffn_down.bias", width, { spread: 0.1 }),
      ],
      seed: 9,
    });
    await expect(startRealEngine([configOf("far", "gpt2", { tokens: 128, sequences: 1 })])).rejects.toThrow(
      /context\.tokens is 128, and .*gpt2\.gguf has learned 64 positions and no more\. Set context\.tokens to 64/,
    );
    const near = await startRealEngine([configOf("near", "gpt2", { tokens: positions, sequences: 1 })]);
    const { ids } = await answer(near, { ...textRequest("near", "x".repeat(40)), maxTokens: null });
    expect(ids.length).toBeGreaterThan(0);
    await near.close();
  });
});
