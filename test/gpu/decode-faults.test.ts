import { execFileSync } from "node:child_process";
import { readFileSync, rmSync, writeFileSync } from "node:fs";
import path from "node:path";
import { afterEach, beforeEach, expect, it } from "vitest";
import type { Engine } from "../../src/protocol/protocol.js";
import { startOnDevice, useSoftwareDevice } from "../support/gpu.js";
import { answer, resolvedConfig, textRequest } from "../support/real-engine.js";

/** A device that fails in the middle of its work: libllama says so of each decode, or its memory runs out. */

const folder = useSoftwareDevice();
const faultFile = path.join(folder, "fault");
const faultyEntry = new URL("../support/faulty-native.mjs", import.meta.url);
const dwarf = resolvedConfig({ id: "dwarf", base: "dwarf" });
const ask = (text: string) => textRequest("dwarf", text, { maxTokens: 4 });

const fail = (status: number) => writeFileSync(faultFile, `device ${status}`);
let engine: Engine | undefined;
beforeEach(() => {
  process.env["NATIVE_FAULT"] = faultFile;
});
afterEach(async () => {
  await engine?.close();
  engine = undefined;
  rmSync(faultFile, { force: true });
});

it("llama_decode fails again and again: each client hears it, and `auto` goes on to what works", async () => {
  const started = await startOnDevice([dwarf], { settings: { backend: "auto" }, entry: faultyEntry });
  engine = started.engine;
  expect(engine.description!.library.backend).toBe("vulkan");
  fail(-3);
  for (let failed = 0; failed < 3; failed++)
    await expect(answer(engine, ask("The"))).rejects.toMatchObject({
      code: expect.stringMatching(/^(decode_failed|engine_died)$/) as string,
    });
  await expect.poll(() => engine?.description?.library.backend, { timeout: 200_000 }).toBe("cpu");
  expect((await answer(engine, ask("The"))).ids.length).toBeGreaterThan(0);
  expect(started.lines().map(({ msg }) => msg)).toContainEqual(
    expect.stringMatching(/vulkan.* does not work: .*libllama failed with -3.*Computing on the processor\./),
  );
}, 300_000);

/** Lets a process have no more memory than it has. */
function limitMemory(pid: number): void {
  const kilobytes = Number(/VmSize:\s+(\d+) kB/.exec(readFileSync(`/proc/${pid}/status`, "utf8"))![1]);
  execFileSync("prlimit", ["--pid", String(pid), `--as=${kilobytes * 1024}:`]);
}

it("memory runs out while a device decodes: who asked hears of it or is answered, and a new engine works", async () => {
  ({ engine } = await startOnDevice([dwarf]));
  const { pid } = engine.description!;
  const before = await answer(engine, ask("The"));
  limitMemory(pid);
  // Prompts of other lengths than before need programs that the driver has not compiled yet.
  const outcomes = await Promise.allSettled(
    Array.from({ length: 8 }, (_, index) => answer(engine!, ask("word ".repeat(20 * index + 1)))),
  );
  for (const outcome of outcomes)
    if (outcome.status === "rejected")
      expect(outcome.reason).toMatchObject({
        code: expect.stringMatching(/^(decode_failed|engine_died|engine_not_ready)$/) as string,
      });
  if (engine.description?.pid === pid) process.kill(pid, "SIGKILL");
  await expect.poll(() => engine?.description?.pid ?? pid, { timeout: 200_000 }).not.toBe(pid);
  expect((await answer(engine, ask("The"))).ids).toEqual(before.ids);
}, 300_000);
