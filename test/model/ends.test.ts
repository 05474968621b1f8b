import { afterAll, beforeAll, expect, it } from "vitest";
import { fusionConfigSchema } from "../../src/config/fusion-config.js";
import type { Engine, ResolvedFusionConfig } from "../../src/protocol/protocol.js";
import { randomLlama, writeGguf } from "../support/gguf-writer.js";
import { located } from "../support/members.js";
import { answer, startRealEngine, textRequest } from "../support/real-engine.js";
import { temporaryDirectory, type TemporaryDirectory } from "../support/temporary-directory.js";

/** Models that end their answers with several tokens, and begin their prompts each in its way. */

const key = (name: string) => `tokenizer.ggml.${name}`;
const prompt = { type: "tokens" as const, tokens: [0, 12, 40, 7, 90, 33] };
const maxTokens = 12;

let folder: TemporaryDirectory;
let engine: Engine;
/** What the fused models say where nothing ends them. */
let said: number[];

const seeds = { base: 20, reference: 21, expert: 22 };

type Metadata = Record<string, number | boolean>;

function configOf(
  id: string,
  { base = {}, small = {}, expert = small }: { base?: Metadata; small?: Metadata; expert?: Metadata } = {},
): ResolvedFusionConfig {
  // A file is loaded once, with one header.
  const model = (name: keyof typeof seeds, metadata: Metadata) => {
    const file = folder.file(`${id}-${name}.gguf`);
    writeGguf(file, randomLlama({ seed: seeds[name] }));
    return { model: file, metadata };
  };
  const parsed = fusionConfigSchema.parse({
    id,
    base: model("base", base),
    reference: model("reference", small),
    experts: [{ id: "e", model: model("expert", expert) }],
    strategy: { type: "static", weights: { e: 1 }, plausibility: null },
    context: { tokens: 64, sequences: 2 },
  });
  return { config: { ...parsed, strategy: parsed.strategy! }, members: located(parsed), card: null };
}

const ask = (id: string, more = {}) => answer(engine, { ...textRequest(id, ""), prompt, maxTokens, ...more });

beforeAll(async () => {
  folder = temporaryDirectory();
  const plain = await startRealEngine([configOf("plain")]);
  said = (await answer(plain, { ...textRequest("plain", ""), prompt, maxTokens })).ids;
  await plain.close();
  const [first, second, third] = [said[2]!, said[4]!, said[6]!];
  engine = await startRealEngine([
    configOf("eos", { base: { [key("eos_token_id")]: third } }),
    configOf("three", {
      base: {
        [key("eos_token_id")]: third,
        [key("eot_token_id")]: second,
        [key("eom_token_id")]: first,
      },
    }),
    configOf("expert", { expert: { [key("eot_token_id")]: second } }),
    configOf("begins", { base: { [key("add_bos_token")]: false } }),
  ]);
});

afterAll(async () => {
  await engine.close();
  folder.remove();
});

/** Up to the first that is one of them. */
const until = (...ends: number[]) => said.slice(0, said.findIndex((token) => ends.includes(token)) + 1);

it("end at whichever of their ends comes first: of the text, of a turn or of a message", async () => {
  expect(said).toHaveLength(maxTokens);
  expect((await ask("eos")).ids).toEqual(until(said[6]!));
  const { ids, done } = await ask("three");
  expect(ids).toEqual(until(said[2]!, said[4]!, said[6]!));
  expect(done.finishReason).toBe("stop");
});

it("end where an expert alone has such an end", async () => {
  expect((await ask("expert")).ids).toEqual(until(said[4]!));
});

it("none of their ends is written where an answer is to have a least length", async () => {
  const { ids } = await ask("three", { minTokens: maxTokens });
  expect(ids).toHaveLength(maxTokens);
  for (const end of [said[2]!, said[4]!, said[6]!]) expect(ids).not.toContain(end);
});

it("begin with a first token or without, each model as it is told", async () => {
  const prompts = async (configId: string) => {
    const query = { type: "renderPrompt" as const, configId, prompt: { type: "text" as const, text: "ab" } };
    return (await engine.query(query)).prompts;
  };
  const [usual, begins] = [await prompts("eos"), await prompts("begins")];
  expect(usual.base!.tokens).toEqual(usual.e!.tokens);
  expect(begins.base!.tokens).toEqual(usual.base!.tokens.slice(1));
  expect(begins.e!.tokens).toEqual(usual.e!.tokens);
});
