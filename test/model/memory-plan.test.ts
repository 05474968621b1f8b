import { execFile } from "node:child_process";
import { closeSync, mkdirSync, ftruncateSync, openSync, statSync, writeFileSync, writeSync } from "node:fs";
import path from "node:path";
import { promisify } from "node:util";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { openLibrary } from "../../src/llama/library.js";
import {
  type Buffers,
  type ContextOptions,
  inMainMemory,
  mainMemory,
  type Measurer,
  type NativeLibrary,
  type Placement,
} from "../../src/llama/types.js";
import { run } from "../support/command-line.js";
import { encodeHeader, type GgufValue, randomLlama, writeGguf } from "../support/gguf-writer.js";
import { randomHybrid } from "../support/families.js";
import { createQuantizer } from "../support/quantize.js";
import { memoryUse } from "../support/memory-use.js";
import { root } from "../support/real-engine.js";
import { temporaryDirectory, type TemporaryDirectory } from "../support/temporary-directory.js";

/** What is planned from headers alone, against what libllama allocates and what the processes hold. */

const familyModel = (name: string) => path.join(root, "models/family", `${name}.gguf`);
const options: ContextOptions = {
  numCells: 4096,
  numSequences: 16,
  batchTokens: 512,
  maxRows: 40,
  threads: 1,
};

let library: NativeLibrary;
let measurer: Measurer;
let directory: TemporaryDirectory;
/** 44 M parameters: files, cells and buffers of some size. */
let large: string;
let hybrid: string;
/** A tied table of embeddings in another type than the layers, which many processors have rearranged. */
let tied: string;
const largeContent = randomLlama({
  vocabularySize: 4096,
  embedding: 512,
  layers: 12,
  heads: 8,
  feedForward: 1536,
  contextTrain: 4096,
});

beforeAll(async () => {
  directory = temporaryDirectory();
  large = directory.file("large.gguf");
  writeGguf(large, largeContent);
  hybrid = directory.file("hybrid.gguf");
  writeGguf(hybrid, randomHybrid());
  library = await openLibrary({ backend: "cpu" });
  tied = directory.file("tied.gguf");
  const whole = directory.file("tied-f16.gguf");
  const tensors = largeContent.tensors.filter(({ name }) => name !== "output.weight");
  writeGguf(whole, { ...largeContent, tensors });
  createQuantizer()(whole, tied, "Q4_0");
  measurer = library.createMeasurer();
});

afterAll(async () => {
  measurer[Symbol.dispose]();
  await library[Symbol.asyncDispose]();
  directory.remove();
});

const measure = (file: string, changes: Partial<ContextOptions> = {}, placement: Placement = inMainMemory) =>
  measurer.measure(file, placement, { ...options, ...changes }).memory.get(mainMemory)!;

interface Probed {
  measured: Record<string, Buffers>;
  used: Record<string, Buffers>;
}

async function probe(file: string, changes: Partial<ContextOptions>): Promise<Probed> {
  // Where the processor has weights rearranged (AMX), pages of a mapped file would count beside the copy.
  const placement = { usesMmap: false };
  const given = { backend: "cpu", path: file, placement, options: { ...options, ...changes } };
  const script = path.join(root, "test/model/buffers-probe.mjs");
  const { stdout } = await promisify(execFile)(process.execPath, [script, JSON.stringify(given)]);
  return JSON.parse(stdout) as Probed;
}

describe("what is measured is what libllama allocates", () => {
  it.each<[string, () => string, Partial<ContextOptions>]>([
    ["the shipped giant", () => familyModel("giant"), {}],
    ["the shipped dwarf", () => familyModel("dwarf"), {}],
    ["without flash attention", () => large, { flashAttention: "off" }],
    ["cells of q8_0", () => large, { cacheTypes: { keys: "q8_0", values: "q8_0" } }],
    ["keys of q4_0 and values of f32", () => large, { cacheTypes: { keys: "q4_0", values: "f32" } }],
    ["small parts of a batch", () => large, { microBatch: 64 }],
    ["layers with a state", () => hybrid, {}],
    ["layers of q4_0 under a table of q6_K", () => tied, {}],
    ["more cells", () => large, { numCells: 32_768, numSequences: 4 }],
  ])("%s", async (_name, file, changes) => {
    const { measured, used } = await probe(file(), changes);
    expect(Object.keys(measured)).toEqual([mainMemory]);
    const [plan, real] = [measured[mainMemory]!, used[mainMemory]!];
    expect(Math.abs(plan.weights / real.weights - 1)).toBeLessThan(0.02);
    // Beside keys and values, what libllama notes of each cell, which its log leaves out.
    const noted = 48 * (changes.numCells ?? options.numCells);
    expect(Math.abs((plan.cells - noted) / real.cells - 1)).toBeLessThan(0.001);
    expect(plan.compute).toBe(real.compute);
    // libllama begins with a row a sequence, and takes what a batch asks for.
    expect(plan.rows).toBeGreaterThanOrEqual(real.rows);
  });

  it("takes nothing while it measures", () => {
    const before = process.memoryUsage.rss();
    measure(large, { numCells: 262_144 });
    expect(process.memoryUsage.rss() - before).toBeLessThan(statSync(large).size);
  });

  it("more cells than are measured grow in proportion", () => {
    const [some, more] = [262_144, 1_048_576].map((numCells) => measure(large, { numCells }));
    expect(more!.cells / some!.cells).toBeCloseTo(4, 5);
    expect(more!.compute).toBeGreaterThan(some!.compute);
    expect(more!.weights).toBe(some!.weights);
  });

  it("tells why libllama would not make such a context", () => {
    const cacheTypes = { keys: "f16", values: "q8_0" } as const;
    expect(() => measure(large, { cacheTypes, flashAttention: "off" })).toThrow(
      /large\.gguf cannot be used with such a context: .*flash_attn/,
    );
    // Heads of 16 numbers are no blocks of 32.
    const narrow = directory.file("narrow.gguf");
    writeGguf(narrow, randomLlama());
    expect(() => measure(narrow, { cacheTypes: { keys: "q8_0", values: "q8_0" } })).toThrow(/block size 32/);
  });
});

describe("files", () => {
  it("of which only the header is there", () => {
    const hollow = directory.file("hollow.gguf");
    const file = openSync(hollow, "w");
    writeSync(file, encodeHeader(largeContent));
    ftruncateSync(file, statSync(large).size);
    closeSync(file);
    expect(measure(hollow)).toEqual(measure(large));
  });

  it("split in three", () => {
    const part = (number: number) => directory.file(`split-0000${number}-of-00003.gguf`);
    const split = (number: number): [string, GgufValue][] => [
      ["split.no", { type: "uint16", value: number }],
      ["split.count", { type: "uint16", value: 3 }],
      ["split.tensors.count", { type: "int32", value: largeContent.tensors.length }],
    ];
    const bounds = [0, 20, 50, largeContent.tensors.length];
    for (const index of [0, 1, 2])
      writeGguf(part(index + 1), {
        ...largeContent,
        metadata: new Map([...(index === 0 ? largeContent.metadata : []), ...split(index)]),
        tensors: largeContent.tensors.slice(bounds[index], bounds[index + 1]),
      });
    expect(measure(part(1))).toEqual(measure(large));
  });
});

describe("the command line", () => {
  const configFile = (config: object) => {
    const file = directory.file("config.json");
    writeFileSync(file, JSON.stringify({ id: "large", base: large, ...config }));
    return file;
  };
  const flags = ["--backend", "cpu", "--threads", "1"];

  it("refuses what does not fit, and what it offers instead fits", async () => {
    const limited = (tokens: number) =>
      run(["check", configFile({ context: { tokens, sequences: 64 } }), ...flags]);
    const { code, stderr } = await limited(1_048_576);
    expect(code).toBe(1);
    expect(stderr).toMatch(
      /main memory would need [\d.]+ GiB of [\d.]+ GiB \(large: weights 0\.1 GiB, cells/,
    );
    const offered = Number(/context\.tokens (\d+) \(of 1048576\)/.exec(stderr)?.[1]);
    expect(offered).toBeGreaterThanOrEqual(256);
  });

  it("names both configs that want different things of one file", async () => {
    const folder = directory.file("configs");
    mkdirSync(folder);
    for (const [id, cacheType] of Object.entries({ one: "q8_0", two: "f16" }))
      writeFileSync(
        path.join(folder, `${id}.json`),
        JSON.stringify({ id, base: { model: large, cacheType } }),
      );
    const { code, stderr } = await run(["serve", "--port", "0", "--fusion-configs", folder, ...flags]);
    expect(code).toBe(2);
    expect(stderr).toMatch(
      /Configs "one" and "two" say different things of .*large\.gguf.*cacheType "q8_0" and "f16"/,
    );
  });

  it("says that there is no such device", async () => {
    const { code, stderr } = await run([
      "check",
      configFile({ base: { model: large, device: "CUDA3" } }),
      ...flags,
    ]);
    expect(code).toBe(2);
    expect(stderr).toMatch(/large\.gguf: there is no device CUDA3; there are: none/);
  });

  it("plans within 10 % of what both processes hold when all of it is used", async () => {
    // Pages of a mapped file are resident until the system wants them, beside a copy that is rearranged.
    const base = { model: large, mmap: false };
    const file = configFile({ base, context: { tokens: 1024, sequences: 8 } });
    const { planned, used, printed } = await memoryUse(file, "large");
    expect(Math.abs(used - planned) / used, `${planned} planned, ${used} used, ${printed}`).toBeLessThan(0.1);
  });
});
