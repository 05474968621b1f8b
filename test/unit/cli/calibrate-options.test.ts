import { writeFileSync } from "node:fs";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { loadExamples, nameFiles } from "../../../src/cli/calibrate-options.js";
import { ShouldersError } from "../../../src/errors.js";
import { type TemporaryDirectory, temporaryDirectory } from "../../support/temporary-directory.js";

let directory: TemporaryDirectory;
beforeAll(() => {
  directory = temporaryDirectory();
});
afterAll(() => directory.remove());

function fileOf(name: string, lines: readonly object[]): string {
  const file = directory.file(name);
  writeFileSync(file, lines.map((line) => JSON.stringify(line)).join("\n"));
  return file;
}

const repeat = (count: number, line: (index: number) => object) =>
  Array.from({ length: count }, (_, i) => line(i));

function refusal(given: string[], ids: string[]): string {
  try {
    loadExamples(given, ids);
  } catch (error) {
    expect(error).toBeInstanceOf(ShouldersError);
    return (error as ShouldersError).message;
  }
  return "accepted";
}

describe("examples", () => {
  it("come from lines that name their experts, and from task files that are named for one", () => {
    const messages = [{ role: "user", content: "Hello?" }];
    const ours = fileOf("ours.jsonl", [
      ...repeat(8, (index) => ({ expert: "law", prompt: `Case ${index}` })),
      { expert: null, messages },
      { expert: "maths", messages, answers: ["4", "four"] },
    ]);
    const task = fileOf(
      "task.jsonl",
      repeat(9, (index) => ({ messages, answer: "7", target: `3 + 4 = ${index}` })),
    );
    const strays = fileOf("strays.jsonl", [{ prompt: "Once upon a time", answer: "there was" }]);
    const groups = loadExamples([ours, `maths=${task}`, `base=${strays}`], ["maths", "law"]);
    expect(groups.map(({ expert, examples }) => [expert, examples.length])).toEqual([
      ["maths", 10],
      ["law", 8],
      [null, 2],
    ]);
    expect(groups[0]!.examples.slice(0, 2)).toEqual([
      { expert: "maths", prompt: { type: "chat", messages }, answer: "4" },
      { expert: "maths", prompt: { type: "chat", messages }, answer: "3 + 4 = 0" },
    ]);
    expect(groups[1]!.examples[3]).toEqual({
      expert: "law",
      prompt: { type: "text", text: "Case 3" },
      answer: null,
    });
    expect(groups[2]!.examples[1]).toEqual({
      expert: null,
      prompt: { type: "text", text: "Once upon a time" },
      answer: null,
    });
  });

  it("of lines that name nobody are the only expert's, and of several nobody's", () => {
    const lines = repeat(5, (index) => ({ prompt: `Case ${index}`, answers: ["7"], scorer: "number" }));
    const bare = fileOf("nameless.jsonl", lines);
    const [group] = loadExamples([bare], ["law"]);
    expect(group).toMatchObject({ expert: "law", numLeftOut: 0 });
    expect(group!.examples).toHaveLength(5);
    expect(nameFiles([bare, `law=${bare}`], ["law"])).toEqual([`law=${bare}`, `law=${bare}`]);
    expect(refusal([bare], ["law", "maths"])).toBe(
      `${bare}: no line says which "expert" it is for; if all are for one, name it: law=${bare}`,
    );
  });

  it("are 64 at most", () => {
    const many = fileOf(
      "many.jsonl",
      repeat(70, (index) => ({ expert: "law", prompt: `Case ${index}` })),
    );
    const [group] = loadExamples([many], ["law"]);
    expect(group).toMatchObject({ numLeftOut: 6 });
    expect(group!.examples).toHaveLength(64);
  });

  it("are refused with what is wrong", () => {
    const few = fileOf(
      "few.jsonl",
      repeat(3, () => ({ expert: "law", prompt: "Case" })),
    );
    expect(refusal([few], ["law"])).toBe('expert "law" has 3 example prompts; give 4 to 64 with --examples');
    expect(refusal([few], ["maths"])).toBe('the config has no expert "law"; known: maths');
    expect(refusal([`maths=${few}`], ["law"])).toBe('the config has no expert "maths"; known: law');
    expect(refusal(["none.jsonl"], ["law"])).toContain("none.jsonl: cannot be read");
    expect(refusal([fileOf("text.jsonl", [{ expert: "law", text: "?" }])], ["law"])).toMatch(
      /item 1: .*text/,
    );
    expect(refusal([fileOf("bare.jsonl", [{ expert: "law" }])], ["law"])).toContain(
      "give either prompt or messages",
    );
  });
});
