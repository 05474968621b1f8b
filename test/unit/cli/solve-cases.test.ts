import { readFileSync } from "node:fs";
import { describe, expect, it } from "vitest";
import { runSolve, type SolveResult } from "../../../src/cli/solve-cases.js";

const options = { solver: "exact", kernel: "reference" } as const;

async function run(input: AsyncIterable<string> | string) {
  const lines: string[] = [];
  const exitCode = await runSolve(input, options, (line) => lines.push(line));
  return { exitCode, results: lines.map((line) => JSON.parse(line) as SolveResult) };
}

const good = { name: "good", base: [1, 2, 2], reference: [1, 2, 3], experts: [[3, 2, 1]], bounds: [0, 2] };
const line = (change: object) => JSON.stringify({ ...good, ...change });

async function* chunks(text: string, size: number) {
  for (let at = 0; at < text.length; at += size) {
    await Promise.resolve();
    yield text.slice(at, at + size);
  }
}

describe("runSolve", () => {
  it("solves a pretty-printed array of test vectors", async () => {
    const vectors = JSON.parse(
      readFileSync(new URL("../../vectors/solver.json", import.meta.url), "utf8"),
    ) as { name: string; exact: { objective: number } }[];
    const { exitCode, results } = await run(JSON.stringify(vectors, null, 2));
    expect(exitCode).toBe(0);
    expect(results.map((result) => result.name)).toEqual(vectors.map((vector) => vector.name));
    expect(results[0]).toMatchObject({ expert: 0, weights: [expect.closeTo(0.895, 2)] });
    expect(Object.keys(results[0]!)).toEqual(
      "name objective expert weights forward reverse targets fusedTop evaluations".split(" "),
    );
    expect((results[0] as { fusedTop: unknown[] }).fusedTop).toHaveLength(10);
  });

  it("reads lines however they are cut into chunks, without a newline at the end", async () => {
    const text = [line({ name: "a" }), "", line({ name: "b" })].join("\n");
    const whole = await run(text);
    expect(whole.results.map((result) => result.name)).toEqual(["a", "b"]);
    for (const size of [1, 7, 64]) expect(await run(chunks(text, size))).toEqual(whole);
  });

  it("gives bad cases an error and goes on with the rest", async () => {
    const lines = [
      ["not JSON", "invalid_json"],
      ["[1, 2]", "invalid_request"],
      [line({ base: [1, 2, "NaN"] }), "non_finite_logits"],
      [line({ base: [1, 2, null] }), "non_finite_logits"],
      [line({ base: [1, 2, 3] }).replace("1,2,3", "1,NaN,3"), "non_finite_logits"],
      [line({ reference: [1, 2, 3] }).replace("1,2,3", "1,1e999,3"), "non_finite_logits"],
      [line({ experts: [["-Infinity", "-Infinity", "-Infinity"]] }), "non_finite_logits"],
      [line({ experts: [[1, 2, "3"]] }), "invalid_request"],
      [line({ experts: [] }), "invalid_request"],
      [line({ base: [] }), "invalid_request"],
      [line({ bounds: [2, 0] }), "invalid_request"],
      [
        line({
          bounds: [
            [0, 1],
            [0, 1],
          ],
        }),
        "invalid_request",
      ],
      [line({ name: "last" }), undefined],
    ] as const;
    const { exitCode, results } = await run(lines.map(([text]) => text).join("\n"));
    expect(exitCode).toBe(1);
    expect(results.map((result) => ("error" in result ? result.error.code : undefined))).toEqual(
      lines.map(([, code]) => code),
    );
    expect(results[0]).toMatchObject({ name: null });
    expect(JSON.stringify(results[6])).toContain("The row of expert 0 holds no finite logit.");
  });

  it("takes cases of different sizes, and masked tokens", async () => {
    const { exitCode, results } = await run(
      [
        line({ base: [1, "-Infinity", 3] }),
        line({
          base: [1, 2, 3, 4],
          experts: [
            [1, 2, 4, 3],
            [2, 1, 3, 4],
          ],
        }),
        line({ bounds: [[-1, 0]] }),
      ].join("\n"),
    );
    expect(exitCode).toBe(0);
    expect(results[0]).toMatchObject({ fusedTop: [{ token: expect.any(Number) as number }, {}] });
    expect(results[1]).toMatchObject({ weights: [expect.any(Number), expect.any(Number)] });
    expect((results[2] as { weights: number[] }).weights[0]).toBeLessThanOrEqual(0);
  });
});
