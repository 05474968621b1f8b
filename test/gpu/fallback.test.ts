import { readFileSync, rmSync } from "node:fs";
import path from "node:path";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import type { Engine } from "../../src/protocol/protocol.js";
import { softwareDevice, startOnDevice, useSoftwareDevice } from "../support/gpu.js";
import { answer, faultyEntry, resolvedConfig, textRequest } from "../support/real-engine.js";

/** Where `auto` goes when a device does not work, on Mesa's software device and on drivers that are made to fail. */

const folder = useSoftwareDevice();
const brokenEntry = new URL("../support/faulty-device.mjs", import.meta.url);
const dwarf = resolvedConfig({ id: "dwarf", base: "dwarf" });
const question = (text: string) => textRequest("dwarf", text, { maxTokens: 4 });

let engine: Engine | undefined;
const forget = () => rmSync(path.join(folder, "backends.json"), { force: true });

beforeEach(() => {
  Object.assign(process.env, softwareDevice);
  forget();
});

afterEach(async () => {
  await engine?.close();
  engine = undefined;
});

describe("auto", () => {
  it("computes on the software device, without what makes its driver crash, and knows that the next time", async () => {
    const first = await startOnDevice([dwarf], { settings: { backend: "auto" } });
    engine = first.engine;
    expect(engine.description!.library).toMatchObject({ backend: "vulkan" });
    expect(engine.description!.library.devices.join()).toMatch(/llvmpipe/);
    expect(engine.description!.configs[0]!.base.gpuLayers).toBeGreaterThan(0);
    expect((await answer(engine, question("The"))).ids.length).toBeGreaterThan(0);
    await engine.close();
    const tried = readFileSync(path.join(folder, "backends.json"), "utf8");
    // A Mesa that holds with flash attention has one trial and no line; Debian 12's crashes.
    const hasCrashed = tried.includes("does not work");
    expect(first.lines().map(({ msg }) => msg)).toEqual(
      hasCrashed
        ? [
            expect.stringMatching(
              /^vulkan does not work: .*SIGSEGV.* Computing on vulkan without flash attention\./,
            ),
          ]
        : [],
    );
    const second = await startOnDevice([dwarf], { settings: { backend: "auto" } });
    engine = second.engine;
    expect(engine.description!.library.backend).toBe("vulkan");
    expect(readFileSync(path.join(folder, "backends.json"), "utf8")).toBe(tried);
    expect(second.lines().every(({ level }) => level === 30)).toBe(true);
  });

  it("goes to the processor, with one line, where no device may be used", async () => {
    delete process.env["GGML_VK_VISIBLE_DEVICES"];
    const started = await startOnDevice([dwarf], { settings: { backend: "auto" } });
    engine = started.engine;
    expect(engine.description!.library).toMatchObject({ backend: "cpu", devices: [] });
    expect(started.lines()).toMatchObject([
      {
        msg: expect.stringMatching(
          /^Backend "vulkan" does not work.*no device.*on the processor\./,
        ) as string,
      },
    ]);
  });

  it.each(["abort", "hang", "block"])("goes to the processor when drivers %s", async (fault) => {
    process.env["DEVICE_FAULT"] = fault;
    const started = await startOnDevice([dwarf], {
      settings: { backend: "auto" },
      entry: brokenEntry,
      trialTimeoutMs: fault === "abort" ? 120_000 : 3_000,
    });
    engine = started.engine;
    expect(engine.description!.library.backend).toBe("cpu");
    const reason = fault === "abort" ? /SIGABRT/ : /in time and was killed/;
    expect(started.lines().map(({ msg }) => msg)).toEqual([expect.stringMatching(reason)]);
    expect((await answer(engine, question("The"))).ids.length).toBeGreaterThan(0);
  });

  it("leaves a device on which its engine keeps dying, tells each client, and stays ready on the next", async () => {
    const started = await startOnDevice([dwarf], { settings: { backend: "auto" }, entry: faultyEntry });
    engine = started.engine;
    const { pid } = engine.description!;
    let deaths = 0;
    while (engine.description?.library.backend !== "cpu") {
      if (engine.description === null) {
        await new Promise((resolve) => setTimeout(resolve, 20));
        continue;
      }
      await expect(answer(engine, question("!segfault!"))).rejects.toMatchObject({ code: "engine_died" });
      deaths++;
    }
    // Three with each way to use the device: what crashed on trial is none.
    expect(deaths).toBeGreaterThanOrEqual(3);
    expect(deaths).toBeLessThanOrEqual(6);
    expect(engine.description.pid).not.toBe(pid);
    expect((await answer(engine, question("The"))).ids.length).toBeGreaterThan(0);
    expect(started.lines().map(({ msg }) => msg)).toContainEqual(
      expect.stringMatching(/does not hold: its engine died 3 times.*on the processor\./),
    );
  }, 300_000);
});

describe("a named backend", () => {
  it("says why it does not work", async () => {
    delete process.env["GGML_VK_VISIBLE_DEVICES"];
    await expect(startOnDevice([dwarf])).rejects.toMatchObject({
      code: "library_mismatch",
      message: expect.stringMatching(
        /finds no device to compute on; it needs a GPU and its Vulkan driver/,
      ) as string,
    });
    await expect(startOnDevice([dwarf], { settings: { backend: "cuda" } })).rejects.toMatchObject({
      code: "library_mismatch",
      message: expect.stringMatching(/"cuda" does not work.*runtime of CUDA/) as string,
    });
  });

  it("says what its driver did, with and without flash attention", async () => {
    process.env["DEVICE_FAULT"] = "abort";
    await expect(startOnDevice([dwarf], { entry: brokenEntry })).rejects.toMatchObject({
      code: "engine_died",
      message: expect.stringMatching(
        /^Backend "vulkan" does not work here\. .*SIGABRT.* without flash attention does not work: .*SIGABRT/,
      ) as string,
    });
  });
});
