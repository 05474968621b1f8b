import { mkdirSync, readdirSync, readFileSync, utimesSync, writeFileSync } from "node:fs";
import path from "node:path";
import { beforeEach, describe, expect, it, vi } from "vitest";
import { keepTimings, readTimings, timingsKey, type TimedParts } from "../../../src/engine/kept-timings.js";
import type { KnownTimings } from "../../../src/protocol/timings.js";
import { defaultSettings, resolvedConfig } from "../../support/real-engine.js";
import { temporaryDirectory } from "../../support/temporary-directory.js";

const timingsOf = (key: string, stepMs = 1): KnownTimings => ({
  key,
  isSettled: true,
  date: new Date().toISOString(),
  timings: {
    mode: "together",
    threads: { giant: 1 },
    stepMs,
    batch: { mode: "in-turn", threads: { giant: 2 }, stepMs: 2 },
    promptTokenMs: 0.1,
  },
  curves: { giant: [{ tokens: 1, rows: 1, ms: 5 }] },
});

const key = "0123456789abcdef";
const directory = temporaryDirectory();
let folder: string;
const debug = vi.fn<(...fields: unknown[]) => void>();
const log = { debug };

beforeEach(() => {
  folder = directory.file(`cache-${Math.random()}`);
  vi.stubEnv("SHOULDERS_CACHE_DIR", folder);
  debug.mockClear();
  return () => vi.unstubAllEnvs();
});

const files = () => readdirSync(path.join(folder, "decode-timings"));

describe("kept timings", () => {
  it("are read as they were kept, by their key alone", () => {
    expect(readTimings(key, log)).toBeNull();
    keepTimings(timingsOf(key), log);
    expect(readTimings(key, log)).toEqual({ ...timingsOf(key), date: expect.any(String) as string });
    expect(readTimings("fedcba9876543210", log)).toBeNull();
    expect(debug).not.toHaveBeenCalled();
  });

  it.each([
    ["nothing", ""],
    ["half a file", JSON.stringify(timingsOf(key)).slice(0, 80)],
    ["another program's file", '{"threads": 8}'],
    ["a number that is none", JSON.stringify(timingsOf(key)).replace('"stepMs":1', '"stepMs":-1')],
    ["threads beyond reason", JSON.stringify(timingsOf(key)).replace('"giant":1', '"giant":1e9')],
    ["a key of another version", JSON.stringify({ ...timingsOf(key), more: 1 })],
    ["bytes", "\0\x01\x02"],
    ["far too much", " ".repeat(2 ** 21)],
  ])("are taken anew where there is %s in their place", (_, text) => {
    keepTimings(timingsOf(key), log);
    writeFileSync(path.join(folder, "decode-timings", `${key}.json`), text);
    expect(readTimings(key, log)).toBeNull();
    expect(debug).toHaveBeenCalledOnce();
    keepTimings(timingsOf(key, 3), log);
    expect(readTimings(key, log)?.timings.stepMs).toBe(3);
  });

  it("of another key under this name are not used", () => {
    keepTimings(timingsOf("fedcba9876543210"), log);
    const text = readFileSync(path.join(folder, "decode-timings", "fedcba9876543210.json"));
    writeFileSync(path.join(folder, "decode-timings", `${key}.json`), text);
    expect(readTimings(key, log)).toBeNull();
  });

  it.each([
    ["a file lies in the folder's place", () => writeFileSync(folder, "")],
    [
      "a folder lies in the file's place",
      () => mkdirSync(path.join(folder, "decode-timings", `${key}.json`), { recursive: true }),
    ],
  ])("are no error where they cannot be: %s", (_, spoil) => {
    spoil();
    expect(readTimings(key, log)).toBeNull();
    keepTimings(timingsOf(key), log);
    expect(readTimings(key, log)).toBeNull();
    expect(debug).toHaveBeenCalled();
  });

  it("are bounded in number, and what a killed process left goes as well", () => {
    mkdirSync(path.join(folder, "decode-timings"), { recursive: true });
    for (let index = 0; index < 80; index++) {
      const name = index % 2 ? `old-${index}.json` : `old-${index}.json.draft`;
      const file = path.join(folder, "decode-timings", name);
      writeFileSync(file, "x");
      utimesSync(file, 1_000 + index, 1_000 + index);
    }
    keepTimings(timingsOf(key), log);
    expect(files()).toHaveLength(64);
    expect(files()).toContain("old-79.json");
    expect(files()).not.toContain("old-16.json.draft");
    expect(readTimings(key, log)).not.toBeNull();
  });
});

describe("the key of timings", () => {
  const parts: TimedParts = {
    library: {
      llamaVersion: "v1",
      nodeLlamaCppVersion: "3",
      backend: "vulkan",
      devices: ["a"],
    } as unknown as TimedParts["library"],
    configs: [
      resolvedConfig({ id: "one", base: "giant", reference: "dwarf", experts: { sums: "dwarf-sums" } }),
    ],
    settings: defaultSettings,
    modelIds: ["giant", "dwarf", "dwarf-sums"],
    hashOf: (file) => `of ${path.basename(file)}`,
  };
  const changedConfig = (change: (config: TimedParts["configs"][number]) => void): TimedParts => {
    const configs = structuredClone(parts.configs) as [TimedParts["configs"][number]];
    change(configs[0]);
    return { ...parts, configs };
  };

  it.each<[string, TimedParts]>([
    ["library", { ...parts, library: { ...parts.library, llamaVersion: "v2" } }],
    ["backend", { ...parts, library: { ...parts.library, backend: "cpu" } }],
    ["device", { ...parts, library: { ...parts.library, devices: ["b"] } }],
    ["set number of threads", { ...parts, settings: { ...parts.settings, threads: 2 } }],
    ["choice of threads", { ...parts, settings: { ...parts.settings, threads: null } }],
    ["content of a model file", { ...parts, hashOf: (file) => `${file.includes("sums")}` }],
    [
      "placement",
      changedConfig(({ members }) => (members.base.source = { ...members.base.source, gpuLayers: 3 })),
    ],
    [
      "number of sequences",
      changedConfig(({ config }) => (config.context = { ...config.context, sequences: 2 })),
    ],
    [
      "set of models",
      changedConfig(({ members }) => {
        if (members.reference) members.reference.path = members.base.path;
      }),
    ],
  ])("is another with another %s", (_, changed) => {
    expect(timingsKey(changed)).not.toBe(timingsKey(parts));
  });

  it("is the same wherever files lie, whatever configs are called, and however they fuse", () => {
    const moved = changedConfig((resolved) => {
      const { base } = resolved.members;
      base.path = `/elsewhere/${path.basename(base.path)}`;
      base.source = resolved.config.base = { ...base.source, model: base.path };
      resolved.config.id = "another";
      resolved.config.strategy = { type: "static", weights: { sums: 1 }, plausibility: null };
    });
    expect(timingsKey(moved)).toBe(timingsKey(parts));
  });
});
