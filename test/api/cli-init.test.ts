import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import path from "node:path";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { findVocabulary, readFactsOf } from "../../src/cli/init-models.js";
import { loadFusionConfigs } from "../../src/config/load.js";
import { run } from "../support/command-line.js";

/** `shoulders init` on the shipped family: by flags alone, and by a script on standard input. */

let folder: string;
beforeEach(() => {
  folder = mkdtempSync(path.join(tmpdir(), "shoulders-init-"));
});
afterEach(() => rmSync(folder, { recursive: true }));

const family = (name: string): string => path.resolve("models/family", `${name}.gguf`);
const models = (...experts: string[]): string[] => [
  ...["--base", family("giant"), "--reference", family("dwarf")],
  ...["--expert", ...experts],
];

/** A few examples, so that calibration is quick. */
function fewExamples(): string {
  const file = path.join(folder, "few.jsonl");
  const lines = readFileSync("models/tasks/problems-calibration.jsonl", "utf8").split("\n");
  writeFileSync(file, lines.slice(0, 8).join("\n"));
  return file;
}

const out = (name: string): string => path.join(folder, name);

describe("shoulders init", () => {
  it("sees by their headers whether small models have a vocabulary of their own", () => {
    const of = (reference: string, expert: string) =>
      findVocabulary(
        readFactsOf({
          base: { path: family("giant") },
          reference: { path: reference },
          experts: [{ path: expert }],
        }),
      );
    const stranger = (name: string) => path.resolve(`models/strangers/${name}.gguf`);
    expect(of(family("dwarf"), family("dwarf-recall"))).toBe("shared");
    expect(of(stranger("digits-reference"), stranger("digits-recall"))).toBe("own");
    expect(() => of(stranger("digits-reference"), stranger("merged-recall"))).toThrow(
      /vocabularies of .* differ/,
    );
    expect(() => of(stranger("digits-reference"), family("dwarf-recall"))).toThrow(
      /vocabularies of .* differ/,
    );
  });

  it("makes a config and a card that answer well, by flags alone, and replaces nothing unasked", async () => {
    const args = [
      ...["init", ...models(family("dwarf-problems")), "--out", out("mine.json")],
      ...["--examples", `problems=${fewExamples()}`, "--threads", "1"],
    ];
    const { code, stdout } = await run(args);
    expect(code).toBe(0);
    expect(stdout).toMatch(/expert problems +dwarf-problems\.gguf +llama +F16/);
    expect(stdout).toMatch(/main memory: weights/);
    const shares: Record<string, number> = Object.fromEntries(
      [...stdout.matchAll(/^(base alone|expert alone|without a card|proposed) +(\d+) %/gm)].map(
        ([, name = "", share]) => [name, Number(share)] as const,
      ),
    );
    expect(shares["base alone"]).toBe(0);
    expect(shares["proposed"]).toBeGreaterThan(60);
    expect(stdout).toContain("Calibration has seen these. With 74 examples or more");
    const [made] = loadFusionConfigs(out("mine.json"));
    expect(made?.config).toMatchObject({ id: "problems", context: { tokens: 512, sequences: 8 } });
    expect(existsSync(out("problems.card.json"))).toBe(true);
    const before = readFileSync(out("mine.json"), "utf8");
    const again = await run(args);
    expect(again).toMatchObject({ code: 2 });
    expect(again.stderr).toMatch(/mine\.json and .*problems\.card\.json exists and is kept/);
    expect(readFileSync(out("mine.json"), "utf8")).toBe(before);
  }, 500_000);

  it("asks for what no flag says, again where an answer is wrong, and makes examples", async () => {
    const answers = [family("gaint"), family("giant"), family("dwarf"), family("dwarf-recall")];
    const input = [...answers, "", "", "My people", "people", out("people.yaml"), ""].join("\n");
    const { code, stdout } = await run(["init", "--threads", "1"], { input: `${input}\n` });
    expect(code).toBe(0);
    expect(stdout).toContain("Did you mean giant.gguf?");
    expect(stdout).toContain("its id [recall]");
    expect(stdout).toContain('"My people" is no id');
    const [made] = loadFusionConfigs(out("people.yaml"));
    expect(made?.config).toMatchObject({ id: "people", experts: [{ id: "recall" }] });
    const examples = readFileSync(out("people.examples.jsonl"), "utf8").trim().split("\n");
    expect(examples.length).toBeGreaterThanOrEqual(4);
    expect(existsSync(out("people.card.json"))).toBe(true);
    expect(stdout).toContain("nobody has said what is right");
  }, 500_000);

  it("refuses what cannot be one config before anything is loaded or written", async () => {
    const none = await run(["init", ...models(family("dwarf-nothing")), "--out", out("a.json")]);
    expect(none).toMatchObject({ code: 1 });
    expect(none.stderr).toMatch(/dwarf-nothing\.gguf does not exist/);
    const twice = await run([
      "init",
      ...models(family("dwarf-recall"), family("dwarf-recall")),
      "--out",
      out("a.json"),
    ]);
    expect(twice.stderr).toContain('two experts have the id "recall"; name them: --expert ID=FILE');
    const ended = await run(["init", "--base", family("giant")], { input: "" });
    expect(ended).toMatchObject({ code: 2 });
    expect(ended.stderr).toContain('the input ended before "Reference');
    const strangers = await run([
      ...["init", "--base", family("giant"), "--reference", family("dwarf")],
      ...["--expert", path.resolve("test/data/starter/dwarf-sums.gguf"), "--out", out("a.json")],
    ]);
    expect(strangers.stderr).toMatch(/The vocabularies of .* differ/);
    expect(existsSync(out("a.json"))).toBe(false);
  }, 300_000);
});
