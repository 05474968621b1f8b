import { execFileSync, spawnSync } from "node:child_process";
import { closeSync, constants, mkdirSync, openSync, readSync } from "node:fs";
import { afterAll, describe, expect, onTestFinished, test } from "vitest";
import { childrenOf, isAlive } from "../support/processes.js";
import { temporaryDirectory } from "../support/temporary-directory.js";
import * as bodies from "./bodies.js";
import { atOnce, get, post } from "./requests.js";
import { Target, type TargetOptions } from "./target.js";

/** Where the log goes is not in the server's hands: it serves all the same, and does not wait. */

async function start(options: TargetOptions): Promise<Target> {
  const target = await Target.start({ ...options, flags: ["--log-level", "info"] });
  onTestFinished(() => target[Symbol.asyncDispose]());
  return target;
}

/** More lines than a pipe and a small disk hold together. `pid`: the server's. */
async function serves(target: Target, pid = target.pid): Promise<void> {
  const engines = childrenOf(pid);
  for (let round = 0; round < 40; round++) {
    const replies = await atOnce(50, () => get(target, "/v1/models/nobody"));
    expect(new Set(replies.map(({ status }) => status))).toEqual(new Set([404]));
  }
  expect((await post(target, "/v1/chat/completions", bodies.chat())).status).toBe(200);
  expect((await get(target, "/livez")).status).toBe(200);
  expect(engines).toHaveLength(1);
  expect([isAlive(pid), childrenOf(pid)]).toEqual([true, engines]);
}

describe("a log that cannot be written", { timeout: 120_000 }, () => {
  test("on a disk that is full from the start", async () => {
    const full = openSync("/dev/full", "w");
    onTestFinished(() => closeSync(full));
    await serves(await start({ stderr: full }));
  });

  test("to a pipe that nobody reads", async () => {
    await serves(await start({ stderr: "unread" }));
  });

  test("to a pipe that was closed", async () => {
    const target = await start({ stderr: "unread" });
    target.process.stderr?.destroy();
    await serves(target);
  });

  const folder = temporaryDirectory();
  afterAll(() => folder.remove());

  /** A named pipe, opened by somebody who does not read. */
  const openPipe = (name: string) => {
    const pipe = folder.file(name);
    execFileSync("mkfifo", [pipe]);
    const open = () => openSync(pipe, constants.O_RDWR | constants.O_NONBLOCK);
    return { pipe, open, reader: open() };
  };

  test("to a named pipe whose reader does not read, leaves, and comes back", async () => {
    const { pipe, open, reader } = openPipe("log");
    const target = await start({ through: ["sh", "-c", `exec "$0" "$@" 2>${pipe}`], stderr: "ignore" });
    await serves(target);
    closeSync(reader);
    await serves(target);
    const next = open();
    onTestFinished(() => closeSync(next));
    const read = () => {
      try {
        return readSync(next, Buffer.alloc(1024));
      } catch {
        return 0;
      }
    };
    await expect.poll(read).toBeGreaterThan(0);
  });

  test("on a terminal that shows nothing more", async () => {
    const { pipe, reader } = openPipe("screen");
    onTestFinished(() => closeSync(reader));
    const script = `exec script --quiet --return --command "$0" /dev/null >${pipe}`;
    const target = await start({ through: ["sh", "-c", script], asOneCommand: "exec ", stderr: "ignore" });
    const server = serverBelow(target.pid);
    onTestFinished(() => {
      if (isAlive(server)) process.kill(server, "SIGKILL");
    });
    await serves(target, server);
  });

  mkdirSync(folder.file("disk"));
  const mounting = ["unshare", "--mount", "--map-root-user", "sh", "-c"];
  const mount = `mount -t tmpfs -o size=64k none ${folder.file("disk")}`;
  const canMount = spawnSync(mounting[0]!, [...mounting.slice(1), mount]).status === 0;
  if (!canMount)
    console.warn("A disk that becomes full is left out: this system lets nobody mount one (unshare).");

  test.runIf(canMount)("on a disk that becomes full", async () => {
    // The disk is the server's alone and goes with it.
    const script = `${mount} && exec "$0" "$@" 2>${folder.file("disk/log")}`;
    await serves(await start({ through: [...mounting, script], stderr: "ignore" }));
  });

  test("on a terminal that goes away: it ends with its engine, as who closed it wants", async () => {
    const target = await start({
      through: ["script", "--quiet", "--return", "--command"],
      asOneCommand: "trap '' HUP; exec ",
      stderr: "ignore",
    });
    const server = serverBelow(target.pid);
    const engines = childrenOf(server);
    expect(engines.length).toBeGreaterThan(0);
    onTestFinished(() => {
      if (isAlive(server)) process.kill(server, "SIGKILL");
    });
    target.process.kill("SIGKILL");
    await expect.poll(() => target.isAlive).toBe(false);
    await expect.poll(() => isAlive(server)).toBe(false);
    await expect.poll(() => engines.some(isAlive)).toBe(false);
  });
});

/** The process that has an engine, below one that has started it. */
function serverBelow(pid: number): number {
  const [child] = childrenOf(pid);
  if (child === undefined) throw new Error("there is no server");
  return child;
}
