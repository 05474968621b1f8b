import { rmSync, writeFileSync } from "node:fs";
import { afterAll, beforeAll, expect, it } from "vitest";
import type { Engine } from "../../src/protocol/protocol.js";
import { answer, resolvedConfig, startRealEngine, textRequest } from "../support/real-engine.js";
import { temporaryDirectory } from "../support/temporary-directory.js";

/** What libllama itself says of a decode that failed, where its C function is called. */

const folder = temporaryDirectory();
const faultFile = folder.file("fault");
const config = resolvedConfig({
  id: "trivia",
  base: "giant",
  reference: "dwarf",
  experts: { trivia: "dwarf-trivia" },
});
const ask = () => answer(engine, textRequest("trivia", "The birth year of", { maxTokens: 8 }));

let engine: Engine;
beforeAll(async () => {
  process.env["NATIVE_FAULT"] = faultFile;
  engine = await startRealEngine([config], {}, new URL("../support/faulty-native.mjs", import.meta.url));
});
afterAll(async () => {
  await engine.close();
  folder.remove();
});

const fail = (status: number) => writeFileSync(faultFile, String(status));

it.each<[number, RegExp]>([
  [1, /^Decoding with .*\.gguf failed: no room for \d+ more tokens in its \d+ cells\.$/],
  [2, /^Decoding with .*\.gguf failed: the decode was aborted\.$/],
  [-1, /^Decoding with .*\.gguf failed: the batch is not valid: /],
  // A buffer could not be made.
  [-2, /^Decoding with .*\.gguf failed: libllama failed with -2: /],
  // A device or a kernel failed.
  [-3, /^Decoding with .*\.gguf failed: libllama failed with -3: /],
])("%d once: what was in its batch hears why, and the same engine goes on", async (status, message) => {
  const { pid } = engine.description!;
  const before = await ask();
  fail(status);
  await expect(ask()).rejects.toMatchObject({
    code: "decode_failed",
    status: 500,
    message: expect.stringMatching(message) as string,
  });
  rmSync(faultFile);
  expect((await ask()).ids).toEqual(before.ids);
  expect(engine.description!.pid).toBe(pid);
  expect(engine.stats).toMatchObject({ running: 0, waiting: 0 });
});

it("again and again: each client hears it, and a new engine answers as before once it is over", async () => {
  const { pid } = engine.description!;
  const before = await ask();
  fail(-3);
  for (let failed = 0; failed < 3; failed++)
    await expect(ask()).rejects.toMatchObject({
      code: expect.stringMatching(/^(decode_failed|engine_died)$/) as string,
    });
  await expect.poll(() => engine.description?.pid, { timeout: 30_000 }).not.toBe(pid);
  rmSync(faultFile);
  await expect.poll(() => engine.description?.pid ?? pid, { timeout: 60_000 }).not.toBe(pid);
  expect((await ask()).ids).toEqual(before.ids);
}, 120_000);
