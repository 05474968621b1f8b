import { rmSync, writeFileSync } from "node:fs";
import { pino } from "pino";
import { afterAll, beforeAll, describe, expect, onTestFinished, test } from "vitest";
import { startServer } from "../../src/api/server.js";
import { run } from "../support/command-line.js";
import { faultyEntry, modelPath, resolvedConfig, startRealEngine } from "../support/real-engine.js";
import { temporaryDirectory, type TemporaryDirectory } from "../support/temporary-directory.js";

/** Memory that runs out while models load. */

let directory: TemporaryDirectory;
beforeAll(() => {
  directory = temporaryDirectory();
});
afterAll(() => directory.remove());

const advice = /lower context\.tokens or context\.sequences/i;

describe("shoulders serve with a context that does not fit ends with what to change", () => {
  /** The server with the starter giant, whose cells take 4 kB each. */
  const serve = (context: object, memoryKilobytes?: number) => {
    const configs = directory.file("configs.json");
    writeFileSync(configs, JSON.stringify({ id: "large", base: modelPath("giant"), context }));
    return run(["serve", "--port", "0", "--fusion-configs", configs], {
      ...(memoryKilobytes !== undefined && { memoryKilobytes }),
    });
  };

  test("more than the machine has", async () => {
    const { code, stdout, stderr } = await serve({ tokens: 1_048_576, sequences: 64 });
    expect({ code, stdout }).toEqual({ code: 1, stdout: "" });
    expect(stderr).toMatch(
      /No context of 67108864 tokens for .*giant\.gguf: it takes \d+\.\d GiB, and .* free/,
    );
    expect(stderr).toMatch(advice);
  });

  test("more than the kernel gives", async () => {
    const { code, stdout, stderr } = await serve({ tokens: 131_072, sequences: 4 }, 1_000_000);
    expect({ code, stdout }).toEqual({ code: 1, stdout: "" });
    expect(stderr).toMatch(/No context of 524288 tokens for .*giant\.gguf: .*alloc/);
    expect(stderr).toMatch(advice);
  });
});

describe("an engine that the kernel kills while it loads", () => {
  const config = resolvedConfig({ id: "giant", base: "giant" });

  /** An entry that is killed as soon as it is to load, as long as the file is there. */
  function entryWithout(memory: string): URL {
    const entry = directory.file("entry.mjs");
    const killed = 'process.once("message", () => process.kill(process.pid, "SIGKILL"))';
    const lines = [
      'import { existsSync } from "node:fs";',
      `if (existsSync(${JSON.stringify(memory)})) ${killed};`,
      `else await import(${JSON.stringify(faultyEntry.href)});`,
    ];
    writeFileSync(entry, lines.join("\n"));
    return new URL(`file://${entry}`);
  }

  test("at the start: says so and what to change, and starts no other", async () => {
    const tight = directory.file("tight-at-start");
    writeFileSync(tight, "");
    const starting = startRealEngine([config], {}, entryWithout(tight));
    await expect(starting).rejects.toMatchObject({
      code: "engine_died",
      message: expect.stringMatching(advice) as string,
    });
  });

  test("in place of one that died: the server lives, tries again, and recovers", async () => {
    const tight = directory.file("tight-later");
    const engine = await startRealEngine([config], {}, entryWithout(tight));
    const log = pino({ level: "silent" });
    const server = await startServer({
      engine,
      host: "127.0.0.1",
      port: 0,
      log,
      version: "0",
      closeGraceMs: 0,
    });
    onTestFinished(async () => {
      await server.close();
      await engine.close();
    });
    const statusOf = async (route: string) =>
      (await fetch(`http://127.0.0.1:${server.address.port}${route}`)).status;
    writeFileSync(tight, "");
    process.kill(engine.description!.pid, "SIGKILL");
    await expect.poll(() => engine.numRestarts, { timeout: 60_000 }).toBeGreaterThanOrEqual(2);
    expect(engine.description).toBeNull();
    expect([await statusOf("/livez"), await statusOf("/readyz")]).toEqual([200, 503]);
    rmSync(tight);
    await expect.poll(() => statusOf("/readyz"), { timeout: 60_000 }).toBe(200);
  }, 150_000);
});
