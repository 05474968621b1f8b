import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { connect } from "node:net";
import { afterEach, describe, expect, it } from "vitest";
import { sumOf } from "../support/metrics.js";
import { root } from "../support/real-engine.js";

/** Where the log goes: full, closed, or read by nobody, it neither ends the server nor holds it up. */

const children: ChildProcess[] = [];
afterEach(() => {
  for (const child of children.splice(0)) child.kill("SIGKILL");
});

/** The compiled server as a shell starts it; `redirection`: of its standard error. */
function serve(redirection: string): ChildProcess {
  const clean = Object.entries(process.env).filter(([name]) => !name.startsWith("SHOULDERS_"));
  const settings = {
    SHOULDERS_FUSION_CONFIGS: "test/data/starter/fusion-configs",
    SHOULDERS_THREADS: "1",
    SHOULDERS_BACKEND: "cpu",
  };
  const line = `exec "$0" dist/main.js serve --port 0 --load giant ${redirection}`;
  const child = spawn("sh", ["-c", line, process.execPath], {
    cwd: root,
    env: { ...Object.fromEntries(clean), ...settings },
    stdio: ["ignore", "pipe", "pipe"],
  });
  children.push(child);
  return child;
}

async function untilReady(child: ChildProcess): Promise<string> {
  let printed = "";
  for await (const chunk of child.stdout ?? []) {
    printed += String(chunk);
    const [url] = /http:\/\/127\.0\.0\.1:\d+/.exec(printed) ?? [];
    if (url !== undefined && printed.includes("curl")) return url;
  }
  throw new Error(`ended, having printed: ${printed}`);
}

/** Sends so many requests, each of which makes a log line of some 300 bytes, and reads all answers. */
async function makeLines(url: string, numLines: number): Promise<void> {
  const { hostname, port } = new URL(url);
  const socket = connect(Number(port), hostname);
  const request = `GET /v1/models HTTP/1.1\r\nHost: localhost\r\nX-Request-Id: ${"x".repeat(128)}\r\n`;
  socket.write(`${request}\r\n`.repeat(numLines - 1) + `${request}Connection: close\r\n\r\n`);
  let text = "";
  for await (const chunk of socket) text += String(chunk);
  expect(text.match(/HTTP\/1\.1 200/g)).toHaveLength(numLines);
}

async function ended(child: ChildProcess): Promise<number | null> {
  child.kill("SIGTERM");
  return ((child.exitCode === null ? await once(child, "exit") : [child.exitCode]) as [number | null])[0];
}

const dropped = (url: string) => sumOf(url, "shoulders_log_lines_dropped");

describe("a log that cannot be written", () => {
  it.each(["2>/dev/full", "2>&-", "2>/dev/null"])(
    "%s: the server starts, answers and ends well",
    async (to) => {
      const child = serve(to);
      const url = await untilReady(child);
      await makeLines(url, 200);
      expect((await fetch(`${url}/livez`)).status).toBe(200);
      expect(await ended(child)).toBe(0);
    },
  );

  it("a pipe whose reader has gone", async () => {
    const child = serve("");
    const url = await untilReady(child);
    child.stderr?.destroy();
    await makeLines(url, 200);
    expect((await fetch(`${url}/livez`)).status).toBe(200);
    expect(await ended(child)).toBe(0);
  });

  it("a pipe that nobody reads drops lines, counts them, and says so when somebody reads", async () => {
    const child = serve("");
    const url = await untilReady(child);
    await makeLines(url, 6_000);
    const numDropped = await dropped(url);
    expect(numDropped).toBeGreaterThan(0);
    let text = "";
    child.stderr?.setEncoding("utf8").on("data", (chunk: string) => (text += chunk));
    await expect.poll(() => text).toContain("log lines were dropped");
    await makeLines(url, 1);
    expect(await ended(child)).toBe(0);
    // What native code and the progress of loading say stands there too.
    const records = text
      .trim()
      .split("\n")
      .filter((line) => line.startsWith("{"))
      .map((line) => JSON.parse(line) as { msg: string; numDropped?: number });
    const told = records.filter(({ msg }) => msg.includes("were dropped"));
    expect(told.map((record) => record.numDropped)).toEqual([numDropped]);
    expect(records.filter(({ msg }) => msg === "request ended")).toHaveLength(6_001 - numDropped);
    // The last lines come out, too.
    expect(records.at(-1)?.msg).toContain("stopping");
  });

  it("a pipe that is full at the end does not keep the server", async () => {
    const child = serve("");
    const url = await untilReady(child);
    await makeLines(url, 1_500);
    expect(await ended(child)).toBe(0);
  });
});
