import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { fusionConfigSchema } from "../../src/config/fusion-config.js";
import { openLibrary } from "../../src/llama/library.js";
import type { ModelContext, NativeLibrary } from "../../src/llama/types.js";
import type { Engine, ResolvedFusionConfig } from "../../src/protocol/protocol.js";
import { families } from "../support/families.js";
import { randomLlama, writeGguf } from "../support/gguf-writer.js";
import { contextOptions, load } from "../support/llama.js";
import { located } from "../support/members.js";
import { checkGreedy, quantizedTolerance } from "../support/plain-oracle.js";
import { createQuantizer, quantizations } from "../support/quantize.js";
import { type Answer, answer, startRealEngine, textRequest } from "../support/real-engine.js";
import { temporaryDirectory, type TemporaryDirectory } from "../support/temporary-directory.js";

/** A base of each kind of architecture, with random weights: what the server makes of it against plain contexts. */

/** A few on every run; `npm run test:matrix` tries all. */
const types = Object.keys(quantizations) as (keyof typeof quantizations)[];
const triedTypes = process.env["SHOULDERS_MATRIX"] === "all" ? types : (["Q8_0", "Q4_0", "Q4_K_M"] as const);
const quantized = new Map(triedTypes.map((type) => [`Llama, ${type}`, type]));
const names = [...Object.keys(families), ...quantized.keys()];
const idOf = (name: string): string => `f${names.indexOf(name)}`;
const maxTokens = 8;

let folder: TemporaryDirectory;
let engine: Engine;
let library: NativeLibrary;
const contexts = new Map<string, ModelContext>();
const file = (id: string): string => folder.file(`${id}.gguf`);

function configOf(id: string): ResolvedFusionConfig {
  const parsed = fusionConfigSchema.parse({
    id,
    base: file(id),
    reference: file("reference"),
    experts: [{ id: "e", model: file("expert") }],
    strategy: { type: "static", weights: { e: 1 }, plausibility: null },
    context: { tokens: 256, sequences: 8 },
  });
  return { config: { ...parsed, strategy: parsed.strategy! }, members: located(parsed), card: null };
}

beforeAll(async () => {
  folder = temporaryDirectory();
  library = await openLibrary({ backend: "cpu" });
  const quantize = createQuantizer();
  // The widest blocks are of 256 values.
  writeGguf(file("wide"), randomLlama({ seed: 3, embedding: 256, feedForward: 512 }));
  for (const name of names) {
    const type = quantized.get(name);
    if (type === undefined) writeGguf(file(idOf(name)), families[name]!(3));
    else quantize(file("wide"), file(idOf(name)), type);
  }
  writeGguf(file("reference"), randomLlama({ seed: 5 }));
  writeGguf(file("expert"), randomLlama({ seed: 6 }));
  engine = await startRealEngine(
    names.map((name) => configOf(idOf(name))),
    { cacheSequences: 8 },
  );
  for (const id of [...names.map(idOf), "reference", "expert"])
    contexts.set(id, (await load(library, file(id))).createContext(contextOptions));
}, 60_000);

afterAll(async () => {
  await engine.close();
  await library[Symbol.asyncDispose]();
  folder.remove();
});

const promptOf = (seed: number, length: number): number[] =>
  Array.from({ length }, (_, index) => 2 + ((seed * 31 + index * index * 7 + index * 13) % 300));

describe.each(names)("%s", (name) => {
  const id = idOf(name);
  const options = quantized.has(name) ? { nats: quantizedTolerance } : {};
  const requestOf = (tokens: readonly number[], more = {}) => ({
    ...textRequest(id, ""),
    prompt: { type: "tokens" as const, tokens: [...tokens] },
    maxTokens,
    ...more,
  });
  const ask = (tokens: readonly number[], more = {}): Promise<Answer> =>
    answer(engine, requestOf(tokens, more));
  const contextsOf = () => [id, "expert", "reference"].map((each) => contexts.get(each)!);
  const check = (prompt: readonly number[], answered: Pick<Answer, "ids" | "tokens">): Promise<void> =>
    checkGreedy(contextsOf(), prompt, answered, options);

  it("alone, again, and going on", async () => {
    const prompt = promptOf(1, 40);
    const first = await ask(prompt);
    await check(prompt, first);
    await check(prompt, await ask(prompt));
    const more = [...prompt, ...first.ids, ...promptOf(2, 6)];
    const second = await ask(more);
    expect(second.done.usage.cachedTokens).toBeGreaterThanOrEqual(prompt.length + first.ids.length - 1);
    await check(more, second);
  });

  it("eight at once, after one was hung up", async () => {
    let numEvents = 0;
    for await (const event of engine.generate(
      requestOf(promptOf(3, 20), { maxTokens: 100 }),
      new AbortController().signal,
    ))
      if (event.type === "delta" && ++numEvents === 2) break;
    const prompts = Array.from({ length: 8 }, (_, index) => [
      ...promptOf(3, 20),
      ...promptOf(4 + index, 3 + 5 * index),
    ]);
    const answers = await Promise.all(prompts.map((prompt) => ask(prompt)));
    for (const [index, prompt] of prompts.entries()) await check(prompt, answers[index]!);
  });

  it("what is given, an end, and a grammar", async () => {
    const prompt = promptOf(9, 16);
    const forced = promptOf(10, 4);
    const given = await ask(prompt, { answerPrefix: { type: "tokens", tokens: forced } });
    expect(given.ids.slice(0, 4)).toEqual(forced);
    await check([...prompt, ...forced], { ids: given.ids.slice(4), tokens: given.tokens.slice(4) });
    const stopped = await ask(prompt, {
      stopTokens: [given.ids[5]!],
      answerPrefix: { type: "tokens", tokens: forced },
    });
    expect(stopped.ids).toEqual(given.ids.slice(0, given.ids.indexOf(given.ids[5]!, 4) + 1));
    const grammar = String.raw`root ::= "{\"a\":" ("true" | "false" | [0-9]) "}"`;
    const json = await ask(prompt, { grammar, maxTokens: 12 });
    expect(JSON.parse(json.text)).toEqual({ a: expect.anything() as unknown });
  });

  it("an echoed prompt, whose every token has the oracle's log-probability", async () => {
    const [first, ...rest] = promptOf(11, 12);
    const echoed = await ask([first!], {
      forced: { type: "tokens", tokens: rest },
      maxTokens: rest.length,
      logprobs: "unrestricted",
    });
    expect(echoed.ids).toEqual(rest);
    await checkGreedy(contextsOf(), [first!], echoed, { ...options, isGreedy: false });
  });
});
