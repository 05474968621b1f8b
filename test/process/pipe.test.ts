import { fork, type ChildProcess } from "node:child_process";
import { once } from "node:events";
import { existsSync } from "node:fs";
import { writeFileSync } from "node:fs";
import { pathToFileURL } from "node:url";
import { expect, it, onTestFinished } from "vitest";
import { samplingSchema } from "../../src/config/fusion-config.js";
import { startEngine } from "../../src/engine/client.js";
import { plainRequest, type FromEngine, type GenerationRequest } from "../../src/protocol/protocol.js";
import { silentLogger } from "../support/silent-logger.js";
import { temporaryDirectory } from "../support/temporary-directory.js";

const entry = new URL("../../dist/engine/child.js", import.meta.url);

/** The real child, with no models loaded. */
function forkChild() {
  expect(existsSync(entry), "run npm run build first").toBe(true);
  const child = fork(entry, { serialization: "advanced", stdio: ["ignore", "ignore", "pipe", "ipc"] });
  const messages: FromEngine[] = [];
  child.on("message", (message: FromEngine) => messages.push(message));
  onTestFinished(() => void child.kill("SIGKILL"));
  return { child, messages };
}

/** Resolves when the child has read all that was sent before. */
async function drained(child: ChildProcess, messages: FromEngine[]): Promise<void> {
  const before = messages.filter(({ type }) => type === "pong").length;
  child.send({ type: "ping" });
  while (messages.filter(({ type }) => type === "pong").length === before) await once(child, "message");
}

it("a message that nobody can handle ends neither the child nor what comes after it", async () => {
  const { child, messages } = forkChild();
  const garbage = [
    null,
    0,
    "submit",
    [],
    {},
    { type: "nothing" },
    { type: "submit" },
    { type: "submit", request: null },
    { type: "submit", request: 5 },
    { type: "submit", request: {}, choices: 5 },
    { type: "submit", request: {}, choices: [null, {}, { requestId: 1 }] },
    { type: "query" },
    { type: "cancel" },
    { type: "pause", requestId: { a: 1 } },
  ];
  for (const message of garbage) if (message !== null) child.send(message);
  child.send({ type: "submit", request: { requestId: "r1" }, choices: [{ requestId: "r1" }] });
  child.send({ type: "query", queryId: "q1", query: null });
  await drained(child, messages);
  expect(child.exitCode).toBeNull();
  expect(messages).toContainEqual(
    expect.objectContaining({
      type: "failed",
      requestId: "r1",
      error: expect.objectContaining({ code: "engine_not_ready" }) as unknown,
    }),
  );
  expect(messages).toContainEqual(expect.objectContaining({ type: "answer", queryId: "q1" }));
});

const readyChild = `
process.send({ type: "ready", description: { configs: [], stepTimeoutMs: 60000 } });
process.on("message", ({ type, request }) => {
  if (type === "shutdown") process.exit();
  if (type !== "submit") return;
  const usage = { promptTokens: 1, completionTokens: 0, cachedTokens: 0 };
  const event = { type: "done", finishReason: "stop", stopString: null, tokens: [], usage, queueMs: 0, feature: null };
  const stats = { steps: 0, running: 0, waiting: 0, cached: 0, residentBytes: 0, cells: {} };
  process.send({ type: "events", events: [{ requestId: request.requestId, event }], step: null, stats });
});
process.on("disconnect", () => process.exit());
`;

it("a request that the pipe does not take fails by itself, and the next one is answered", async () => {
  const directory = temporaryDirectory();
  onTestFinished(() => directory.remove());
  writeFileSync(directory.file("child.mjs"), readyChild);
  const engine = await startEngine({
    configs: [],
    settings: {} as never,
    log: silentLogger,
    onProgress: () => undefined,
    entry: pathToFileURL(directory.file("child.mjs")),
  });
  onTestFinished(() => engine.close());
  const ask = async (requestId: string, parts: object) => {
    const request: GenerationRequest = {
      ...plainRequest,
      requestId,
      owner: "tester",
      party: "tester",
      configId: "c",
      prompt: { type: "text", text: "a" },
      sampling: samplingSchema.parse({}),
      ...parts,
    };
    const types: string[] = [];
    for await (const { type } of engine.generate(request, new AbortController().signal)) types.push(type);
    return types;
  };
  let deep: unknown = 1;
  for (let depth = 0; depth < 100_000; depth++) deep = [deep];
  await expect(ask("r1", { stop: [() => undefined] })).rejects.toMatchObject({ code: "internal" });
  await expect(ask("r2", { stop: deep })).rejects.toMatchObject({ code: "internal" });
  await expect(engine.query({ type: "tokenize", text: (() => "a") as never } as never)).rejects.toMatchObject(
    {
      code: "internal",
    },
  );
  expect(await ask("r1", {})).toEqual(["done"]);
});
