import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import path from "node:path";
import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import { Backends } from "../../../src/engine/backends.js";
import type { EngineSettings } from "../../../src/protocol/protocol.js";
import { ShouldersError } from "../../../src/errors.js";
import type { GpuDriver } from "../../../src/llama/gpu-drivers.js";

let folder: string;
let lines: { level: "warn" | "info" | "debug"; text: string }[];

beforeEach(() => {
  folder = mkdtempSync(path.join(tmpdir(), "backends-"));
  vi.stubEnv("SHOULDERS_CACHE_DIR", folder);
  lines = [];
});

afterEach(() => {
  vi.unstubAllEnvs();
  rmSync(folder, { recursive: true, force: true });
});

const both: GpuDriver[] = [
  { backend: "cuda", identity: "driver 550" },
  { backend: "vulkan", identity: "mesa 22" },
];

function backends(
  requested: EngineSettings["backend"] = "auto",
  { drivers = both, models = ["giant"] }: { drivers?: GpuDriver[]; models?: string[] } = {},
): Backends {
  const write = (level: "warn" | "info" | "debug") => (first: unknown, second?: string) => {
    lines.push({ level, text: typeof first === "string" ? first : (second ?? "") });
  };
  const log = { warn: write("warn"), info: write("info"), debug: write("debug") };
  return new Backends({ requested, models, drivers, log });
}

const died = () =>
  new ShouldersError("engine_died", "the engine process ended at its first decode (SIGSEGV).");
const noDevice = (backend: string) =>
  new ShouldersError("library_mismatch", `Backend "${backend}" finds no device.`);

/** Starts as the client does, with what comes of each try. @returns what was tried. */
function start(chosen: Backends, works: (name: string) => true | ShouldersError): string[] {
  const tried: string[] = [];
  for (;;) {
    const { backend, flashAttention, isTrial } = chosen.choice;
    const name = `${backend} ${flashAttention}`;
    tried.push(isTrial ? `${name}?` : name);
    const outcome = works(name);
    if (outcome === true) {
      if (isTrial) chosen.proved();
      chosen.settled();
      return tried;
    }
    const final = chosen.failed(outcome);
    if (final !== null) throw final;
  }
}

describe("auto", () => {
  it("takes the first that works, and does not try it again at the next start", () => {
    expect(start(backends(), () => true)).toEqual(["cuda auto?"]);
    expect(start(backends(), () => true)).toEqual(["cuda auto"]);
    expect(lines).toEqual([]);
  });

  it("leaves flash attention out, then goes on, and ends at the processor, with one line", () => {
    expect(start(backends(), (name) => (name.startsWith("cpu") ? true : died()))).toEqual([
      "cuda auto?",
      "cuda off?",
      "vulkan auto?",
      "vulkan off?",
      "cpu auto",
    ]);
    expect(lines).toHaveLength(1);
    expect(lines[0]).toMatchObject({ level: "warn" });
    expect(lines[0]!.text).toMatch(
      /^cuda does not work: the engine process ended.*vulkan without flash attention does not work.*Computing on the processor\. .*tried again.*backends\.json\.$/s,
    );
  });

  it("goes past a backend that has no device, with and without flash attention", () => {
    const works = (name: string) => (name.startsWith("cuda") ? noDevice("cuda") : true);
    expect(start(backends(), works)).toEqual(["cuda auto?", "vulkan auto?"]);
    expect(lines.map(({ text }) => text.match(/finds no device/g)?.length)).toEqual([1]);
  });

  it("remembers what failed by library and driver, and tells it again without alarm", () => {
    start(backends(), (name) => (name.startsWith("cpu") ? true : died()));
    lines = [];
    expect(start(backends(), () => true)).toEqual(["cpu auto"]);
    expect(lines.map(({ level }) => level)).toEqual(["info"]);
    const updated = [both[0]!, { backend: "vulkan", identity: "mesa 24" } as const];
    expect(start(backends("auto", { drivers: updated }), () => true)).toEqual(["vulkan auto?"]);
  });

  it("remembers a driver that only certain models break for those alone", () => {
    const works = (name: string) => (name.startsWith("cpu") ? true : died());
    start(backends("auto", { drivers: [both[0]!] }), () => true);
    expect(start(backends("auto", { drivers: [both[0]!] }), works)).toEqual([
      "cuda auto",
      "cuda off?",
      "cpu auto",
    ]);
    expect(start(backends("auto", { drivers: [both[0]!] }), () => true)).toEqual(["cpu auto"]);
    expect(start(backends("auto", { drivers: [both[0]!], models: ["dwarf"] }), () => true)).toEqual([
      "cuda auto",
    ]);
  });

  it("does not blame a driver for models that no backend can load", () => {
    start(backends("auto", { drivers: [both[0]!] }), () => true);
    expect(() => start(backends("auto", { drivers: [both[0]!] }), () => died())).toThrow(/ended/);
    // Without flash attention it died on trial; with it, only while these models were loaded.
    expect(start(backends("auto", { drivers: [both[0]!] }), () => true)).toEqual(["cuda auto"]);
  });

  it("uses the processor for what does not fit a device, this time", () => {
    const full = new ShouldersError("out_of_memory", "Model x does not fit.");
    const works = (name: string) => (name.startsWith("cuda") ? full : true);
    expect(start(backends("auto", { drivers: [both[0]!] }), works)).toEqual(["cuda auto?", "cpu auto"]);
    expect(start(backends("auto", { drivers: [both[0]!] }), () => true)).toEqual(["cuda auto?"]);
  });

  it("stops at an error that no other backend would mend", () => {
    const invalid = new ShouldersError("model_file_invalid", "Model file x is corrupt.");
    expect(() => start(backends(), () => invalid)).toThrow("Model file x is corrupt.");
  });

  it("goes on when its engine keeps dying, and stays at the processor", () => {
    const chosen = backends("auto", { drivers: [both[1]!] });
    start(chosen, () => true);
    expect(chosen.gaveOut("it died 3 times.")).toBe(true);
    expect(start(chosen, () => true)).toEqual(["vulkan off?"]);
    expect(chosen.gaveOut("it died 3 times.")).toBe(true);
    expect(start(chosen, () => true)).toEqual(["cpu auto"]);
    expect(chosen.gaveOut("it died 3 times.")).toBe(false);
    // A lucky trial is not relied on for ever.
    expect(start(backends("auto", { drivers: [both[1]!] }), () => true)).toEqual(["vulkan auto?"]);
    expect(lines.map(({ text }) => text)).toEqual([
      expect.stringMatching(
        /^vulkan does not hold: it died 3 times\. Computing on vulkan without flash attention/,
      ),
      expect.stringMatching(/^vulkan without flash attention does not hold: .* Computing on the processor/),
    ]);
  });
});

describe("a named backend", () => {
  it("works or says why, and is tried again each time", () => {
    for (let time = 0; time < 2; time++)
      expect(() => start(backends("vulkan"), () => died())).toThrow(
        /^Backend "vulkan" does not work here\. vulkan does not work: .* vulkan without flash attention does not work: .* --backend auto or cpu\.$/s,
      );
    expect(start(backends("vulkan"), () => true)).toEqual(["vulkan auto?"]);
    expect(start(backends("vulkan"), () => true)).toEqual(["vulkan auto"]);
  });

  it("goes without flash attention where that is known to fail", () => {
    const works = (name: string) => (name.endsWith("auto") ? died() : true);
    expect(start(backends("vulkan"), works)).toEqual(["vulkan auto?", "vulkan off?"]);
    expect(start(backends("vulkan"), works)).toEqual(["vulkan off"]);
  });

  it("without a driver is left to the library, which knows what is missing", () => {
    const refusal = () => start(backends("metal"), () => noDevice("metal"));
    expect(refusal).toThrow('Backend "metal" finds no device.');
  });

  it("cpu needs no trial", () => {
    expect(start(backends("cpu"), () => true)).toEqual(["cpu auto"]);
  });
});

describe("the file of what was tried", () => {
  it.each(["{", '{"x": 1}', "[]"])("that says %s counts as nothing tried and is written anew", (text) => {
    writeFileSync(path.join(folder, "backends.json"), text);
    expect(start(backends(), () => true)).toEqual(["cuda auto?"]);
    expect(start(backends(), () => true)).toEqual(["cuda auto"]);
    const written = JSON.parse(readFileSync(path.join(folder, "backends.json"), "utf8")) as object;
    expect(Object.values(written)).toMatchObject([{ failure: null }]);
  });

  it("that cannot be written costs the next start a trial, and nothing else", () => {
    const file = path.join(folder, "a-file");
    writeFileSync(file, "");
    vi.stubEnv("SHOULDERS_CACHE_DIR", path.join(file, "inside"));
    const chosen = backends();
    expect(start(chosen, () => true)).toEqual(["cuda auto?"]);
    // A restart of the engine does not try again.
    expect(start(chosen, () => true)).toEqual(["cuda auto"]);
    expect(start(backends(), () => true)).toEqual(["cuda auto?"]);
    expect(lines.every(({ level }) => level === "debug")).toBe(true);
  });

  it("keeps the newest hundred", () => {
    for (let driver = 0; driver < 110; driver++)
      start(backends("auto", { drivers: [{ backend: "cuda", identity: `driver ${driver}` }] }), () => true);
    const written = JSON.parse(readFileSync(path.join(folder, "backends.json"), "utf8")) as object;
    expect(Object.keys(written)).toHaveLength(100);
  });
});
