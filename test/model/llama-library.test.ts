import koffi from "koffi";
import { afterEach, describe, expect, it, vi } from "vitest";

import { ShouldersError } from "../../src/errors.js";
import { liveNativeBytes } from "../../src/llama/bindings.js";
import { tensorTypes } from "../../src/llama/gguf-format.js";
import { openLibrary } from "../../src/llama/library.js";
import type { NativeLibrary } from "../../src/llama/types.js";
import { contextOptions, decodeRow, load, neutralSampling, starterModel } from "../support/llama.js";

describe("the native library", () => {
  it("opens, says what it is, and can be opened again", async () => {
    for (let time = 0; time < 2; time++) {
      const library = await openLibrary({ backend: "cpu" });
      expect(library).toMatchObject({
        llamaVersion: "v0.5.0",
        nodeLlamaCppVersion: "3.22.1",
        backend: "cpu",
        devices: [],
      });
      const model = await load(library, starterModel("dwarf"));
      expect(model.placement.gpuLayers).toBe(0);
      await library[Symbol.asyncDispose]();
      await library[Symbol.asyncDispose]();
      await expect(load(library, starterModel("dwarf"))).rejects.toThrow(/after the library was closed/);
    }
  });

  it("names a backend that is not there", async () => {
    await expect(openLibrary({ backend: "metal" })).rejects.toMatchObject({
      code: "library_mismatch",
      message: expect.stringMatching(/Backend "metal" does not work on linux-x64/) as string,
    });
  });

  it("releases models and contexts that were left open", async () => {
    const library = await openLibrary({ backend: "cpu" });
    const model = await load(library, starterModel("dwarf"));
    const context = model.createContext(contextOptions);
    context.batch.add(5, 0, 0, true);
    const decoding = context.decode();
    const long = "a long text ".repeat(20_000);
    const expected = model.tokenize(long, false);
    const [reading, tooLate] = [model.tokenizeAside(long, false), model.tokenizeAside(long, false)];
    await new Promise((resolve) => setImmediate(resolve));
    const [, tokens, refused] = await Promise.allSettled([library[Symbol.asyncDispose](), reading, tooLate]);
    expect(tokens).toMatchObject({ value: expected });
    expect(refused).toMatchObject({ reason: { message: expect.stringMatching(/released/) as string } });
    await decoding;
    expect(() => model.tokenize("x", false)).toThrow(/after it was released/);
    expect(() => context.logits(0)).toThrow(/after it was released/);
    expect(liveNativeBytes()).toBe(0);
  });

  it("knows the block of every tensor type as ggml does", async () => {
    const library = await openLibrary({ backend: "cpu" });
    const { sharedObjects } = process.report.getReport() as unknown as { sharedObjects: string[] };
    const ggml = koffi.load(sharedObjects.find((path) => /libggml-base/.test(path))!);
    const blockElements = ggml.func("int64_t ggml_blck_size(int type)") as (type: number) => number;
    const blockBytes = ggml.func("size_t ggml_type_size(int type)") as (type: number) => number;
    for (let type = 0; type < 43; type++)
      expect(tensorTypes[type] ?? [0, 0]).toEqual([blockElements(type), blockBytes(type)]);
    await library[Symbol.asyncDispose]();
  });
});

describe("loading and releasing", () => {
  async function cycle(library: NativeLibrary): Promise<void> {
    const model = await load(library, starterModel("giant"));
    const context = model.createContext(contextOptions);
    const chain = library.createSamplerChain(neutralSampling, model.vocabulary.size);
    await model.renderChat([{ role: "user", content: "Hello?" }]);
    chain.sample(await decodeRow(context, [5, 6, 7]), { position: 0, numCandidates: 2 });
    await expect(load(library, "/nowhere/none.gguf")).rejects.toBeInstanceOf(ShouldersError);
    chain[Symbol.dispose]();
    await context[Symbol.asyncDispose]();
    await model[Symbol.asyncDispose]();
  }

  it("50 times leaves nothing behind", async () => {
    const library = await openLibrary({ backend: "cpu" });
    for (let time = 0; time < 15; time++) await cycle(library);
    const before = {
      rss: process.memoryUsage().rss,
      callbacks: koffi.stats().callbacks,
      bytes: liveNativeBytes(),
    };
    for (let time = 0; time < 50; time++) await cycle(library);
    const grownMb = (process.memoryUsage().rss - before.rss) / 1e6;
    // A model and its context take 20 MB: a leak would show as 1,000. What the allocator keeps varies.
    expect(grownMb).toBeLessThan(150);
    expect(koffi.stats().callbacks).toBe(before.callbacks);
    expect(liveNativeBytes()).toBe(before.bytes);
    await library[Symbol.asyncDispose]();
    expect(liveNativeBytes()).toBe(0);
  });
});

describe("a library of another version is refused with both versions", () => {
  afterEach(() => {
    vi.doUnmock("node-llama-cpp");
    vi.doUnmock("../../src/llama/abi.js");
    vi.resetModules();
  });

  async function refusal(): Promise<{ code: string; message: string }> {
    vi.resetModules();
    const { openLibrary: openAgain } = await import("../../src/llama/library.js");
    return openAgain({ backend: "cpu" }).then(
      () => ({ code: "", message: "opened" }),
      (error: unknown) => error as ShouldersError,
    );
  }

  it("by its version", async () => {
    vi.doMock("node-llama-cpp", async (original) => ({
      ...(await original<object>()),
      getModuleVersion: () => Promise.resolve("9.9.9"),
    }));
    expect(await refusal()).toMatchObject({
      code: "library_mismatch",
      message: expect.stringMatching(
        /written for llama\.cpp v0\.5\.0 \(node-llama-cpp 3\.22\.1\); found llama\.cpp v0\.5\.0 \(node-llama-cpp 9\.9\.9\)/,
      ) as string,
    });
  });

  type Abi = typeof import("../../src/llama/abi.js");
  type Fields = Abi["structs"]["contextParams"];

  const without = (name: string) => (fields: Fields) =>
    Object.fromEntries(Object.entries(fields).filter(([field]) => field !== name));

  it.each([
    [
      "a struct of another size than the C header's",
      without("n_samplers"),
      {},
      /contextParams takes 152 bytes instead of 160/,
    ],
    [
      "a function that writes more than the struct holds",
      without("n_samplers"),
      { contextParams: 152 },
      /llama_context_default_params of v0\.5\.0 writes 160 bytes instead of 152/,
    ],
    [
      "a missing field that padding hides",
      without("n_rs_seq"),
      {},
      /n_outputs_max_per_seq of v0\.5\.0 reads 0 instead of 1/,
    ],
    [
      "defaults that read as nonsense",
      ({ n_ctx, n_batch, ...fields }: Fields) => ({ n_batch, n_ctx, ...fields }),
      {},
      /n_batch of v0\.5\.0 reads 512 instead of 2048/,
    ],
  ])("by %s", async (_name, change, sizes, message) => {
    vi.doMock("../../src/llama/abi.js", async (original) => {
      const abi = await original<Abi>();
      return {
        ...abi,
        structs: { ...abi.structs, contextParams: change(abi.structs.contextParams) },
        structSizes: { ...abi.structSizes, ...sizes },
      };
    });
    expect(await refusal()).toMatchObject({
      code: "library_mismatch",
      message: expect.stringMatching(message) as string,
    });
  });
});
