import { execFileSync } from "node:child_process";
import { once } from "node:events";
import { closeSync, openSync } from "node:fs";
import { expect, test } from "vitest";
import { childrenOf, isAlive } from "../support/processes.js";
import { conservationOf } from "./conservation.js";
import * as bodies from "./bodies.js";
import { atOnce, openSocket, pause, post } from "./requests.js";
import { keys, Target } from "./target.js";

/** Everything breaks at once while 100 clients stream; at the end all accounts agree and nothing is left over. */

const stream = bodies.chat({
  max_tokens: "60",
  stream: "true",
  logit_bias: '{"0":-100,"1":-100,"2":-100,"3":-100}',
});

test("a storm of faults while 100 clients stream", { timeout: 240_000 }, async () => {
  // Every line of the log meets a full disk.
  const full = openSync("/dev/full", "w");
  const target = await Target.start({ stderr: full });
  closeSync(full);
  const seen = new Set<number>();
  try {
    await atOnce(4, () => post(target, "/v1/chat/completions", stream));
    const before = target.numDescriptors();
    let isOver = false;
    let numAnswers = 0;
    const clients = atOnce(100, async (index) => {
      const key = [keys.attacker, keys.canary, keys.other][index % 3]!;
      while (!isOver) {
        const leaves = index % 10 === 0 ? { hangUpMs: 40 + index } : {};
        const { status } = await post(target, "/v1/chat/completions", stream, { key, ...leaves });
        if (status === 200) numAnswers++;
        else await pause(100);
      }
    });
    const faults: (() => Promise<void>)[] = [
      () => signal(target, seen, "SIGKILL"),
      async () => {
        await signal(target, seen, "SIGSTOP");
        await pause(1500);
        await signal(target, seen, "SIGCONT");
      },
      async () => {
        target.process.kill("SIGSTOP");
        await pause(1000);
        target.process.kill("SIGCONT");
      },
      () => fewDescriptors(target),
      () => signal(target, seen, "SIGSEGV"),
    ];
    for (const fault of faults) {
      const answersBefore = numAnswers;
      await fault();
      expect(target.isAlive).toBe(true);
      await target.until("/readyz", 60_000);
      // Clients are served again after each, before the next.
      await expect.poll(() => numAnswers, { timeout: 60_000 }).toBeGreaterThan(answersBefore + 50);
    }
    isOver = true;
    await clients;
    const gone = [...seen].filter((pid) => !target.enginePids.includes(pid));
    expect(gone.filter(isAlive)).toEqual([]);
    await expect.poll(() => conservationOf(target)).toEqual({ unaccounted: 0, running: 0, waiting: 0 });
    await expect.poll(() => isNear(target.numDescriptors(), before)).toBe(true);
    // It still ends as it should.
    const [engine] = target.enginePids;
    const exited = once(target.process, "exit");
    target.process.kill("SIGTERM");
    expect(await exited).toEqual([0, null]);
    await expect.poll(() => isAlive(engine!)).toBe(false);
  } finally {
    await target[Symbol.asyncDispose]();
  }
});

async function signal(target: Target, seen: Set<number>, name: NodeJS.Signals): Promise<void> {
  // There is none for a moment after another one has died.
  await expect.poll(() => target.enginePids.length, { timeout: 60_000 }).toBe(1);
  const [pid] = target.enginePids;
  seen.add(pid!);
  process.kill(pid!, name);
}

/** The server has no descriptors left for a second, and more connections come. */
async function fewDescriptors(target: Target): Promise<void> {
  const limitOf = (pid: number) =>
    execFileSync("prlimit", ["--pid", String(pid), "--nofile", "--output", "SOFT", "--noheadings"], {
      encoding: "utf8",
    }).trim();
  const [open = 0] = target.numDescriptors();
  const usual = limitOf(target.pid);
  execFileSync("prlimit", ["--pid", String(target.pid), `--nofile=${open + 5}:`]);
  const sockets = Array.from({ length: 200 }, () => openSocket(target));
  await pause(1000);
  for (const socket of sockets) socket.destroy();
  execFileSync("prlimit", ["--pid", String(target.pid), `--nofile=${usual}:`]);
  expect(childrenOf(target.pid).length).toBeGreaterThan(0);
}

/** A few descriptors come and go: timers of the poller, the connection that asks. */
function isNear(now: readonly number[], before: readonly number[]): boolean {
  return now.every((count, index) => count <= (before[index] ?? 0) + 6);
}
