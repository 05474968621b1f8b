import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import path from "node:path";
import { afterEach, describe, expect, it, vi } from "vitest";
import { startEngine } from "../../src/engine/client.js";
import { childrenOf, isAlive } from "../support/processes.js";
import { defaultSettings, engineEntry, faultyEntry, resolvedConfig, root } from "../support/real-engine.js";
import { silentLogger } from "../support/silent-logger.js";

/** A child ends with its server, and while it loads it is watched: whatever it is doing, and however the server ends. */

const stuckEntry = new URL("../support/stuck-child.mjs", import.meta.url);
const configs = [resolvedConfig({ id: "dwarf", base: "dwarf" })];
const owners: ChildProcess[] = [];

afterEach(() => {
  for (const owner of owners.splice(0)) owner.kill("SIGKILL");
});

function own(entry: URL, text = "", environment: Record<string, string> = {}): ChildProcess {
  const script = path.join(root, "test/support/engine-owner.mjs");
  const args = [script, entry.href, JSON.stringify(configs), JSON.stringify(defaultSettings), text];
  const owner = spawn(process.execPath, args, {
    env: { ...process.env, ...environment },
    stdio: ["ignore", "pipe", "ignore"],
  });
  owners.push(owner);
  return owner;
}

async function untilPrinted({ stdout }: ChildProcess, line: string): Promise<void> {
  let printed = "";
  for await (const chunk of stdout ?? []) if ((printed += String(chunk)).includes(line)) return;
  throw new Error(`ended, having printed: ${printed}`);
}

async function childOf({ pid }: ChildProcess): Promise<number> {
  await expect.poll(() => childrenOf(pid ?? 0), { interval: 5 }).toHaveLength(1);
  return childrenOf(pid ?? 0)[0] as number;
}

/** Ends the server at once and waits until its child is gone too. */
async function killAndExpectNone(owner: ChildProcess, child: number): Promise<void> {
  expect(isAlive(child)).toBe(true);
  owner.kill("SIGKILL");
  await once(owner, "exit");
  await expect.poll(() => isAlive(child), { interval: 20 }).toBe(false);
}

/** Moments at which a server is killed while its child starts, so many ms from one to the next. */
const numTimes = 3;
const stepMs = 240;
/** Servers beside one another: what they are waited for is mostly their children's patience. */
const eachTime = (use: (time: number) => Promise<void>) =>
  Promise.all(Array.from({ length: numTimes }, (_, time) => use(time)));
const pause = (ms: number) => new Promise((resolve) => setTimeout(resolve, ms));

// Many servers start.
vi.setConfig({ testTimeout: 400_000 });

describe("kill -9 of the server leaves no child", () => {
  it.each(["busy", "native", "waiting"])("that loads (%s)", async (way) => {
    await eachTime(async (time) => {
      const owner = own(stuckEntry, "", { STUCK: way });
      const child = await childOf(owner);
      // Anywhere from its first instruction to where it is stuck.
      await pause(time * stepMs);
      await killAndExpectNone(owner, child);
    });
  });

  it("that loads models", async () => {
    await eachTime(async (time) => {
      const owner = own(engineEntry);
      const child = await childOf(owner);
      await pause(time * stepMs);
      await killAndExpectNone(owner, child);
    });
  });

  it("that waits, and that decodes", async () => {
    for (const [text, line] of [
      ["", "ready"],
      ["The", "answers"],
    ] as const)
      await eachTime(async () => {
        const owner = own(engineEntry, text);
        await untilPrinted(owner, line);
        await killAndExpectNone(owner, await childOf(owner));
      });
  });

  it.runIf(process.platform === "linux")("that is stopped, waiting and decoding", async () => {
    for (const [text, line] of [
      ["", "ready"],
      ["The", "answers"],
    ] as const) {
      const owner = own(engineEntry, text);
      await untilPrinted(owner, line);
      const child = await childOf(owner);
      process.kill(child, "SIGSTOP");
      await killAndExpectNone(owner, child);
    }
  });

  it.each(["block", "hang"])("whose step never ends (%s)", async (fault) => {
    const owner = own(faultyEntry, `!${fault}!`);
    await untilPrinted(owner, "ready");
    await killAndExpectNone(owner, await childOf(owner));
  });
});

describe("a child that loads", () => {
  const startStuck = (way: string) => {
    process.env["STUCK"] = way;
    const started = startEngine({
      configs,
      settings: defaultSettings,
      log: silentLogger,
      onProgress: () => undefined,
      entry: stuckEntry,
      loadTimeoutMs: 3_000,
    });
    started.catch(() => undefined);
    return started;
  };

  it("and does not get on is ended, and the reason told, whatever it does", async () => {
    const ways = ["busy", "native", "waiting", "timing"];
    // Each child has the environment of the moment at which it is started.
    const outcomes = await Promise.allSettled(ways.map(startStuck));
    for (const [index, outcome] of outcomes.entries())
      expect(outcome, ways[index]).toMatchObject({
        status: "rejected",
        reason: {
          code: "engine_died",
          message: expect.stringContaining("has not got on for 3 s") as string,
        },
      });
    await expect.poll(() => childrenOf(process.pid), { interval: 20 }).toEqual([]);
  });

  it("and is stopped is ended too", async () => {
    const started = startStuck("waiting");
    await expect.poll(() => childrenOf(process.pid), { interval: 5 }).toHaveLength(1);
    process.kill(childrenOf(process.pid)[0] as number, "SIGSTOP");
    await expect(started).rejects.toMatchObject({
      message: expect.stringContaining("has not got on") as string,
    });
  });

  it.each(["throws", "rejects"])(
    "and meets an error that is nobody's ends with a code of its own (%s)",
    async (way) => {
      await expect(startStuck(way)).rejects.toMatchObject({
        code: "engine_died",
        message: expect.stringMatching(/while it loaded its library \(exit code 1\)/) as string,
      });
    },
  );
});
