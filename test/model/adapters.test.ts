import { copyFileSync, readFileSync, writeFileSync } from "node:fs";
import path from "node:path";
import { afterAll, beforeAll, describe, expect, it, onTestFinished } from "vitest";
import { fusionConfigSchema } from "../../src/config/fusion-config.js";
import type { Engine, ResolvedFusionConfig } from "../../src/protocol/protocol.js";
import { checkAdapterFile } from "../../src/llama/adapter-file.js";
import { checkModelFile } from "../../src/llama/gguf-file.js";
import { readExpertFacts } from "../../src/llama/model-facts.js";
import { openLibrary } from "../../src/llama/library.js";
import { inMainMemory, mainMemory, type AdapterUse, type NativeLibrary } from "../../src/llama/types.js";
import { argmax, contextOptions, decodeRow, largestDifference, starterModel } from "../support/llama.js";
import {
  type AdapterTensor,
  changeOf,
  floatEntry,
  textEntry,
  writeAdapter,
  writeMerged,
} from "../support/lora.js";
import { run } from "../support/command-line.js";
import { located } from "../support/members.js";
import { answer, questions, root, startRealEngine, textRequest } from "../support/real-engine.js";
import { serve } from "../support/server.js";
import { configSchema } from "../../src/wire/config.js";
import { temporaryDirectory, type TemporaryDirectory } from "../support/temporary-directory.js";
import { withText, type GgufEntry } from "../support/gguf-editor.js";

/** LoRA adapters of the reference as experts. */

const prompts = [...questions("recall").slice(0, 10), ...questions("sums").slice(0, 10)].map(
  ({ prompt }) => prompt,
);
const alpha = 16;

let folder: TemporaryDirectory;
/** The reference with matrices in float32, so that a merged model is not rounded. */
let reference: string;
let change: ReturnType<typeof changeOf>;
let trivia: string;
let sums: string;

beforeAll(() => {
  folder = temporaryDirectory();
  reference = folder.file("reference.gguf");
  trivia = folder.file("trivia-lora.gguf");
  sums = folder.file("sums-lora.gguf");
  change = changeOf(starterModel("dwarf"), starterModel("dwarf-trivia"));
  writeMerged(starterModel("dwarf"), reference, [], 0);
  writeAdapter(trivia, change, { alpha });
  writeAdapter(sums, changeOf(starterModel("dwarf"), starterModel("dwarf-sums")), { alpha });
});

afterAll(() => folder.remove());

const merged = (factor: number): string => {
  const file = folder.file(`merged-${factor}.gguf`);
  writeMerged(starterModel("dwarf"), file, change, factor);
  return file;
};

describe("an adapter", () => {
  let library: NativeLibrary;
  beforeAll(async () => {
    library = await openLibrary({ backend: "cpu" });
  });
  afterAll(() => library[Symbol.asyncDispose]());

  const rowsOf = async (path: string, adapter?: AdapterUse) => {
    const adapters = adapter === undefined ? [] : [adapter.path];
    await using model = await library.loadModel(path, {
      placement: inMainMemory,
      adapters,
      onProgress: () => undefined,
    });
    const context = model.createContext({ ...contextOptions, ...(adapter && { adapter }) });
    const rows: Float32Array[] = [];
    for (const prompt of prompts) {
      rows.push(await decodeRow(context, [model.vocabulary.bos!, ...model.tokenize(prompt, true)]));
      context.removePositions(0, 0, null);
    }
    return rows;
  };

  it.each([1, 0.5, -0.25, 2])("at scale %f gives the rows of the merged model", async (scale) => {
    const own = await rowsOf(reference, { path: trivia, scale });
    const whole = await rowsOf(merged(scale));
    const plain = await rowsOf(reference);
    own.forEach((row, index) => {
      expect(largestDifference(row, whole[index]!)).toBeLessThan(1e-2);
      expect(largestDifference(row, plain[index]!)).toBeGreaterThan(0.05);
    });
  });

  it("leaves other contexts of its model as they are", async () => {
    const model = await library.loadModel(reference, {
      placement: inMainMemory,
      adapters: [trivia, sums],
      onProgress: () => undefined,
    });
    onTestFinished(() => model[Symbol.asyncDispose]());
    const contexts = [undefined, { path: trivia, scale: 1 }, { path: sums, scale: 1 }].map((adapter) =>
      model.createContext({ ...contextOptions, ...(adapter && { adapter }) }),
    );
    const tokens = [model.vocabulary.bos!, ...model.tokenize(prompts[0]!, true)];
    // All at the same time.
    const rows = await Promise.all(contexts.map((context) => decodeRow(context, tokens)));
    const alone = [await rowsOf(reference), await rowsOf(reference, { path: trivia, scale: 1 })];
    expect(largestDifference(rows[0]!, alone[0]![0]!)).toBe(0);
    expect(largestDifference(rows[1]!, alone[1]![0]!)).toBe(0);
    expect(largestDifference(rows[2]!, rows[1]!)).toBeGreaterThan(0.05);
  });

  it("takes its own weights and a context, not those of its model again", () => {
    using measurer = library.createMeasurer();
    const whole = measurer.measure(reference, inMainMemory, contextOptions).memory.get(mainMemory)!;
    const adapter = { path: trivia, scale: 1 };
    const own = measurer
      .measure(reference, inMainMemory, { ...contextOptions, adapter })
      .memory.get(mainMemory)!;
    expect(own.weights).toBe(checkAdapterFile(trivia, checkModelFile(reference)).sizeBytes);
    expect(own.cells).toBe(whole.cells);
    expect(own.compute).toBeGreaterThan(whole.compute);
  });
});

/** A config over the starter's giant. */
const configOf = (id: string, experts: object[], reference_ = reference): ResolvedFusionConfig => {
  const parsed = fusionConfigSchema.parse({
    id,
    base: starterModel("giant"),
    reference: reference_,
    experts,
    strategy: { type: "static", weights: { trivia: 1 }, plausibility: null },
    context: { tokens: 512, sequences: 4 },
  });
  return { config: { ...parsed, strategy: parsed.strategy! }, members: located(parsed), card: null };
};

describe("a config with an adapter", () => {
  let engine: Engine;
  beforeAll(async () => {
    engine = await startRealEngine([
      configOf("adapter", [{ id: "trivia", adapter: trivia }]),
      configOf("half", [{ id: "trivia", adapter: trivia, scale: 0.5 }]),
      configOf("merged", [{ id: "trivia", model: merged(1) }]),
    ]);
  });
  afterAll(() => engine.close());

  it("answers as with the merged model", async () => {
    for (const prompt of prompts) {
      const [own, whole] = [
        await answer(engine, textRequest("adapter", prompt)),
        await answer(engine, textRequest("merged", prompt)),
      ];
      // Up to where two tokens are as good as each other.
      const parted = own.tokens.findIndex(({ record }, index) => record.token.id !== whole.ids[index]);
      if (parted < 0) expect(own.text).toBe(whole.text);
      else {
        const [one, other] = [own.tokens[parted]!.record, whole.tokens[parted]!.record];
        expect(Math.abs(one.logprob - other.logprob), prompt).toBeLessThan(1e-2);
      }
    }
  });

  it("is described by the API", async () => {
    const { url, server } = await serve(engine);
    onTestFinished(() => server.close());
    const answered = await fetch(`${url}/v1/fusion/configs/half`);
    const { experts, reference: plain } = configSchema.parse(await answered.json());
    expect(experts[0]).toMatchObject({
      file: "trivia-lora.gguf",
      adapter: { scale: 0.5, ranks: [64, 64], alpha },
    });
    expect(plain!.adapter).toBeNull();
  });

  it("says what it is, and shares the reference's weights", () => {
    const { configs, memory } = engine.description!;
    const [config, half, whole] = configs;
    const [expert] = config!.experts;
    expect(expert).toMatchObject({
      path: trivia,
      adapter: { scale: 1, ranks: [64, 64], alpha, modelBytes: config!.reference!.sizeBytes },
      architecture: "llama",
    });
    expect(expert!.adapter!.modelBytes).toBe(config!.reference!.sizeBytes);
    expect(half!.experts[0]!.adapter!.scale).toBe(0.5);
    expect(whole!.experts[0]!.adapter).toBeNull();
    expect(new Set(configs.map(({ digest }) => digest)).size).toBe(3);
    const places = memory.find(({ name }) => name === mainMemory)!;
    const files = [config!.base, config!.reference!, whole!.experts[0]!, expert!, half!.experts[0]!];
    const bytes = files.reduce((sum, { sizeBytes }) => sum + sizeBytes, 0);
    expect(Math.abs(places.buffers.weights / bytes - 1)).toBeLessThan(0.02);
    expect(config!.warnings.map(({ code }) => code)).not.toContain("expert_is_reference");
  });
});

it("`check` says what adapters take, and what merged models would", async () => {
  const config = folder.file("adapters.json");
  const experts = [
    { id: "trivia", adapter: trivia },
    { id: "sums", adapter: "sums-lora.gguf", scale: 0.5 },
  ];
  writeFileSync(config, JSON.stringify({ id: "adapters", base: starterModel("giant"), reference, experts }));
  const { code, stdout } = await run(["check", config, "--backend", "cpu", "--threads", "1"]);
  expect(code).toBe(0);
  expect(stdout).toMatch(
    /adapters +trivia-lora\.gguf \(rank 64, alpha 16, scale 1\), sums-lora\.gguf \(rank 64, alpha 16, scale 0\.5\): [\d.]+ [KM]iB beside the reference; merged models would take [\d.]+ [KM]iB/,
  );
});

const refusedOf = (file: string): { code: string; message: string } => {
  try {
    checkAdapterFile(file, checkModelFile(reference));
  } catch (error) {
    return error as { code: string; message: string };
  }
  throw new Error("it was taken");
};

const refusedBy = async (file: string, scale = 1): Promise<{ code: string; message: string }> => {
  try {
    const engine = await startRealEngine([configOf("bad", [{ id: "trivia", adapter: file, scale }])]);
    await engine.close();
  } catch (error) {
    return error as { code: string; message: string };
  }
  throw new Error("it was taken");
};

describe("an adapter that cannot be right", () => {
  type Changes = Partial<Parameters<typeof writeAdapter>[2]>;
  const written = (changes: Changes): string => {
    const file = folder.file("bad.gguf");
    writeAdapter(file, change, { alpha, ...changes });
    return file;
  };
  const only = (change_: (tensor: AdapterTensor) => AdapterTensor) => (tensors: AdapterTensor[]) =>
    tensors.map((tensor, index) => (index === 0 ? change_(tensor) : tensor));
  const extra = (name: string, shape: number[]) => (tensors: AdapterTensor[]) => [
    ...tensors,
    { name, shape, values: new Float32Array(shape.reduce((product, each) => product * each, 1)) },
  ];
  const pair = (name: string, a: number[], b: number[]) => (tensors: AdapterTensor[]) =>
    extra(`${name}.lora_b`, b)(extra(`${name}.lora_a`, a)(tensors));
  const invoked: GgufEntry = {
    key: "adapter.alora.invocation_tokens",
    type: 9,
    value: Buffer.from([4, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 7, 0, 0, 0]),
  };

  it.each<[string, Changes, RegExp]>([
    [
      "of the embeddings, which are the output too",
      { tensors: pair("token_embd.weight", [4, 992], [4, 64]) },
      /also the output/,
    ],
    [
      "with a norm",
      { tensors: extra("blk.0.attn_norm.weight", [64]) },
      /attn_norm\.weight, which libllama leaves out/,
    ],
    [
      "of another architecture",
      { architecture: "qwen2" },
      /architecture qwen2, and the reference .* is llama/,
    ],
    [
      "of a matrix that is not there",
      { tensors: pair("output.weight", [64, 4], [4, 992]) },
      /adapts output\.weight, which/,
    ],
    [
      "of another width",
      { tensors: only((tensor) => ({ ...tensor, shape: [32, 64], values: tensor.values.slice(2048) })) },
      /A is 32×64 and B 64×64, the matrix 64×64/,
    ],
    ["with half a pair", { tensors: (all) => all.slice(1) }, /half of the pair of blk\.0\.attn_q\.weight/],
    [
      "of experts of a mixture",
      { tensors: only((tensor) => ({ ...tensor, shape: [32, 64, 2] })) },
      /does not fit/,
    ],
    ["without tensors", { tensors: () => [] }, /no tensors/],
    [
      "that is none",
      { entries: { "adapter.type": textEntry("adapter.type", "control_vector") } },
      /no LoRA adapter/,
    ],
    [
      "without an end of its alpha",
      { entries: { "adapter.lora.alpha": floatEntry("adapter.lora.alpha", Infinity) } },
      /alpha is Infinity/,
    ],
    ["that waits for tokens", { entries: { "adapter.alora.invocation_tokens": invoked } }, /aLoRA/],
  ])("%s", (_name, changes, message) => {
    const { code, message: said } = refusedOf(written(changes));
    expect(said).toMatch(message);
    expect(code).toBe("adapter_invalid");
  });

  it("is refused before libllama sees it", async () => {
    const tensors = pair("token_embd.weight", [4, 992], [4, 64]);
    expect((await refusedBy(written({ tensors }))).code).toBe("adapter_invalid");
  });

  it("with metadata of another type, which would end the process", () => {
    const entries = {
      "adapter.lora.alpha": { key: "adapter.lora.alpha", type: 4, value: Buffer.from([16, 0, 0, 0]) },
    };
    expect(refusedOf(written({ entries }))).toMatchObject({
      code: "model_file_invalid",
      message: expect.stringMatching(/adapter\.lora\.alpha is uint32/) as string,
    });
    const text = { "adapter.type": { key: "adapter.type", type: 4, value: Buffer.from([1, 0, 0, 0]) } };
    expect(refusedOf(written({ entries: text })).code).toBe("adapter_invalid");
  });

  it("a whole model in the place of an adapter, and the other way round", async () => {
    const whole = refusedOf(starterModel("dwarf-trivia"));
    expect(whole.message).toMatch(/is a whole model; give it to the expert as "model"/);
    await expect(startRealEngine([configOf("swapped", [{ id: "trivia", model: trivia }])])).rejects.toThrow(
      /is a LoRA adapter; give it to an expert as "adapter"/,
    );
  });

  it("that was saved before it was trained", async () => {
    const zero = (tensors: AdapterTensor[]) =>
      tensors.map((tensor) =>
        tensor.name.endsWith("lora_b") ? { ...tensor, values: tensor.values.map(() => 0) } : tensor,
      );
    expect(await refusedBy(written({ tensors: zero }))).toMatchObject({
      code: "adapter_has_no_effect",
      message: expect.stringMatching(/changes nothing at scale 1/) as string,
    });
    expect((await refusedBy(trivia, 0)).code).toBe("adapter_has_no_effect");
  });

  it("of a model of another name is told", async () => {
    const file = folder.file("other-lora.gguf");
    writeAdapter(file, change, { alpha, trainedOn: "Qwen2.5 0.5B Instruct" });
    const engine = await startRealEngine([configOf("other", [{ id: "trivia", adapter: file }])]);
    onTestFinished(() => engine.close());
    const found = engine.description!.configs[0]!.warnings.filter(
      ({ code }) => code === "adapter_of_another_model",
    );
    expect(found.map(({ message }) => message)).toEqual([
      'expert "trivia" says that it was trained on Qwen2.5 0.5B Instruct; the reference is dwarf',
    ]);
  });

  it("of a model whose file alone is called after it is not", async () => {
    const file = folder.file("named-lora.gguf");
    writeAdapter(file, change, { alpha, trainedOn: "Qwen2.5 0.5B Instruct" });
    const called = folder.file("qwen2.5-0.5b-instruct.F16.gguf");
    copyFileSync(reference, called);
    const engine = await startRealEngine([configOf("named", [{ id: "trivia", adapter: file }], called)]);
    onTestFinished(() => engine.close());
    const codes = engine.description!.configs[0]!.warnings.map(({ code }) => code);
    expect(codes).not.toContain("adapter_of_another_model");
  });
});

describe("an adapter that peft trained and llama.cpp's script converted (models/recipe/lora.py)", () => {
  const lora = path.join(root, "test/data/lora/problems-lora.gguf");
  const whole = path.join(root, "test/data/lora/problems-merged.gguf");

  it("gives the rows and the greedy texts of the model that peft merged", async () => {
    const dwarf = folder.file("dwarf.gguf");
    writeMerged(path.join(root, "models/family/dwarf.gguf"), dwarf, [], 0);
    await using library = await openLibrary({ backend: "cpu" });
    const loading = { placement: inMainMemory, onProgress: () => undefined };
    const own = await library.loadModel(dwarf, { ...loading, adapters: [lora] });
    const merged_ = await library.loadModel(whole, loading);
    const contexts = [
      own.createContext({ ...contextOptions, adapter: { path: lora, scale: 1 } }),
      merged_.createContext(contextOptions),
    ];
    const lines = readFileSync(path.join(root, "models/tasks/problems.jsonl"), "utf8")
      .trim()
      .split("\n")
      .slice(0, 20);
    for (const line of lines) {
      const { messages } = JSON.parse(line) as { messages: { role: "user"; content: string }[] };
      const { tokens } = await own.renderChat(messages);
      let rows = await Promise.all(contexts.map((context) => decodeRow(context, tokens)));
      for (let start = tokens.length; start < tokens.length + 40; start++) {
        expect(largestDifference(rows[0]!, rows[1]!)).toBeLessThan(1e-2);
        const next = argmax(rows[0]!);
        // Two tokens that are as good as each other may change places.
        expect(Math.abs(rows[1]![next]! - Math.max(...rows[1]!))).toBeLessThan(1e-2);
        if (own.vocabulary.isEndOfGeneration(next)) break;
        rows = await Promise.all(contexts.map((context) => decodeRow(context, [next], { start })));
      }
      for (const context of contexts) context.removePositions(0, 0, null);
    }
  });
});

it("`init` takes an adapter where it asks for an expert", () => {
  const dwarf = path.join(root, "models/family/dwarf.gguf");
  const lora = path.join(root, "test/data/lora/problems-lora.gguf");
  const { facts, isAdapter } = readExpertFacts(lora, dwarf);
  expect(isAdapter).toBe(true);
  expect(facts).toMatchObject({
    path: lora,
    architecture: "llama",
    quantization: "F16",
    numParameters: 23_808,
  });
  expect(readExpertFacts(dwarf, dwarf).isAdapter).toBe(false);
  expect(() => readExpertFacts(lora, reference)).toThrow(/was it trained on another|does not fit/);
});

describe("files that go with models and are none", () => {
  it("projectors, and pointers that Git LFS left", () => {
    const projector = folder.file("mmproj.gguf");
    withText(reference, projector, "general.type", "mmproj");
    expect(() => checkModelFile(projector)).toThrow(/reads images or sound \(mmproj\)/);
    const pointer = folder.file("pointer.gguf");
    writeFileSync(pointer, "version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 1\n");
    expect(() => checkModelFile(pointer)).toThrow(/Git LFS has not brought; run `git lfs pull`/);
  });
});
