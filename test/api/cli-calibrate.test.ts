import { readFileSync, writeFileSync } from "node:fs";
import path from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { loadCard } from "../../src/routing/card.js";
import { run } from "../support/command-line.js";
import { modelPath, root } from "../support/real-engine.js";
import { type TemporaryDirectory, temporaryDirectory } from "../support/temporary-directory.js";

/** `shoulders calibrate` as a process, on the starter models. */

const numExamples = 10;
const taskFile = (name: string) => path.join(root, "test/data/starter", `${name}.jsonl`);
const linesOf = (name: string) => readFileSync(taskFile(name), "utf8").trim().split("\n");

let directory: TemporaryDirectory;
let config: string;
let mixed: string;
let sums: string;

const expert = (id: string) => ({ id, model: modelPath(`dwarf-${id}`) });

function writeConfig(experts: object[], strategy: object = { type: "mixture" }): void {
  const models = { base: modelPath("giant"), reference: modelPath("dwarf") };
  const context = { tokens: 256, sequences: 4 };
  writeFileSync(config, JSON.stringify({ id: "mine", ...models, experts, strategy, context }));
}

beforeAll(() => {
  directory = temporaryDirectory();
  config = directory.file("config.json");
  writeConfig([expert("trivia"), expert("sums")]);
  // One file of ours with prompts of one expert and of none, and a task file for the other.
  const trivia = linesOf("recall")
    .slice(0, numExamples)
    .map((line) =>
      JSON.stringify({ expert: "trivia", prompt: (JSON.parse(line) as { prompt: string }).prompt }),
    );
  const none = ["Once upon a time there was a fox", "hello hello", "Answer: 7\nAnswer:"].map((prompt) =>
    JSON.stringify({ expert: null, prompt }),
  );
  mixed = directory.file("mixed.jsonl");
  writeFileSync(mixed, [...trivia, ...none].join("\n"));
  sums = directory.file("sums.jsonl");
  writeFileSync(sums, linesOf("sums").slice(0, numExamples).join("\n"));
});

afterAll(() => directory.remove());

const calibrate = (...examples: string[]) =>
  run(["calibrate", config, "--threads", "1", "--examples", ...examples]);

// Each starts several engines.
describe("shoulders calibrate", { timeout: 180_000 }, () => {
  it("writes a card that check, complete and a second run find", async () => {
    const before = await run(["check", config, "--threads", "1"]);
    expect(before.stdout).toContain("no calibration card; `shoulders calibrate` makes one");
    expect(before.stdout).toContain("has no calibration card");

    const { code, stdout, stderr } = await calibrate(mixed, `sums=${sums}`);
    expect({ code, stderr: /Reading prompts: done/.test(stderr) }).toEqual({ code: 0, stderr: true });
    expect(stderr).toMatch(/Calibrating mine takes about .*: it reads \d+ prompts/);
    expect(stdout).toMatch(/prompts of +taken for base +taken for trivia +taken for sums\n/);
    expect(stdout).toMatch(/none +\d+ +\d+ +\d+\ntrivia +\d+ +\d+ +0\nsums +\d+ +0 +\d+\n/);
    expect(stdout).toMatch(/ how sums can speak +answers right as a whole +tokens right +log-likelihood/);
    expect(stdout).toMatch(/ how trivia can speak +its own answers right as a whole/);
    expect(stdout).toMatch(/few +10 examples of sums: .*give 32 to 64\n/);
    expect(stdout).toContain("no answers  of trivia");
    expect(stdout).toContain(`${directory.file("mine.card.json")} is written.`);
    expect(stdout).toMatch(
      /\nLeave config\.json as it is, it uses the card: \d+ % of 10 example answers .*\.\n$/,
    );

    const card = loadCard(config, "mine")!;
    expect(card.experts.map(({ id, numPrompts, numAnswers }) => [id, numPrompts, numAnswers])).toEqual([
      ["trivia", numExamples, 0],
      ["sums", numExamples, numExamples],
    ]);
    expect(card.prior.classes.map((one) => one.expert)).toEqual(["trivia", "sums", null]);
    expect(card.base.file).toBe("giant.gguf");

    const after = await run(["check", config, "--threads", "1"]);
    expect(after).toMatchObject({ code: 0, stderr: expect.not.stringContaining("card") as string });
    expect(after.stdout).toMatch(/calibration card of \d{4}-\d\d-\d\d, right about \d+\.\d %/);
  });

  it("leaves a card of other models to be refused, and makes it anew", async () => {
    writeConfig([{ ...expert("trivia"), model: modelPath("dwarf-sums") }, expert("sums")]);
    const refused = await run(["check", config, "--threads", "1"]);
    expect(refused).toMatchObject({ code: 2, stdout: "" });
    expect(refused.stderr).toContain(
      "mine.card.json: its expert trivia was another model (dwarf-trivia.gguf)",
    );
    expect(refused.stderr).toContain("Run `shoulders calibrate` again, or delete this card");
    writeConfig([expert("sums")], { type: "dynamic" });
    const kept = loadCard(config, "mine");
    const careful = await calibrate(`sums=${sums}`);
    expect(careful).toMatchObject({ code: 2, stdout: "" });
    expect(careful.stderr).toContain("mine.card.json is there already; give --force to replace it");
    expect(loadCard(config, "mine")).toEqual(kept);

    const { code, stdout } = await calibrate(`sums=${sums}`, "--force");
    expect(code).toBe(0);
    expect(stdout).toMatch(/\nRemove "strategy" from config\.json to use the card: \d+ % of 10 .*\.\n$/);
    expect(loadCard(config, "mine")!.experts.map(({ id }) => id)).toEqual(["sums"]);
    const unused = await run(["check", config, "--threads", "1"]);
    expect(unused.stdout).toContain("its calibration card is not used, for the strategy");
    writeConfig([expert("trivia"), expert("sums")]);
  });

  it("only says how long it would take, and needs four examples", async () => {
    const few = directory.file("few.jsonl");
    writeFileSync(few, linesOf("sums").slice(0, 4).join("\n"));
    writeConfig([expert("sums")]);
    const before = loadCard(config, "mine");
    const { code, stdout } = await calibrate(`sums=${few}`, "--dry-run");
    expect({ code, before: loadCard(config, "mine") }).toEqual({ code: 0, before });
    expect(stdout).toMatch(
      /^Calibrating mine takes about .*: it reads \d+ prompts, and answers \d+ times, .*\.\n$/,
    );
    writeConfig([expert("trivia"), expert("sums")]);
  });

  it("says what is wrong with examples before it loads a model", async () => {
    const { code, stdout, stderr } = await calibrate(mixed);
    expect({ code, stdout }).toEqual({ code: 2, stdout: "" });
    expect(stderr).toContain('expert "sums" has 0 example prompts; give 4 to 64');
    expect(stderr).not.toContain("Loading");
  });
});
