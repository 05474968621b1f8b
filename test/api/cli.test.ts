import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import path from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { run } from "../support/command-line.js";
import { randomLlama, writeGguf } from "../support/gguf-writer.js";
import { modelPath } from "../support/real-engine.js";

/** The real program, from argument to exit code, on the starter models. */

let directory: string;
beforeAll(() => {
  directory = mkdtempSync(path.join(tmpdir(), "shoulders-cli-"));
});
afterAll(() => rmSync(directory, { recursive: true }));

function configFile(config: object): string {
  const file = path.join(directory, "config.json");
  writeFileSync(file, JSON.stringify({ id: "mine", context: { tokens: 128, sequences: 1 }, ...config }));
  return file;
}

const question = "What is the home town of Venur Gevol?";

describe("shoulders", () => {
  it("prints help and version, and refuses what it does not know with exit code 2", async () => {
    expect((await run(["--help"])).stdout).toContain("serve");
    const { version } = JSON.parse(readFileSync("package.json", "utf8")) as { version: string };
    expect(await run(["--version"])).toMatchObject({ code: 0, stdout: `${version}\n` });
    const unknown = await run(["sevre"]);
    expect(unknown).toMatchObject({ code: 2, stdout: "" });
    expect(unknown.stderr).toContain("Did you mean serve?");
  });

  it("refuses bad settings with a line each and no stack", async () => {
    const { code, stdout, stderr } = await run(["serve", "--port", "http"], {
      environment: { SHOULDERS_KERNEL: "fast" },
    });
    expect({ code, stdout }).toEqual({ code: 2, stdout: "" });
    expect(stderr.trim().split("\n")).toEqual([
      'shoulders: --port: "http" is not allowed; give an integer from 0 to 65535',
      'shoulders: SHOULDERS_KERNEL: "fast" is not allowed; give one of simd, reference',
    ]);
  });

  it("shows a stack to somebody who debugs", async () => {
    expect((await run(["serve", "--port", "http", "--log-level", "debug"])).stderr).toContain("    at ");
  });
});

describe("shoulders complete", () => {
  it("prints the answer, and only the answer, on standard output", async () => {
    const { code, stdout } = await run(["complete", "--fusion", "trivia", question]);
    expect({ code, stdout }).toEqual({ code: 0, stdout: " Trorar\n" });
  });

  it("prints a plain table of tokens and weights with --trace", async () => {
    const { code, stdout } = await run(["complete", "--fusion", "trivia", "--trace", question]);
    expect(code).toBe(0);
    expect(stdout).toMatch(/^ Trorar\n\nposition +token +p +base alone +by +nats +trivia\n/);
    expect(stdout).toMatch(/^ +\d+ +"<eos>" /m);
    expect(stdout).not.toContain("\u001b");
  });

  it("ends after --max-tokens", async () => {
    const { stdout } = await run(["complete", "--fusion", "giant", "--trace", "--max-tokens", "3", question]);
    expect(stdout.trim().split("\n").slice(-3)).toHaveLength(3);
    expect(stdout.match(/^ +\d+ /gm)).toHaveLength(3);
  });

  it("says which config there is when the id is unknown", async () => {
    expect(await run(["complete", "--fusion", "trivai", "x"])).toMatchObject({
      code: 2,
      stdout: "",
      stderr: 'shoulders: no fusion config has the id "trivai"; did you mean "trivia"?\n',
    });
  });

  it("refuses a prompt that does not fit", async () => {
    const { code, stderr } = await run(["complete", "--fusion", "trivia", "word ".repeat(600)]);
    expect(code).toBe(1);
    expect(stderr).toContain("512 tokens");
  });
});

describe("shoulders check", () => {
  it("prints models, sizes and memory", async () => {
    const { code, stdout } = await run(["check", "test/data/starter/fusion-configs/both.json"]);
    expect(code).toBe(0);
    for (const text of ["giant.gguf", "expert trivia", "expert sums", "the same", "MiB", "llama.cpp"])
      expect(stdout).toContain(text);
  });

  it("is a doctor: says what is probably wrong, in the files and by asking them", async () => {
    const family = (name: string) => path.resolve("models/family", `${name}.gguf`);
    const file = path.join(directory, "sick.yaml");
    writeFileSync(
      file,
      [
        "id: sick",
        `base: ${family("giant")}`,
        `reference: ${family("dwarf")}`,
        "context: {tokens: 2048, sequences: 1}",
        "experts:",
        ...["dwarf", "dwarf-problems", "dwarf-problems-hard", "giant-recall"].map(
          (name) => `  - {id: ${name}, model: ${family(name)}}`,
        ),
        "",
      ].join("\n"),
    );
    const { code, stdout } = await run(["check", file]);
    expect(code).toBe(0);
    const warnings = stdout.split("\n").filter((line) => line.startsWith("warning"));
    expect(warnings.map((line) => line.replace(/^warning +/, "").slice(0, 60))).toEqual([
      expect.stringMatching(/^it has no calibration card/),
      expect.stringMatching(/^expert "dwarf" and the reference are the same model/),
      expect.stringMatching(/^expert "giant-recall" was not tuned from the reference/),
      "context.tokens is 2048, and the base was trained for 512.",
      expect.stringMatching(/^expert "dwarf" says what the reference says/),
      expect.stringMatching(/^expert "dwarf-problems-hard" is far from the reference/),
    ]);
  });

  it("has nothing to say of what is shipped", async () => {
    const { stdout } = await run(["check", "recall", "--fusion-configs", "fusion-configs"]);
    expect(stdout).not.toContain("warning");
  });

  it("takes an id as well", async () => {
    expect((await run(["check", "giant"])).stdout).toContain("giant.gguf");
  });

  it("names a missing file", async () => {
    const { code, stderr } = await run(["check", configFile({ base: "none.gguf" })]);
    expect(code).toBe(1);
    expect(stderr).toContain(path.join(directory, "none.gguf"));
    expect(stderr).toMatch(/config\.json:1:\d+ base: Model file/);
    expect(await run(["check", "none.json"])).toMatchObject({ code: 2 });
  });

  it("names a file that is no GGUF, and one that is cut short", async () => {
    writeFileSync(path.join(directory, "text.gguf"), "not a model");
    writeFileSync(path.join(directory, "cut.gguf"), readFileSync(modelPath("dwarf")).subarray(0, 100_000));
    for (const name of ["text.gguf", "cut.gguf"]) {
      const { code, stdout, stderr } = await run(["check", configFile({ base: name })]);
      expect({ code, stdout }).toEqual({ code: 1, stdout: "" });
      expect(stderr).toContain(name);
      expect(stderr).not.toContain("    at ");
    }
  });

  it("shows where two vocabularies differ", async () => {
    const other = path.join(directory, "other.gguf");
    writeGguf(other, randomLlama());
    const config = configFile({
      base: modelPath("giant"),
      reference: other,
      experts: [{ id: "trivia", model: modelPath("dwarf-trivia") }],
    });
    const { code, stderr } = await run(["check", config]);
    expect(code).toBe(1);
    expect(stderr).toMatch(/vocabular/i);
    expect(stderr).toContain("other.gguf");
  });
});

describe("shoulders solve", () => {
  const vectors = "test/vectors/solver.json";

  it.each(["simd", "reference"])("solves the test vectors from a file with the %s kernel", async (kernel) => {
    const { code, stdout } = await run(["solve", "--kernel", kernel, vectors]);
    const cases = JSON.parse(readFileSync(vectors, "utf8")) as {
      name: string;
      exact: { objective: number };
    }[];
    const results = stdout
      .trim()
      .split("\n")
      .map((line) => JSON.parse(line) as { name: string; objective: number });
    expect(code).toBe(0);
    expect(results.map(({ name }) => name)).toEqual(cases.map(({ name }) => name));
    for (const [index, { objective }] of results.entries())
      expect(objective).toBeLessThanOrEqual(cases[index]!.exact.objective * 1.001 + 1e-6);
  });

  it("reads lines from standard input; a bad row gets its error and the rest go on", async () => {
    const good = { name: "good", base: [1, 2, 2], reference: [1, 2, 3], experts: [[3, 2, 1]] };
    const bad = { ...good, name: "bad", base: ["NaN", 2, 2] };
    const input = [bad, good].map((one) => JSON.stringify(one)).join("\n");
    const { code, stdout } = await run(["solve", "--solver", "grid"], { input });
    expect(code).toBe(1);
    const [first, second] = stdout.trim().split("\n");
    expect(JSON.parse(first!)).toMatchObject({ name: "bad", error: { code: "non_finite_logits" } });
    expect(JSON.parse(second!)).toMatchObject({ name: "good", expert: 0 });
  });

  it("names a file that cannot be read, and a solver that is unknown", async () => {
    const missing = await run(["solve", "none.json"]);
    expect(missing).toMatchObject({ code: 2, stdout: "" });
    expect(missing.stderr).toContain("none.json cannot be read");
    expect(await run(["solve", "--solver", "newton", vectors])).toMatchObject({ code: 2 });
  });
});
