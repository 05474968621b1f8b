import { copyFileSync, rmSync, truncateSync, writeFileSync } from "node:fs";
import { afterAll, beforeAll, describe, expect, it, onTestFinished } from "vitest";
import type { Engine } from "../../src/protocol/protocol.js";
import { run } from "../support/command-line.js";
import { expectConservation } from "../support/metrics.js";
import { childrenOf } from "../support/processes.js";
import { faultyEntry, modelPath, resolvedConfig, startRealEngine } from "../support/real-engine.js";
import { serve } from "../support/server.js";
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
  const runServe = (context: object, memoryKilobytes?: number) => {
    const configs = directory.file("configs.json");
    writeFileSync(configs, JSON.stringify({ id: "large", base: modelPath("giant"), context }));
    return run(["serve", "--port", "0", "--fusion-configs", configs], {
      ...(memoryKilobytes !== undefined && { memoryKilobytes }),
    });
  };

  it("more than the machine has", async () => {
    const { code, stdout, stderr } = await runServe({ tokens: 1_048_576, sequences: 64 });
    expect({ code, stdout }).toEqual({ code: 1, stdout: "" });
    expect(stderr).toMatch(/main memory would need \d+\.\d GiB of \d+\.\d GiB \(giant: .*cells \d+\.\d GiB/);
    expect(stderr).toMatch(/It would fit with context\.tokens \d+ \(of 1048576\)/);
  });

  it("more than the kernel gives", async () => {
    const { code, stdout, stderr } = await runServe({ tokens: 131_072, sequences: 4 }, 1_000_000);
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

  it("at the start: says so and what to change, and starts no other", async () => {
    const tight = directory.file("tight-at-start");
    writeFileSync(tight, "");
    const starting = startRealEngine([config], {}, entryWithout(tight));
    await expect(starting).rejects.toMatchObject({
      code: "engine_died",
      message: expect.stringMatching(advice) as string,
    });
  });

  /** A server over the engine, and what its routes answer. */
  async function serveUntilEnd(engine: Engine) {
    const { server, url } = await serve(engine);
    onTestFinished(async () => {
      await server.close();
      await engine.close();
    });
    return { url, statusOf: async (route: string) => (await fetch(url + route)).status };
  }

  it("in place of one that died: the server lives, tries again, and recovers", async () => {
    const tight = directory.file("tight-later");
    const engine = await startRealEngine([config], {}, entryWithout(tight));
    const { url, statusOf } = await serveUntilEnd(engine);
    writeFileSync(tight, "");
    process.kill(engine.description!.pid, "SIGKILL");
    await expect.poll(() => engine.numRestarts, { timeout: 60_000 }).toBeGreaterThanOrEqual(2);
    expect(engine.description).toBeNull();
    expect([await statusOf("/livez"), await statusOf("/readyz")]).toEqual([200, 503]);
    expect(await statusOf("/v1/models")).toBe(503);
    rmSync(tight);
    await expect.poll(() => statusOf("/readyz"), { timeout: 60_000 }).toBe(200);
    await expectConservation(url);
  }, 150_000);

  it("that finds a broken file and says so: leaves no process behind, and recovers with the file", async () => {
    const file = directory.file("giant.gguf");
    copyFileSync(modelPath("giant"), file);
    const engine = await startRealEngine([
      { ...config, members: { ...config.members, base: { ...config.members.base, path: file } } },
    ]);
    const { statusOf } = await serveUntilEnd(engine);
    const processes = new Set(childrenOf(process.pid));
    truncateSync(file, 1000);
    process.kill(engine.description!.pid, "SIGKILL");
    await expect.poll(() => engine.numRestarts, { timeout: 60_000 }).toBeGreaterThanOrEqual(3);
    expect([await statusOf("/livez"), await statusOf("/readyz")]).toEqual([200, 503]);
    copyFileSync(modelPath("giant"), file);
    await expect.poll(() => statusOf("/readyz"), { timeout: 60_000 }).toBe(200);
    const others = childrenOf(process.pid).filter((pid) => !processes.has(pid));
    expect(others).toEqual([engine.description?.pid]);
  }, 150_000);
});
