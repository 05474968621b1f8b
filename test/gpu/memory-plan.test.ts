import { execFile } from "node:child_process";
import { writeFileSync } from "node:fs";
import path from "node:path";
import { promisify } from "node:util";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { type Buffers, mainMemory } from "../../src/llama/types.js";
import { run } from "../support/command-line.js";
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

async function probe(gpuLayers: number, changes: object): Promise<Probed> {
  const given = {
    backend: "vulkan",
    path: giant,
    placement: { devices: ["Vulkan0"], gpuLayers },
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

describe("check", () => {
  let directory: TemporaryDirectory;
  beforeAll(() => {
    directory = temporaryDirectory();
  });
  afterAll(() => directory.remove());

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
    expect(stdout).toMatch(/in Vulkan0 \(.*\): weights .*, cells .*, compute .*/);
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
