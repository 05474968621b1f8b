import { mkdirSync, readFileSync, renameSync, statSync, truncateSync, writeFileSync } from "node:fs";

import { afterAll, beforeAll, describe, expect, it } from "vitest";

import { ShouldersError } from "../../src/errors.js";
import { checkModelFile } from "../../src/llama/gguf-file.js";
import { openLibrary } from "../../src/llama/library.js";
import { inMainMemory, type LoadedModel, type NativeLibrary } from "../../src/llama/types.js";
import { readGguf, saveGguf, uint32Bytes } from "../support/gguf-editor.js";
import { randomEncoder } from "../support/families.js";
import type { GgufContent, GgufValue } from "../support/gguf-writer.js";
import { corrupt, encodeHeader, randomLlama, uint64, writeGguf } from "../support/gguf-writer.js";
import { contextOptions, decodeRow, load, starterModel } from "../support/llama.js";
import { temporaryDirectory } from "../support/temporary-directory.js";

const directory = temporaryDirectory();
const good = directory.file("good.gguf");
const bad = directory.file("bad.gguf");
let library: NativeLibrary;

beforeAll(async () => {
  library = await openLibrary({ backend: "cpu" });
  writeGguf(good, randomLlama());
});

afterAll(async () => {
  await library[Symbol.asyncDispose]();
  directory.remove();
});

function reasonFor(path: string): string {
  try {
    checkModelFile(path);
  } catch (error) {
    expect(error).toBeInstanceOf(ShouldersError);
    const { code, message } = error as ShouldersError;
    expect(code).toBe("model_file_invalid");
    expect(message).toContain(path);
    return message;
  }
  return "";
}

/** Writes a model whose metadata are changed; a key without a value is removed. */
function writeWith(changes: Record<string, GgufValue | null>, more: Partial<GgufContent> = {}): string {
  const content = randomLlama();
  for (const [key, value] of Object.entries(changes))
    if (value === null) content.metadata.delete(key);
    else content.metadata.set(key, value);
  writeGguf(bad, { ...content, ...more });
  return bad;
}

describe("a file that is no model is refused with its path and the reason", () => {
  it("missing, a directory, empty, foreign", async () => {
    expect(reasonFor(directory.file("none.gguf"))).toMatch(/none\.gguf does not exist/);
    mkdirSync(directory.file("folder.gguf"));
    expect(reasonFor(directory.file("folder.gguf"))).toMatch(/is not a file/);
    writeFileSync(bad, "");
    expect(reasonFor(bad)).toMatch(/is not a GGUF file/);
    writeFileSync(bad, "PK\u0003\u0004 this is a zip file");
    expect(reasonFor(bad)).toMatch(/is not a GGUF file/);
    await expect(load(library, bad)).rejects.toMatchObject({ code: "model_file_invalid" });
  });

  it("truncated at any byte of its header", () => {
    const { length } = encodeHeader(randomLlama());
    for (let at = 0; at < length; at += at < 200 ? 1 : 37) {
      corrupt(good, bad, { length: at });
      expect(reasonFor(bad), `cut at ${at}`).toMatch(/truncated|is not a GGUF file/);
    }
  });

  it("truncated in its tensors, by one byte or many", async () => {
    const { size } = statSync(good);
    for (const length of [size - 1, size - 1000, Math.floor(size / 2)]) {
      corrupt(good, bad, { length });
      expect(reasonFor(bad)).toMatch(/is truncated: it has \d+ bytes, and tensor \S+ ends at byte \d+/);
    }
    corrupt(starterModel("dwarf"), bad, { length: statSync(starterModel("dwarf")).size - 1 });
    await expect(load(library, bad)).rejects.toThrow(/is truncated/);
  });

  it.each([
    ["magic", 0, Buffer.from("GGML")],
    ["version", 4, Buffer.from([9, 0, 0, 0])],
    ["big-endian version", 4, Buffer.from([0, 0, 0, 3])],
    ["tensor count", 8, uint64(2n ** 63n)],
    ["tensor count", 8, uint64(2n ** 40n)],
    ["entry count", 16, uint64(2n ** 64n - 1n)],
    ["entry count", 16, uint64(1_000_000)],
    ["key length", 24, uint64(2n ** 62n)],
    ["key length", 24, uint64(0)],
    ["value type", 52, Buffer.from([77, 0, 0, 0])],
    ["value length", 56, uint64(2n ** 33n)],
  ])("with a wrong %s (at %i)", (_what, at, bytes) => {
    corrupt(good, bad, { at, bytes });
    const before = process.memoryUsage().rss;
    expect(reasonFor(bad)).not.toBe("");
    expect(process.memoryUsage().rss - before).toBeLessThan(50e6);
  });

  it("with an array of absurd length", () => {
    const content = readFileSync(good);
    const at = content.indexOf("tokenizer.ggml.tokens") + "tokenizer.ggml.tokens".length + 8;
    corrupt(good, bad, { at, bytes: uint64(2n ** 40n) });
    expect(reasonFor(bad)).toMatch(
      /the length of tokenizer\.ggml\.tokens is 1099511627776, but only \d+ bytes/,
    );
    corrupt(good, bad, { at: at + 8, bytes: uint64(2n ** 50n) });
    expect(reasonFor(bad)).toMatch(/the length of token 0 is/);
  });

  it("with tensors that cannot be", () => {
    const name = "blk.0.attn_q.weight";
    const at = readFileSync(good).indexOf(name) + name.length;
    corrupt(good, bad, { at, bytes: Buffer.from([5, 0, 0, 0]) });
    expect(reasonFor(bad)).toMatch(/tensor blk\.0\.attn_q\.weight has 5 dimensions/);
    corrupt(good, bad, { at: at + 4, bytes: uint64(2n ** 62n) });
    expect(reasonFor(bad)).toMatch(/is truncated: .* tensor blk\.0\.attn_q\.weight ends at/);
    corrupt(good, bad, { at: at + 4, bytes: uint64(0) });
    expect(reasonFor(bad)).toMatch(/rows of 0 elements/);
    corrupt(good, bad, { at: at + 20, bytes: Buffer.from([99, 0, 0, 0]) });
    expect(reasonFor(bad)).toMatch(/of type 99, which this llama\.cpp cannot read/);
    corrupt(good, bad, { at: at + 24, bytes: uint64(2n ** 63n) });
    expect(reasonFor(bad)).toMatch(/is truncated/);
  });

  it("with a vocabulary that would end the process inside libllama", () => {
    const { metadata } = randomLlama();
    const { value } = metadata.get("tokenizer.ggml.tokens") as unknown as { value: string[] };
    expect(
      reasonFor(
        writeWith({ "tokenizer.ggml.tokens": { type: "strings", value: [...value.slice(1), "<eos>"] } }),
      ),
    ).toMatch(/tokens 0 and 319 are the same/);
    // libllama reads up to the NUL.
    expect(
      reasonFor(
        writeWith({ "tokenizer.ggml.tokens": { type: "strings", value: [...value.slice(1), "<eos>\0x"] } }),
      ),
    ).toMatch(/tokens 0 and 319 are the same/);
    expect(reasonFor(writeWith({ "tokenizer.ggml.tokens": null }))).toMatch(/has no vocabulary/);
    expect(reasonFor(writeWith({ "tokenizer.ggml.tokens": { type: "string", value: "x" } }))).toMatch(
      /is not an array/,
    );
    expect(reasonFor(writeWith({ "tokenizer.ggml.merges": { type: "int32s", value: [1] } }))).toMatch(
      /elements of type int32/,
    );
    expect(reasonFor(writeWith({ "tokenizer.ggml.token_type": { type: "int32s", value: [1, 2] } }))).toMatch(
      /token_type has 2 entries for 320 tokens/,
    );
    expect(reasonFor(writeWith({ "general.alignment": { type: "uint32", value: 33 } }))).toMatch(
      /general\.alignment is 33/,
    );
  });

  it.each([
    ["block_count", 0],
    ["block_count", 513],
    ["block_count", 2 ** 32 - 1],
    ["nextn_predict_layers", 3],
    ["expert_count", 2],
    ["expert_count", 65_536],
    ["expert_used_count", 1],
    ["expert_group_count", 2],
  ])("with a shape that would end the process inside libllama (%s %i)", (name, value) => {
    expect(reasonFor(writeWith({ [`llama.${name}`]: { type: "uint32", value } }))).toMatch(
      new RegExp(`is corrupt: llama\\.${name} is ${value}`),
    );
  });

  it.each([
    ["attention.layer_norm_rms_epsilon", [NaN, Infinity, -Infinity, -1]],
    ["attention.layer_norm_epsilon", [NaN, -1]],
    ["rope.freq_base", [NaN, 0, -1, Infinity]],
    ["rope.scaling.factor", [NaN, Infinity]],
    ["attention.clamp_kqv", [NaN]],
    ["logit_scale", [NaN, Infinity]],
  ])(
    "with a number that would end the process at the first decode, or make all rows NaN: %s",
    (name, values) => {
      for (const value of values)
        expect(reasonFor(writeWith({ [`llama.${name}`]: { type: "float32", value } }))).toMatch(
          `is corrupt: llama.${name} is ${value}`,
        );
    },
  );

  it("with tensors of types for which libllama has no code where they stand", () => {
    const { tensors } = randomLlama();
    const change = (name: string, type: number) => {
      writeGguf(bad, randomLlama());
      const parts = readGguf(bad);
      saveGguf(bad, {
        ...parts,
        tensors: parts.tensors.map((tensor) => (tensor.name === name ? { ...tensor, type } : tensor)),
      });
      return reasonFor(bad);
    };
    for (const { name, shape } of tensors)
      for (const type of shape.length === 1 ? [1, 2, 8, 30] : [24, 25, 27, 28])
        expect(change(name, type)).toMatch(`tensor ${name} is of type ${type}, which no model has there`);
  });

  it("with arrays and texts that only a sparse file can hold, at once", () => {
    const numElements = 10n ** 11n;
    const stringArray = Buffer.concat([uint32Bytes(9), uint32Bytes(8), uint64(numElements)]);
    const longArray = Buffer.concat([uint32Bytes(9), uint32Bytes(0), uint64(numElements)]);
    const nested = Buffer.concat([uint32Bytes(9), uint32Bytes(9), uint64(1)]);
    const longText = Buffer.concat([uint32Bytes(8), uint64(numElements)]);
    for (const [key, value, reason] of [
      ["tokenizer.ggml.tokens", stringArray, /tokens is 100000000000, more than any model/],
      ["some.strings", stringArray, /strings is 100000000000, more than any model/],
      ["some.bytes", longArray, /bytes is 100000000000, more than any model/],
      ["some.nested", nested, /elements of the unknown type 9/],
      ["some.text", longText, /header has more than|text is 100000000000, more than any model/],
    ] as const) {
      const start = [Buffer.from("GGUF"), uint32Bytes(3), uint64(0), uint64(1), uint64(key.length)];
      writeFileSync(bad, Buffer.concat([...start, Buffer.from(key), value]));
      truncateSync(bad, 2 ** 40);
      expect(reasonFor(bad)).toMatch(reason);
    }
    // As many tokens of no text as a header has room for.
    const key = "tokenizer.ggml.tokens";
    const start = [Buffer.from("GGUF"), uint32Bytes(3), uint64(0), uint64(1), uint64(key.length)];
    const tokens = [uint32Bytes(9), uint32Bytes(8), uint64(2 ** 24 - 1)];
    writeFileSync(bad, Buffer.concat([...start, Buffer.from(key), ...tokens]));
    truncateSync(bad, 2 ** 40);
    expect(reasonFor(bad)).toMatch(/it has 16777215 tokens, more than any model/);
    truncateSync(bad, 0);
  });

  it("with an unknown kind of RoPE scaling", () => {
    expect(reasonFor(writeWith({ "llama.rope.scaling.type": { type: "string", value: "odd" } }))).toMatch(
      /is odd/,
    );
  });

  it("that is no language model, or has no weights", () => {
    expect(reasonFor(writeWith({ "general.architecture": null }))).toMatch(/names no architecture/);
    expect(reasonFor(writeWith({}, { tensors: [] }))).toMatch(/has no weights/);
  });

  it("that libllama cannot load, in libllama's words", async () => {
    writeWith({ "general.architecture": { type: "string", value: "nonsense" } });
    await expect(load(library, bad)).rejects.toMatchObject({
      code: "model_file_invalid",
      message: expect.stringMatching(
        /bad\.gguf cannot be loaded: .*unknown model architecture: 'nonsense'/,
      ) as string,
    });
    writeWith({ "llama.embedding_length": null });
    await expect(load(library, bad)).rejects.toThrow(/key not found in model: llama\.embedding_length/);
  });
});

describe("headers with random faults", () => {
  it("load or are refused; none ends the process", async () => {
    const { length } = encodeHeader(randomLlama());
    let state = 12_345;
    const random = (below: number) => {
      state = (Math.imul(state, 1_103_515_245) + 12_345) >>> 0;
      return Math.floor((state / 2 ** 32) * below);
    };
    let numLoaded = 0;
    for (let round = 0; round < 60; round++) {
      const content = readFileSync(good);
      for (let fault = 0; fault < 2; fault++) content[random(length)] = random(3) === 0 ? 0 : random(256);
      writeFileSync(bad, content);
      const model = await load(library, bad).catch((error: unknown) => {
        expect(error).toMatchObject({ code: "model_file_invalid" });
        return null;
      });
      if (model) numLoaded++;
      await model?.[Symbol.asyncDispose]();
    }
    expect(numLoaded).toBeGreaterThan(0);
    expect(numLoaded).toBeLessThan(60);
  });
});

describe("a file that goes with models, or is another kind of one", () => {
  it("what a quantization was weighed by, and a kind that nobody knows", async () => {
    expect(
      reasonFor(
        writeWith({ "general.type": { type: "string", value: "imatrix" }, "general.architecture": null }),
      ),
    ).toMatch(/names no architecture/);
    const content = randomLlama();
    const renamed = [...content.metadata].map(
      ([name, value]) => [name.replace(/^llama\./, "unheard."), value] as const,
    );
    const architecture = { type: "string", value: "unheard" } as const;
    writeGguf(bad, { ...content, metadata: new Map([...renamed, ["general.architecture", architecture]]) });
    await expect(load(library, bad)).rejects.toMatchObject({
      code: "model_file_invalid",
      message: expect.stringMatching(/unknown model architecture.*unheard/) as string,
    });
  });

  it("an encoder", async () => {
    writeGguf(bad, randomEncoder());
    await expect(load(library, bad)).rejects.toMatchObject({
      code: "model_file_invalid",
      message: expect.stringMatching(/is an encoder model; only models that write a text on/) as string,
    });
  });
});

describe("a model in parts", () => {
  const part = (number: number) => directory.file(`split-0000${number}-of-00002.gguf`);

  beforeAll(() => {
    const whole = randomLlama();
    const at = whole.tensors.findIndex(({ name }) => name.startsWith("blk.1."));
    const split = (number: number): [string, GgufValue][] => [
      ["split.no", { type: "uint16", value: number }],
      ["split.count", { type: "uint16", value: 2 }],
      ["split.tensors.count", { type: "int32", value: whole.tensors.length }],
    ];
    writeGguf(part(1), {
      ...whole,
      metadata: new Map([...whole.metadata, ...split(0)]),
      tensors: whole.tensors.slice(0, at),
    });
    writeGguf(part(2), { ...whole, metadata: new Map(split(1)), tensors: whole.tensors.slice(at) });
  });

  it("loads by its first part", async () => {
    const model: LoadedModel = await load(library, part(1));
    const whole = await load(library, good);
    expect(model.sizeBytes).toBe(whole.sizeBytes);
    expect(checkModelFile(part(1)).tensors).toEqual(checkModelFile(good).tensors);
    const context = model.createContext(contextOptions);
    expect(await decodeRow(context, [5, 6, 7])).toHaveLength(320);
    await model[Symbol.asyncDispose]();
    await whole[Symbol.asyncDispose]();
  });

  it("is refused by another part, under another name, and when a part is missing", () => {
    expect(reasonFor(part(2))).toMatch(/names no architecture|is part 00002/);
    writeFileSync(bad, readFileSync(part(1)));
    expect(reasonFor(bad)).toMatch(/its name does not end in -00001-of-NNNNN\.gguf/);
    renameSync(part(2), directory.file("away.gguf"));
    expect(() => checkModelFile(part(1))).toThrow(/split-00002-of-00002\.gguf does not exist/);
    renameSync(directory.file("away.gguf"), part(2));
  });
});

describe("loading", () => {
  it("tells its progress up to the end", async () => {
    const fractions: number[] = [];
    const model = await library.loadModel(starterModel("giant"), {
      placement: inMainMemory,
      onProgress: (fraction) => fractions.push(fraction),
    });
    expect(fractions.length).toBeGreaterThan(3);
    expect(fractions).toEqual([...fractions].sort((a, b) => a - b));
    expect(fractions.at(-1)).toBe(1);
    await model[Symbol.asyncDispose]();
  });

  it("of several files at once works, also beside one that fails", async () => {
    writeFileSync(bad, "nothing");
    const results = await Promise.allSettled([
      load(library, starterModel("dwarf")),
      load(library, bad),
      load(library, good),
    ]);
    expect(results.map(({ status }) => status)).toEqual(["fulfilled", "rejected", "fulfilled"]);
    for (const result of results)
      if (result.status === "fulfilled") await result.value[Symbol.asyncDispose]();
  });
});
