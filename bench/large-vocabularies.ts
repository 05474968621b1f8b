import { existsSync, mkdirSync, mkdtempSync, renameSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import path from "node:path";
import { fusionConfigSchema } from "../src/config/fusion-config.js";
import type { Engine, ResolvedFusionConfig } from "../src/protocol/protocol.js";
import { located } from "../test/support/members.js";
import { answer, startRealEngine, textRequest } from "../test/support/real-engine.js";
import { withVocabularyOf } from "../test/support/real-vocabulary.js";
import { checkOutVocabularies } from "../test/support/vocabularies.js";
import { baseSize, folder, type Member, smallSize, writeModel } from "./family.js";
import type { Table } from "./report.js";
import { median } from "./statistics.js";

/** What a token costs where small models have another large vocabulary than the base, beside the base's own. */

const ofBase = "qwen2";
const others = ["llama-bpe", "llama-spm"] as const;
/** As many as in the bench family. */
const numFrequent = 510;
const numRounds = 5;
const numTokens = 24;
/** Logits spread a fifteenth as wide: rows in which tens of thousands of tokens are likely. */
const flatness = 1 / 15;

interface Model extends Member {
  vocabulary: string;
}

const reference = { size: smallSize, seed: 2, noiseSeed: null };
const expert = { ...reference, noiseSeed: 3 };

const models: Record<string, Model> = {
  base: { size: baseSize, seed: 1, noiseSeed: null, vocabulary: ofBase },
  ...Object.fromEntries<Model>(
    [ofBase, ...others].flatMap((vocabulary): [string, Model][] => [
      [`${vocabulary}-reference`, { ...reference, vocabulary }],
      [`${vocabulary}-expert`, { ...expert, vocabulary }],
    ]),
  ),
  "flat-reference": { ...reference, vocabulary: others[0], sharpness: flatness },
  "flat-expert": { ...expert, vocabulary: others[0], sharpness: flatness },
};

const fileOf = (name: string) => path.join(folder, `vocabulary-${name}.gguf`);

/** Words that are a token in all vocabularies: those that are likely in all models. */
async function frequentWords(directory: string): Promise<string[]> {
  const textsOf = async (name: string) => {
    const { metadata } = await withVocabularyOf(path.join(directory, `ggml-vocab-${name}.gguf`), {});
    return metadata.get("tokenizer.ggml.tokens")?.value as readonly string[];
  };
  const [first = [], ...rest] = await Promise.all([ofBase, ...others].map(textsOf));
  const known = rest.map((texts) => new Set(texts.map((text) => text.replace("▁", "Ġ"))));
  const isShared = (text: string) => /^Ġ[a-z]{2,}$/.test(text) && known.every((texts) => texts.has(text));
  return first
    .filter(isShared)
    .slice(0, numFrequent)
    .map((text) => text.slice(1));
}

async function makeModels(): Promise<void> {
  const missing = Object.entries(models).filter(([name]) => !existsSync(fileOf(name)));
  if (missing.length === 0) return;
  mkdirSync(folder, { recursive: true });
  const sources = mkdtempSync(path.join(tmpdir(), "vocabularies-"));
  try {
    const directory = await checkOutVocabularies(sources);
    const words = await frequentWords(directory);
    for (const [name, { vocabulary, ...member }] of missing) {
      const content = await withVocabularyOf(path.join(directory, `ggml-vocab-${vocabulary}.gguf`), {
        ...member.size,
        contextTrain: 4096,
        name: `bench ${name}`,
      });
      const texts = content.metadata.get("tokenizer.ggml.tokens")?.value as readonly string[];
      const heads = new Set(words.flatMap((word) => [texts.indexOf(`Ġ${word}`), texts.indexOf(`▁${word}`)]));
      writeModel(`${fileOf(name)}.part`, content, { ...member, isHead: (token) => heads.has(token) });
      renameSync(`${fileOf(name)}.part`, fileOf(name));
    }
  } finally {
    rmSync(sources, { recursive: true });
  }
}

function configOf(id: string): ResolvedFusionConfig {
  const config = fusionConfigSchema.parse({
    ...{ id, vocabulary: "own", base: fileOf("base"), reference: fileOf(`${id}-reference`) },
    experts: [{ id: "expert", model: fileOf(`${id}-expert`) }],
    strategy: { type: "static", weights: { expert: 1 }, plausibility: { ratio: 0.1, of: "gated" } },
    context: { tokens: 512, sequences: 2 },
  });
  return { config: { ...config, strategy: config.strategy! }, members: located(config), card: null };
}

/** One answer. */
const ask = (engine: Engine, id: string, round: number) =>
  answer(engine, {
    ...textRequest(id, `Round ${round}: the quick brown fox jumps over the lazy dog in 1985.`),
    ...{ maxTokens: numTokens, minTokens: numTokens, trace: "off", speculation: "off" },
  });

export async function costsOfLargeVocabularies(): Promise<Table> {
  await makeModels();
  const ids = [ofBase, ...others, "flat"];
  const engine = await startRealEngine(ids.map(configOf));
  const gaps = new Map(ids.map((id) => [id, [] as number[]]));
  let times: number[] = [];
  engine.onStep(({ rows }) => {
    if (rows > 0) times.push(performance.now());
  });
  try {
    for (let round = 0; round <= numRounds; round++)
      for (const id of ids) {
        times = [];
        await ask(engine, id, round);
        const told = times.slice(1).map((time, index) => time - (times[index] ?? 0));
        if (round > 0) gaps.get(id)?.push(...told);
      }
  } finally {
    await engine.close();
  }
  const own = median(gaps.get(ofBase) ?? []);
  return {
    title: "Small models of other large vocabularies",
    workload:
      `bench family with the vocabulary of Qwen2 (151,936), small models with that of Llama 3 (128,256) and Llama 2 ` +
      `(32,000), random weights, without guessing; flat: logits spread ${Math.round(1 / flatness)} times less`,
    head: ["small models", "ms a token, median", "÷ the base's vocabulary", "ms, most"],
    rows: ids.map((id) => {
      const all = gaps.get(id) ?? [];
      return [id === ofBase ? `${id} (the base's)` : id, median(all), median(all) / own, Math.max(...all)];
    }),
  };
}
