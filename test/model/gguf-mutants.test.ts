import { writeFileSync } from "node:fs";
import { afterAll, beforeAll, expect, it } from "vitest";
import { ShouldersError } from "../../src/errors.js";
import { openLibrary } from "../../src/llama/library.js";
import type { NativeLibrary } from "../../src/llama/types.js";
import { readGguf, saveGguf } from "../support/gguf-editor.js";
import { type Mutant, mutantsOf } from "../support/gguf-mutants.js";
import { contextOptions, decodeRow, load } from "../support/llama.js";
import { root } from "../support/real-engine.js";
import { temporaryDirectory } from "../support/temporary-directory.js";

/** A header with any one thing changed is refused, or its model decodes. A crash would end this process. */

const directory = temporaryDirectory();
const mutated = directory.file("mutant.gguf");
const source = readGguf(`${root}/models/family/dwarf.gguf`);
const architecture = source.entries
  .find(({ key }) => key === "general.architecture")
  ?.value.toString("latin1", 8);
let library: NativeLibrary;

beforeAll(async () => {
  library = await openLibrary({ backend: "cpu" });
});

afterAll(async () => {
  await library[Symbol.asyncDispose]();
  directory.remove();
});

/** @returns null: it decodes. */
async function refusalOf({ what, parts }: Mutant): Promise<unknown> {
  // For who looks for what ended the process: the directory is then still there.
  writeFileSync(directory.file("what"), what);
  saveGguf(mutated, parts);
  try {
    await using model = await load(library, mutated);
    const context = model.createContext(contextOptions);
    const row = await decodeRow(context, model.tokenize("Question: When was Monen Rupi born?", true));
    expect(row.length, what).toBe(model.vocabulary.size);
    return null;
  } catch (error) {
    return error;
  }
}

it("with one thing changed a header is refused with its path and a reason, or its model decodes", async () => {
  const counts = { refused: 0, decoded: 0 };
  for (const mutant of mutantsOf(source, architecture ?? "")) {
    const error = await refusalOf(mutant);
    if (error === null) counts.decoded++;
    else {
      expect(error, mutant.what).toBeInstanceOf(ShouldersError);
      expect((error as Error).message, mutant.what).toContain("mutant.gguf");
      counts.refused++;
    }
  }
  expect(counts.refused).toBeGreaterThan(100);
  expect(counts.decoded).toBeGreaterThan(50);
}, 600_000);
