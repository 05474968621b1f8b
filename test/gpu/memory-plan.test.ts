import { execFile } from "node:child_process";
import { closeSync, ftruncateSync, openSync, writeFileSync, writeSync } from "node:fs";
import path from "node:path";
import { promisify } from "node:util";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { type Buffers, mainMemory } from "../../src/llama/types.js";
import { run } from "../support/command-line.js";
import { encodeHeader, randomLlama } from "../support/gguf-writer.js";
import { root } from "../support/real-engine.js";
import { temporaryDirectory, type TemporaryDirectory } from "../support/temporary-directory.js";

/** The memory plan on a GPU backend: Mesa's software device will do. */

const environment = { GGML_VK_VISIBLE_DEVICES: "0" };
const giant = path.join(root, "models/family/giant.gguf");
const options = {
  numCells: 4096,
  numSequences: 16,
  batchTokens: 512,
  maxRows: 40,
  threads: 1,
  flashAttention: "off",
};

interface Probed {
  measured: Record<string, Buffers>;
  used: Record<string, Buffers>;
}

async function probe(
  gpuLayers: number,
  changes: object,
  { file = giant, usesMmap = true } = {},
): Promise<Probed> {
  const given = {
    backend: "vulkan",
    path: file,
    placement: { devices: ["Vulkan0"], gpuLayers, usesMmap },
    options: { ...options, ...changes },
  };
  const script = path.join(root, "test/model/buffers-probe.mjs");
  const { stdout } = await promisify(execFile)(process.execPath, [script, JSON.stringify(given)], {
    env: { ...process.env, ...environment },
  });
  return JSON.parse(stdout) as Probed;
}

describe("what is measured of a device is what libllama allocates there", () => {
  it.each([
    [1, {}],
    [3, {}],
    [7, {}],
    [7, { numCells: 16_384, microBatch: 128 }],
    [3, { cacheTypes: { keys: "q8_0", values: "f16" } }],
  ])("%d layers, %o", async (gpuLayers, changes) => {
    const { measured, used } = await probe(gpuLayers, changes);
    expect(Object.keys(measured).sort()).toEqual(["Vulkan0", mainMemory].sort());
    for (const place of Object.keys(measured)) {
      const [plan, real] = [measured[place]!, used[place]!];
      // Sizes are logged in hundredths of a MiB.
      for (const kind of ["weights", "compute"] as const)
        expect(Math.abs(plan[kind] - real[kind]), `${place} ${kind}`).toBeLessThan(0.02 * 2 ** 20);
      const noted = place === mainMemory ? 48 * ("numCells" in changes ? changes.numCells : 4096) : 0;
      expect(Math.abs(plan.cells - noted - real.cells), `${place} cells`).toBeLessThan(0.02 * 2 ** 20);
    }
  });
});

let directory: TemporaryDirectory;
beforeAll(() => {
  directory = temporaryDirectory();
});
afterAll(() => directory.remove());

describe("an output that is also the table of embeddings, and too large for the device", () => {
  /** All of it is zero: what libllama allocates depends on the header alone. */
  function hollow(embedding: number): string {
    const model = randomLlama({ vocabularySize: 151_936, embedding, layers: 1, feedForward: 256 });
    const tensors = model.tensors.filter(({ name }) => name !== "output.weight");
    const header = encodeHeader({ ...model, tensors });
    const file = directory.file(`hollow-${embedding}.gguf`);
    const descriptor = openSync(file, "w");
    writeSync(descriptor, header);
    const numbers = tensors.reduce(
      (sum, { shape }) => sum + shape.reduce((product, length) => product * length),
      0,
    );
    ftruncateSync(descriptor, header.length + 4 * numbers);
    closeSync(descriptor);
    return file;
  }

  it.each([
    ["the table is in memory of the driver", 256, false],
    ["nor can it have the table", 1024, false],
    ["of a mapped file", 256, true],
  ])("%s", async (_name, embedding, usesMmap) => {
    const { measured, used } = await probe(99, { microBatch: 32 }, { file: hollow(embedding), usesMmap });
    for (const place of ["Vulkan0", mainMemory])
      expect(
        Math.abs(measured[place]!.weights - used[place]!.weights),
        `${place} ${JSON.stringify({ measured, used })}`,
      ).toBeLessThan(0.02 * 2 ** 20);
  });
});

describe("check", () => {
  const check = (base: object, context: object = {}) => {
    const file = directory.file("config.json");
    writeFileSync(
      file,
      JSON.stringify({ id: "placed", base: { model: giant, flashAttention: "off", ...base }, context }),
    );
    return run(["check", file, "--backend", "vulkan", "--threads", "1"], { environment });
  };

  it("prints what lies on the device and what in main memory", async () => {
    const { stdout, stderr, code } = await check({ device: 0, gpuLayers: 4 }, { tokens: 256, sequences: 1 });
    expect({ code, stderr }).toMatchObject({ code: 0 });
    expect(stdout).toMatch(/in Vulkan0 \(.*\): 4 layers, weights .*, cells .*, compute .*/);
    expect(stdout).toMatch(/in main memory: weights .*, cells .*, compute .*, rows .*, programs about/);
    // The software device is slow to time.
  }, 300_000);

  it("refuses what the backend cannot do", async () => {
    const rows = await check({ splitMode: "row" });
    expect(rows.stderr).toMatch(/the backend of Vulkan0 has no split of rows/);
    const stranger = await check({ device: "CUDA0" });
    expect(stranger.stderr).toMatch(/there is no device CUDA0; there are: Vulkan0 \(/);
    expect([rows.code, stranger.code]).toEqual([2, 2]);
  });

  it("refuses layers that do not fit and offers how many would", async () => {
    const { stderr, code } = await check({ gpuLayers: 7 }, { tokens: 131_072, sequences: 8 });
    expect(code).toBe(1);
    expect(stderr).toMatch(/Vulkan0 would need [\d.]+ GiB of [\d.]+ GiB \(giant: /);
    expect(stderr).toMatch(/It would fit with .*context\.tokens \d+ \(of 131072\)/);
  });
});
