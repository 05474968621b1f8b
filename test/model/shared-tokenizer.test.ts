import path from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { openLibrary } from "../../src/llama/library.js";
import { inMainMemory, type LoadedModel, type NativeLibrary, type Placement } from "../../src/llama/types.js";
import { LlamaVocabulary } from "../../src/llama/vocabulary.js";
import { root } from "../support/real-engine.js";

/** Files of one family have one tokenizer: libllama keeps it once, and nothing else changes. */

const familyModel = (name: string) => path.join(root, "models/family", `${name}.gguf`);
const contextOptions = { numCells: 256, numSequences: 1, batchTokens: 64, maxRows: 1, threads: 1 };
const texts = ["The capital of France", " 12 + 34 = 46\n", "<|im_end|>é 漢字 🙂", ""];

let library: NativeLibrary;
/** The dwarf by itself, and beside the giant. */
let alone: LoadedModel;
let giant: LoadedModel;
let beside: LoadedModel;

const load = (name: string, siblings: readonly LoadedModel[] = [], changes: Partial<Placement> = {}) =>
  library.loadModel(familyModel(name), {
    placement: { ...inMainMemory, ...changes },
    siblings,
    onProgress: () => undefined,
  });
const pointerOf = ({ vocabulary }: LoadedModel) =>
  vocabulary instanceof LlamaVocabulary ? vocabulary.pointer : null;

async function lastRow(model: LoadedModel): Promise<Float32Array> {
  await using context = model.createContext(contextOptions);
  const tokens = model.tokenize("Where is Paris?", false);
  const rows = tokens.map((token, position) =>
    context.batch.add(token, position, 0, position === tokens.length - 1),
  );
  await context.decode();
  return context.logits(rows.at(-1)!).slice();
}

beforeAll(async () => {
  library = await openLibrary({ backend: "cpu" });
  alone = await load("dwarf");
  giant = await load("giant");
  beside = await load("dwarf", [giant]);
});

afterAll(() => library[Symbol.asyncDispose]());

describe("a model beside one of its family", () => {
  it("has that one's tokenizer in libllama", () => {
    expect(pointerOf(beside)).toBe(pointerOf(giant));
    expect(pointerOf(alone)).not.toBe(pointerOf(giant));
  });

  it("tells of every token and text what it tells alone", () => {
    const { size, bos, endToken, addsBos } = alone.vocabulary;
    expect(beside.vocabulary).toMatchObject({ size, bos, endToken, addsBos });
    const describeToken = ({ vocabulary }: LoadedModel, token: number) => ({
      text: vocabulary.rawText(token),
      bytes: Buffer.from(vocabulary.bytes(token)).toString("hex"),
      is: [vocabulary.isControl(token), vocabulary.isReserved(token), vocabulary.isEndOfGeneration(token)],
    });
    for (let token = 0; token < size; token++)
      expect(describeToken(beside, token)).toEqual(describeToken(alone, token));
    for (const text of texts)
      for (const special of [false, true])
        expect(beside.tokenize(text, special)).toEqual(alone.tokenize(text, special));
    expect({ ...beside.facts }).toEqual({ ...alone.facts });
    expect(beside.hasChatTemplate).toBe(alone.hasChatTemplate);
  });

  it("renders the same prompts and computes the same rows, to the last bit", async () => {
    const turns = [{ role: "user", content: "Where is Paris?" }] as const;
    expect(await beside.renderChat(turns)).toEqual(await alone.renderChat(turns));
    expect(await lastRow(beside)).toEqual(await lastRow(alone));
  });

  it("takes as many bytes in weights and context as alone", () => {
    expect(beside.sizeBytes).toBe(alone.sizeBytes);
    expect(beside.numParameters).toBe(alone.numParameters);
  });

  it("keeps its own where a config has changed what its tokens are", async () => {
    const end = alone.vocabulary.size - 1;
    await using changed = await load("dwarf", [giant], {
      metadata: { "tokenizer.ggml.eos_token_id": end },
    });
    expect(pointerOf(changed)).not.toBe(pointerOf(giant));
    expect(changed.vocabulary.isEndOfGeneration(end)).toBe(true);
  });

  it("is refused once the other is released", async () => {
    const lender = await load("giant");
    await using borrower = await load("dwarf", [lender]);
    expect(borrower.tokenize("a", false)).toHaveLength(1);
    await lender[Symbol.asyncDispose]();
    expect(() => borrower.tokenize("a", false)).toThrow(/used after it was released/);
    expect(() => borrower.vocabulary.rawText(0)).toThrow(/after its model was released/);
  });
});

it("measuring one model after the other of a family tells what measuring each alone does", () => {
  const measure = (names: readonly string[]) => {
    using measurer = library.createMeasurer();
    return names.map((name) => measurer.measure(familyModel(name), inMainMemory, contextOptions)).at(-1);
  };
  expect(measure(["giant", "dwarf"])).toEqual(measure(["dwarf"]));
});
