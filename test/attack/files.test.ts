import { execFileSync } from "node:child_process";
import {
  closeSync,
  readFileSync,
  openSync,
  symlinkSync,
  truncateSync,
  writeFileSync,
  writeSync,
} from "node:fs";
import path from "node:path";
import { afterAll, describe, expect, onTestFinished, test } from "vitest";
import { run } from "../support/command-line.js";
import { uint64 } from "../support/gguf-writer.js";
import { isAlive } from "../support/processes.js";
import { modelPath, root } from "../support/real-engine.js";
import { temporaryDirectory } from "../support/temporary-directory.js";
import { writeVariant } from "./model-variants.js";
import { drawnMutants, knownMutants, tryMutants } from "./mutants.js";
import { atOnce, get, pause, post } from "./requests.js";
import * as bodies from "./bodies.js";
import { Target } from "./target.js";

/** Files that somebody else has made, and processes that end at the worst moment. */

const seed = Number(process.env["SHOULDERS_TEST_SEED"] ?? 20240611);
const folder = temporaryDirectory();
afterAll(() => folder.remove());

const config = (base: string) => ({ id: "hostile", base, context: { tokens: 512, sequences: 2 } });

describe(`model files (seed ${seed})`, () => {
  test("known and drawn mutants are refused or decode", { timeout: 180_000 }, async () => {
    const fates = await tryMutants([...knownMutants, ...drawnMutants(seed, 60)], folder.path);
    expect(fates.filter(({ outcome }) => outcome === "died")).toEqual([]);
    expect(fates.filter(({ reason }) => reason.startsWith("no code"))).toEqual([]);
    const num = (outcome: string) => fates.filter((fate) => fate.outcome === outcome).length;
    // The mutations must find both sides of the check.
    expect(Math.min(num("decoded"), num("refused"))).toBeGreaterThan(10);
  });

  const loop = (steps: string) => `{% for a in ${steps} %}{% for b in ${steps} %}x{% endfor %}{% endfor %}`;
  const templates = {
    "a loop in a loop": `${loop("range(100000)")}{{ messages[0].content }}`,
    "a text that doubles": `{% set x = namespace(t='ab') %}{% for a in range(64) %}{% set x.t = x.t + x.t %}{% endfor %}{{ x.t }}`,
    "a macro that calls itself": "{% macro f() %}{{ f() }}{% endmacro %}{{ f() }}",
    "a loop over messages": `{% for m in messages %}${loop("range(3000)")}{% endfor %}{{ messages[0].content }}`,
  };
  test.each(Object.entries(templates))(
    "a chat template with %s",
    { timeout: 90_000 },
    async (_name, template) => {
      const file = folder.file("template.gguf");
      writeVariant("dwarf", file, { "tokenizer.chat_template": template });
      const target = await startsOrRefuses(config(file));
      if (target === null) return;
      const { status, text } = await post(target, "/v1/chat/completions", bodies.chat({}, "hostile"));
      expect([200, 400], text).toContain(status);
      expect((await get(target, "/livez")).status).toBe(200);
    },
  );

  test("an array that is longer than anybody can wait", { timeout: 60_000 }, async () => {
    const file = folder.file("sparse.gguf");
    const key = Buffer.from("tokenizer.ggml.tokens");
    const header = Buffer.concat([
      ...[Buffer.from("GGUF"), Buffer.from([3, 0, 0, 0]), uint64(1), uint64(1), uint64(key.length), key],
      ...[Buffer.from([9, 0, 0, 0]), Buffer.from([8, 0, 0, 0]), uint64(10n ** 11n)],
    ]);
    const opened = openSync(file, "w");
    writeSync(opened, header);
    closeSync(opened);
    truncateSync(file, 800 * 2 ** 30);
    expect(await startsOrRefuses(config(file))).toBeNull();
  });
});

/** @returns null where the server ends and says why; it does one or the other in time, and leaves nobody behind. */
async function startsOrRefuses(hostile: object): Promise<Target | null> {
  try {
    const target = await Target.start({ configs: [hostile] });
    onTestFinished(() => target[Symbol.asyncDispose]());
    return target;
  } catch (error) {
    expect(String(error)).toMatch(/the server ended \((1|2)\)/);
    return null;
  }
}

describe("cards and configs", () => {
  const check = async (write: (folderOfCard: string) => void) => {
    const place = temporaryDirectory();
    onTestFinished(place.remove);
    const shipped = readFileSync(path.join(root, "fusion-configs/all.json"), "utf8");
    writeFileSync(place.file("all.json"), shipped.replaceAll("../models", path.join(root, "models")));
    write(place.path);
    return run(["check", place.file("all.json"), "--threads", "1"], {
      environment: { NODE_OPTIONS: "--max-old-space-size=256" },
    });
  };
  test.each<[name: string, write: (place: string) => void]>([
    [
      "a card of 80 MB of numbers",
      (place) => writeFileSync(`${place}/all.card.json`, `{"version":[${"0,".repeat(40_000_000)}0]}`),
    ],
    [
      "a card 100,000 deep",
      (place) => writeFileSync(`${place}/all.card.json`, bodies.nested(100_000, "both")),
    ],
    ["a card without an end", (place) => symlinkSync("/dev/zero", `${place}/all.card.json`)],
    ["a card that nobody writes", (place) => void execFileSync("mkfifo", [`${place}/all.card.json`])],
    ["a config 100,000 deep", (place) => writeFileSync(`${place}/all.json`, bodies.nested(100_000, "both"))],
    [
      "a config without an end",
      (place) => {
        execFileSync("rm", [`${place}/all.json`]);
        symlinkSync("/dev/zero", `${place}/all.json`);
      },
    ],
  ])("%s is refused with its name", { timeout: 60_000 }, async (_name, write) => {
    const { code, stderr } = await check(write);
    expect(code, stderr).toBe(2);
    expect(stderr).toMatch(/all(\.card)?\.json/);
    expect(stderr).not.toMatch(/Maximum call stack|heap/);
  });
});

describe("an engine never outlives its server", { timeout: 120_000 }, () => {
  const endsWith = async (target: Target, name: NodeJS.Signals) => {
    const engines = target.enginePids;
    expect(engines).toHaveLength(1);
    target.process.kill(name);
    await expect.poll(() => target.isAlive).toBe(false);
    await expect.poll(() => engines.filter(isAlive), { timeout: 20_000 }).toEqual([]);
  };
  const startEarly = async (hostile?: object) => {
    const target = await Target.start({ waitFor: "alive", ...(hostile && { configs: [hostile] }) });
    onTestFinished(() => target[Symbol.asyncDispose]());
    await expect.poll(() => target.enginePids.length, { interval: 1 }).toBe(1);
    return target;
  };

  test("which is killed while it loads", async () => {
    for (let round = 0; round < 5; round++) {
      const target = await startEarly();
      await pause(40 * round);
      await endsWith(target, "SIGKILL");
    }
  });

  test.each(["SIGKILL", "SIGTERM"] as const)(
    "which ends by %s while a template keeps the engine busy",
    async (name) => {
      const file = folder.file("busy.gguf");
      const template = "{% for a in range(100000) %}{% for b in range(100000) %}x{% endfor %}{% endfor %}";
      writeVariant("dwarf", file, { "tokenizer.chat_template": template });
      const target = await startEarly(config(file));
      await pause(500);
      if (target.isAlive && target.enginePids.length === 1) await endsWith(target, name);
    },
  );

  test("which is killed while it answers", async () => {
    const target = await Target.start({ configs: [config(modelPath("giant"))] });
    onTestFinished(() => target[Symbol.asyncDispose]());
    const body = bodies.chat({ max_tokens: "400" }, "hostile");
    const asked = atOnce(8, () => post(target, "/v1/chat/completions", body));
    await pause(300);
    await endsWith(target, "SIGKILL");
    await asked;
  });

  test("which is killed while the engine stands still, and is never woken", async () => {
    const target = await Target.start();
    onTestFinished(() => target[Symbol.asyncDispose]());
    process.kill(target.enginePids[0]!, "SIGSTOP");
    await endsWith(target, "SIGKILL");
  });
});
