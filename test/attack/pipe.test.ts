import { fork, spawn, type ChildProcess } from "node:child_process";
import { once } from "node:events";
import { fileURLToPath } from "node:url";
import { inspect } from "node:util";
import fc from "fast-check";
import { afterEach, describe, expect, onTestFinished, test } from "vitest";
import type { FromEngine } from "../../src/protocol/protocol.js";
import { defaultSettings, engineEntry, resolvedConfig, textRequest } from "../support/real-engine.js";

/**
 * The engine child against a server that has lost its mind: whatever comes through the pipe, the child says what is
 * wrong, or ends with a status that says so. It never hangs, and never decides alone to live on.
 */

const seed = Number(process.env["SHOULDERS_TEST_SEED"] ?? 20240611);
const config = resolvedConfig({ id: "giant", base: "giant" });
const choice = { backend: "cpu", flashAttention: "auto", isTrial: false };
const load = { type: "load", configs: [config], settings: defaultSettings, choice, timings: null };

const children = new Set<ChildProcess>();
afterEach(() => {
  for (const child of children) child.kill("SIGKILL");
  children.clear();
});

function startChild(): ChildProcess {
  const child = fork(engineEntry, {
    serialization: "advanced",
    stdio: ["ignore", "ignore", "ignore", "ipc", "pipe"],
  });
  children.add(child);
  return child;
}

/** Resolves with the first message that is meant, or null once the child has ended. */
function until(child: ChildProcess, isMeant: (message: FromEngine) => boolean): Promise<FromEngine | null> {
  return new Promise((resolve) => {
    const settle = (outcome: FromEngine | null) => {
      child.off("message", onMessage);
      child.off("exit", onExit);
      resolve(outcome);
    };
    const onExit = () => settle(null);
    const onMessage = (message: FromEngine) => {
      if (isMeant(message)) settle(message);
    };
    child.on("message", onMessage);
    child.on("exit", onExit);
    if (child.exitCode !== null || child.signalCode !== null) settle(null);
  });
}

async function startLoaded(): Promise<ChildProcess> {
  const child = startChild();
  const ready = until(child, ({ type }) => type === "ready" || type === "loadFailed");
  child.send(load);
  expect(await ready).toMatchObject({ type: "ready" });
  return child;
}

/** What the message could not be written as is nobody's attack: the parent's serializer refuses it. */
function send(child: ChildProcess, message: unknown): void {
  try {
    child.send(message as object, () => undefined);
  } catch (error) {
    expect(error).toBeInstanceOf(Error);
  }
}

const good = textRequest("giant", "The birth year of", { maxTokens: 2 });
const leaf = fc.oneof(
  fc.constantFrom<unknown>(null, undefined, true, 0, -1, NaN, Infinity, 2 ** 53, 1e308, "", "x", "__proto__"),
  fc.constantFrom<unknown>(
    new Date(0),
    new Map([[1, 2]]),
    new Set([1]),
    10n,
    /x/,
    new Uint8Array(3),
    new Error("x"),
  ),
  fc.constant("x".repeat(1_000_000)),
  fc.constant(Array.from({ length: 50_000 }, () => -1)),
);
const value = fc.letrec<{ value: unknown }>((tie) => ({
  value: fc.oneof(
    { maxDepth: 4, withCrossShrink: true },
    leaf,
    fc.array(tie("value"), { maxLength: 4 }),
    fc.dictionary(fc.constantFrom("type", "text", "tokens", "messages", "a", "length"), tie("value"), {
      maxKeys: 4,
    }),
  ),
})).value;
const types = [
  "load",
  "submit",
  "cancel",
  "pause",
  "query",
  "ping",
  "nothing",
  "ready",
  "__proto__",
  "toString",
];
const anyMessage = fc.oneof(
  value,
  fc
    .tuple(
      fc.constantFrom(...types),
      fc.dictionary(
        fc.constantFrom("request", "requestId", "isPaused", "queryId", "query", "configs", "settings"),
        value,
        { maxKeys: 4 },
      ),
    )
    .map(([type, fields]) => ({ ...fields, type })),
);
/** A good request with one or two fields made wrong, as a mistake of the server would. */
const wrongRequest = fc
  .dictionary(fc.constantFrom(...Object.keys(good).filter((name) => name !== "requestId")), value, {
    minKeys: 1,
    maxKeys: 2,
  })
  .map((fields) => ({ ...good, ...fields }));
const wrongQuery = fc
  .tuple(
    fc.constantFrom("tokenize", "detokenize", "renderPrompt", "nothing"),
    fc.dictionary(fc.constantFrom("text", "tokens", "prompt", "configId", "addSpecial"), value, {
      maxKeys: 3,
    }),
  )
  .map(([type, fields]): object => ({ configId: "giant", ...fields, type }));

describe(`what comes through the pipe (seed ${seed})`, () => {
  test("any message: the child goes on, or ends with a status", { timeout: 180_000 }, async () => {
    let child = await startLoaded();
    for (const message of fc.sample(anyMessage, { seed, numRuns: 40 })) {
      const pong = until(child, ({ type }) => type === "pong");
      send(child, message);
      send(child, { type: "ping" });
      if ((await pong) !== null) continue;
      expect([child.signalCode, child.exitCode]).toEqual([null, expect.any(Number)]);
      expect(child.exitCode).not.toBe(0);
      child = await startLoaded();
    }
  });

  test("any message before the models are loaded", { timeout: 180_000 }, async () => {
    let child = startChild();
    for (const message of fc.sample(anyMessage, { seed: seed + 1, numRuns: 40 })) {
      const pong = until(child, ({ type }) => type === "pong");
      send(child, message);
      send(child, { type: "ping" });
      if ((await pong) !== null) continue;
      expect([child.signalCode, child.exitCode]).toEqual([null, expect.any(Number)]);
      expect(child.exitCode).not.toBe(0);
      child = startChild();
    }
  });

  test("a wrong request is answered, and the child lives", { timeout: 180_000 }, async () => {
    const child = await startLoaded();
    const requests = fc.sample(wrongRequest, { seed: seed + 2, numRuns: 80 });
    for (const [index, wrong] of requests.entries()) {
      const requestId = `wrong-${index}`;
      const ended = until(child, (message) => {
        if (message.type === "failed") return message.requestId === requestId;
        if (message.type !== "events") return false;
        return message.events.some((one) => one.requestId === requestId && one.event.type === "done");
      });
      send(child, { type: "submit", request: { ...wrong, requestId }, choices: [{ requestId, seed: 1 }] });
      expect(await ended, describeWrong(wrong)).not.toBeNull();
    }
    const queries = fc.sample(wrongQuery, { seed: seed + 3, numRuns: 80 });
    for (const [index, query] of queries.entries()) {
      const queryId = `query-${index}`;
      const answered = until(child, (message) => message.type === "answer" && message.queryId === queryId);
      send(child, { type: "query", queryId, party: "", query });
      expect(await answered, describeWrong(query)).not.toBeNull();
    }
  });

  test("bytes that are no message: it ends when the pipe does", { timeout: 120_000 }, async () => {
    const lengths = [0, 1, 1000, 2 ** 31, 2 ** 32 - 1].map((length) => {
      const bytes = Buffer.alloc(4);
      bytes.writeUInt32BE(length);
      return new Uint8Array(bytes);
    });
    const garbage = fc.sample(fc.tuple(fc.constantFrom(...lengths), fc.uint8Array({ maxLength: 3000 })), {
      seed,
      numRuns: 12,
    });
    for (const parts of garbage) {
      const child = spawn(process.execPath, [fileURLToPath(engineEntry)], {
        stdio: ["ignore", "ignore", "ignore", "pipe", "pipe"],
        env: { ...process.env, NODE_CHANNEL_FD: "3", NODE_CHANNEL_SERIALIZATION_MODE: "advanced" },
      });
      children.add(child);
      onTestFinished(() => void child.kill("SIGKILL"));
      const exited = once(child, "exit");
      const pipe = child.stdio[3] as NodeJS.WritableStream;
      pipe.on("error", () => undefined);
      for (const part of parts) pipe.write(part);
      pipe.end();
      await exited;
      expect(child.signalCode).toBeNull();
    }
  });
});

const describeWrong = (message: object): string => inspect(message, { depth: 3 }).slice(0, 1000);
