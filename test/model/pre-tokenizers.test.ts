import { execFileSync } from "node:child_process";
import { fileURLToPath } from "node:url";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { ShouldersError } from "../../src/errors.js";
import { openLibrary } from "../../src/llama/library.js";
import { longestRunOf } from "../../src/llama/pre-tokenizers.js";
import type { LoadedModel, NativeLibrary } from "../../src/llama/types.js";
import { withText } from "../support/gguf-editor.js";
import { load } from "../support/llama.js";
import { root } from "../support/real-engine.js";
import { temporaryDirectory } from "../support/temporary-directory.js";

/**
 * Every way in which libllama splits text, over a real vocabulary with its merges: a text of any shape is tokenized or
 * refused. A crash would end this process.
 */

const sources = fileURLToPath(
  new URL("../../node_modules/node-llama-cpp/llama/gitRelease.bundle", import.meta.url),
);
const directory = temporaryDirectory();
const model = directory.file("model.gguf");
let library: NativeLibrary;

beforeAll(async () => {
  library = await openLibrary({ backend: "cpu" });
});

afterAll(async () => {
  await library[Symbol.asyncDispose]();
  directory.remove();
});

/** As the library's own sources compare them; the package carries these. */
function namesInSources(): string[] {
  const git = (...args: string[]) => execFileSync("git", args, { encoding: "utf8", maxBuffer: 1 << 26 });
  const clone = directory.file("sources.git");
  git("clone", "--quiet", "--bare", sources, clone);
  const text = git("--git-dir", clone, "show", "HEAD:src/llama-vocab.cpp");
  return [...new Set([...text.matchAll(/tokenizer_pre == "([^"]+)"/g)].map(([, name]) => name as string))];
}

const names = namesInSources();

/** Kinds of characters that a pattern may run over, alone and mixed. */
const units: Readonly<Record<string, string>> = {
  letters: "a",
  capitals: "A",
  "letters of both cases": "aA",
  digits: "7",
  "letters and digits": "a1",
  spaces: " ",
  tabs: "\t",
  "line ends": "\n",
  "spaces and line ends": " \n",
  "spaces of Unicode": "\u{3000}\u{85}",
  ideographs: "中",
  "ideographs and their signs": "中。",
  kana: "かー",
  hangul: "가",
  arabic: "ع",
  devanagari: "कि१",
  "combining marks": "\u{301}",
  "letters with marks": "e\u{301}",
  "signs and marks": "!\u{301}",
  "signs and what is of no kind": "!\u{feff}",
  signs: "!",
  symbols: "+",
  "letters beyond the first plane": "𐐀",
  emoji: "😀",
  words: "word ",
  controls: "\u{1}",
  contractions: "'s",
};

const numCharacters = 262_144;

async function withModel<Result>(
  pre: string,
  use: (loaded: LoadedModel) => Promise<Result>,
): Promise<Result> {
  withText(`${root}/models/family/dwarf.gguf`, model, "tokenizer.ggml.pre", pre);
  const loaded = await load(library, model);
  try {
    return await use(loaded);
  } finally {
    await loaded[Symbol.asyncDispose]();
  }
}

const repeated = (unit: string, length: number) =>
  unit.repeat(Math.ceil(length / unit.length)).slice(0, length);

it("refuses the one that cannot take a text with two spaces", async () => {
  await expect(withModel("whitespace", () => Promise.resolve())).rejects.toMatchObject({
    code: "model_file_invalid",
    message: expect.stringContaining("at white space alone") as string,
  });
});

describe.each(names.filter((name) => name !== "whitespace"))("%s", (pre) => {
  it("takes or refuses a long run of any kind, and takes shorter ones", async () => {
    await withModel(pre, async (loaded) => {
      const tokensOf = (text: string) => loaded.tokenizeAside(text, true).catch((error: unknown) => error);
      for (const what of ["letters", "digits", "spaces", "ideographs", "letters and digits"]) {
        const outcome = await tokensOf(repeated(units[what] as string, numCharacters));
        expect(outcome, what).toSatisfy(isTokensOrRefusal);
      }
      const isLimited = !Array.isArray(await tokensOf("a".repeat(numCharacters)));
      if (!isLimited) return;
      for (const [what, unit] of Object.entries(units)) {
        // Signs may be followed by line ends, and what is not ASCII counts with what stands on both sides.
        const longest = repeated(unit, longestRunOf(pre) - 4);
        expect(await tokensOf(`one ${longest} 中${longest}\n two`), what).toSatisfy(isTokensOrRefusal);
        expect(await tokensOf(`one\n${longest}\nthree`), what).toBeInstanceOf(Array);
        const short = `${repeated(unit, 500)}\nand\n${repeated(unit, 300)}`;
        const aside = (await tokensOf(short.padEnd(9_000, "\nword"))) as number[];
        const atOnce = loaded.tokenize(short, true);
        expect(aside.slice(0, atOnce.length - 2), what).toEqual(atOnce.slice(0, -2));
      }
    });
  }, 300_000);
});

function isTokensOrRefusal(outcome: unknown): boolean {
  return Array.isArray(outcome) || (outcome instanceof ShouldersError && outcome.status === 400);
}
