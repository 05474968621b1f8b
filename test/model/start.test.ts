import { chmodSync, mkdirSync, readdirSync, readFileSync, rmSync } from "node:fs";
import path from "node:path";
import { afterAll, afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import type { Engine } from "../../src/protocol/protocol.js";
import { isAlive } from "../support/processes.js";
import { answer, resolvedConfig, startRealEngine, textRequest } from "../support/real-engine.js";
import { temporaryDirectory } from "../support/temporary-directory.js";

const config = resolvedConfig({
  id: "trivia",
  base: "giant",
  reference: "dwarf",
  experts: { trivia: "dwarf-trivia" },
});

const directory = temporaryDirectory();
let folder: string;
let engine: Engine | null = null;

beforeEach(() => {
  folder = directory.file(`cache-${Math.random()}`);
  vi.stubEnv("SHOULDERS_CACHE_DIR", folder);
});

afterEach(async () => {
  await engine?.close();
  engine = null;
  vi.unstubAllEnvs();
});

afterAll(() => directory.remove());

/** Resolves once the engine is in the wished state; the vitest time-out is the limit. */
async function until(condition: () => boolean): Promise<void> {
  while (!condition()) await new Promise((resolve) => setTimeout(resolve, 5));
}

/** The texts of what is kept. */
function keptFiles(): string[] {
  const timings = path.join(folder, "decode-timings");
  return readdirSync(timings)
    .filter((name) => name.endsWith(".json"))
    .map((name) => readFileSync(path.join(timings, name), "utf8"));
}

async function start(settings: Parameters<typeof startRealEngine>[1] = {}) {
  await engine?.close();
  engine = await startRealEngine([config], settings);
  return engine;
}

/** How the engine that has just started knows how to decode. */
const sourceOf = async (settings: Parameters<typeof startRealEngine>[1] = {}) =>
  (await start(settings)).description?.decoding.source;

const ask = async (asked: Engine) =>
  (await answer(asked, textRequest("trivia", "Question: When was Monen Rupi born?\nAnswer:"))).text;

describe("a start", () => {
  it("measures once, and anew for another number of threads", async () => {
    expect(await sourceOf()).toBe("measured");
    await until(() => keptFiles().every((file) => file.includes('"isSettled":true')));
    const first = await ask(engine as Engine);
    const kept = (engine as Engine).description?.decoding;
    expect(await sourceOf()).toBe("cache");
    expect((engine as Engine).description?.decoding).toEqual({ ...kept, source: "cache" });
    expect(await ask(engine as Engine)).toBe(first);
    expect(await sourceOf({ threads: null })).toBe("measured");
    expect(keptFiles()).toHaveLength(2);
  });

  it("takes up requests that come while it still measures", async () => {
    const started = await start();
    const texts = await Promise.all(Array.from({ length: 8 }, () => ask(started)));
    expect(new Set(texts).size).toBe(1);
  });

  it.each(["with", "without"])("after a kill does not measure again, %s a cache folder", async (kind) => {
    // A file in the folder's place: nothing can be kept there, whoever asks.
    if (kind === "without") vi.stubEnv("SHOULDERS_CACHE_DIR", "/dev/null");
    const started = await start();
    expect(started.description?.decoding.source).toBe("measured");
    const pid = started.description?.pid as number;
    const before = await ask(started);
    process.kill(pid, "SIGKILL");
    await until(() => started.description !== null && started.description.pid !== pid);
    expect(started.description?.decoding.source).toBe("cache");
    expect(isAlive(pid)).toBe(false);
    expect(await ask(started)).toBe(before);
  });

  it.each([
    ["what was kept is gone", () => rmSync(folder, { recursive: true })],
    ["the folder cannot be written", () => chmodSync(folder, 0o500)],
  ])("works where %s", async (_, spoil) => {
    mkdirSync(folder);
    spoil();
    expect(await sourceOf()).toBe("measured");
    expect(await ask(engine as Engine)).not.toBe("");
  });
});
