import { spawn } from "node:child_process";
import { once } from "node:events";
import { readdirSync } from "node:fs";
import path from "node:path";
import { expect, it, onTestFinished, vi } from "vitest";
import { keepTimings, readTimings } from "../../src/engine/kept-timings.js";
import type { KnownTimings } from "../../src/protocol/timings.js";
import { root } from "../support/real-engine.js";
import { temporaryDirectory } from "../support/temporary-directory.js";

const key = "0123456789abcdef";

const timingsOf = (stepMs: number): KnownTimings => ({
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

it("kept timings are whole whenever they are read while two processes write them", async () => {
  const directory = temporaryDirectory();
  onTestFinished(() => directory.remove());
  vi.stubEnv("SHOULDERS_CACHE_DIR", directory.path);
  onTestFinished(() => void vi.unstubAllEnvs());
  const debug = vi.fn<(...fields: unknown[]) => void>();
  const log = { debug };
  const module = path.join(root, "dist/engine/kept-timings.js");
  const program = `
    import { keepTimings } from ${JSON.stringify(module)};
    const known = JSON.parse(process.argv[1]);
    for (let count = 0; count < 300; count++) keepTimings(known, { debug(fields) { throw fields.err; } });`;
  const write = (stepMs: number) =>
    spawn(process.execPath, ["--input-type=module", "-e", program, JSON.stringify(timingsOf(stepMs))], {
      stdio: ["ignore", "ignore", "inherit"],
    });
  keepTimings(timingsOf(1), log);
  const writers = [write(1), write(2)];
  let numRunning = 2;
  const exits = writers.map(async (writer) => {
    const [code] = (await once(writer, "exit")) as [number];
    numRunning--;
    return code;
  });
  const seen = new Set<number | undefined>();
  while (numRunning > 0) {
    seen.add(readTimings(key, log)?.timings.stepMs);
    await new Promise((resolve) => setImmediate(resolve));
  }
  expect(await Promise.all(exits)).toEqual([0, 0]);
  expect([...seen].sort()).toEqual([1, 2]);
  expect(debug).not.toHaveBeenCalled();
  expect(readdirSync(path.join(directory.path, "decode-timings"))).toEqual([`${key}.json`]);
});
