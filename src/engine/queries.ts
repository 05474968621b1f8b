import { setImmediate } from "node:timers/promises";
import { inOrder } from "../config/members.js";
import { present, ShouldersError } from "../errors.js";
import type { LoadedModel } from "../llama/types.js";
import type { ReadingSize } from "./entrance.js";
import type { LoadedConfig, LoadedModels } from "./loaded-models.js";
import { checkSize, paramOf, type Readings, sizeOf, tooLong } from "./prompt-size.js";
import { checkIds, renderPrompt, withBos } from "./prompts.js";
import type { EngineQuery, Prompt, QueryOutcome, QueryResults } from "../protocol/protocol.js";

/** Token ids that are looked up at a time: a millisecond or two. */
const mostAtOnce = 4_096;

export function sizeOfQuery(query: EngineQuery): ReadingSize {
  switch (query.type) {
    case "tokenize":
      return { characters: query.text.length, tokens: 0 };
    case "detokenize":
      return { characters: 0, tokens: query.tokens.length };
    case "renderPrompt":
      return sizeOf(readingsOf(query));
    case "describeTokenizer":
      return { characters: 0, tokens: 0 };
  }
}

/** @throws ShouldersError of what is known before anything is read */
export function checkQuery(query: EngineQuery, models: LoadedModels): void {
  if (query.type === "renderPrompt") checkSize(readingsOf(query), models);
}

function readingsOf({ configId, prompt }: { configId: string; prompt: Prompt }): Readings {
  return { configId, prompt, answerPrefix: null, forced: null };
}

interface Question {
  query: EngineQuery;
  models: LoadedModels;
  /** Asked before each part of the work. */
  isWanted: () => boolean;
}

/** Answers what a vocabulary or a template can answer; null where it is wanted no longer. */
export async function answerQuery(question: Question): Promise<QueryOutcome | null> {
  try {
    const result = await answer(question);
    return result && { result, error: null };
  } catch (error) {
    return { result: null, error: ShouldersError.from(error).toData() };
  }
}

async function answer({
  query,
  models: { configs, slots },
  isWanted,
}: Question): Promise<QueryResults[keyof QueryResults] | null> {
  const config = configs.get(query.configId);
  if (!config)
    throw new ShouldersError("model_not_found", `Unknown model "${query.configId}".`, { param: "model" });
  const models = slots.map((slot) => slot.model);
  const base = present(models[config.base.model], "model");
  switch (query.type) {
    case "tokenize": {
      const plain = await base.tokenizeAside(query.text, query.parseSpecial);
      const ids = query.addSpecial ? withBos(plain, base) : plain;
      const pieces = await writePieces(query.withPieces ? ids : [], bytesOf(config), isWanted);
      return pieces && { ids: Int32Array.from(ids), pieces };
    }
    case "detokenize": {
      checkIds(query.tokens, config.vocabularySize, "tokens");
      const bytes = bytesOf(config);
      const { vocabulary } = base;
      const written = (id: number) =>
        query.withControl && vocabulary.isControl(id)
          ? Buffer.from(config.tokenNames.rawText(id))
          : bytes(id);
      const pieces = await writePieces(query.tokens, written, isWanted);
      return pieces && { bytes: pieces.bytes };
    }
    case "describeTokenizer":
      return describeTokenizer(config, base);
    case "renderPrompt":
      return renderAll(query.prompt, config, { models, isWanted });
  }
}

function describeTokenizer(
  { resolved }: LoadedConfig,
  { vocabulary, facts }: LoadedModel,
): QueryResults["describeTokenizer"] {
  const { bos, endToken } = vocabulary;
  return {
    chatTemplate: resolved.config.chatTemplate ?? facts.chatTemplate,
    bos: bos === null ? null : vocabulary.rawText(bos),
    eos: endToken === null ? null : vocabulary.rawText(endToken),
  };
}

async function renderAll(
  prompt: Prompt,
  config: LoadedConfig,
  { models, isWanted }: { models: readonly LoadedModel[]; isWanted: () => boolean },
): Promise<QueryResults["renderPrompt"] | null> {
  const { context } = config.resolved.config;
  const prompts: QueryResults["renderPrompt"]["prompts"] = {};
  for (const { id, model } of inOrder(config)) {
    if (!isWanted()) return null;
    const { text, tokens } = await renderPrompt(prompt, model, config, models);
    if (tokens.length > context.tokens)
      throw tooLong(
        `${context.tokens} tokens, and the prompt has ${tokens.length}`,
        paramOf(readingsOf({ configId: config.resolved.config.id, prompt })),
      );
    const base = present(models[config.base.model], "model");
    prompts[id] = { text: text ?? promptText(tokens, base), tokens };
  }
  return { prompts };
}

type Ids = readonly number[] | Int32Array;

const bytesOf =
  ({ tokenNames }: LoadedConfig) =>
  (id: number): Uint8Array =>
    tokenNames.bytes(id);

/**
 * The bytes of each token, one behind the other: they cross the pipe sooner than as many lists.
 *
 * @returns null where they are wanted no longer
 */
async function writePieces(
  ids: Ids,
  pieceOf: (id: number) => Uint8Array,
  isWanted: () => boolean,
): Promise<QueryResults["tokenize"]["pieces"] | null> {
  const lengths = new Int32Array(ids.length);
  const parts: Uint8Array[] = [];
  for (let from = 0; from < ids.length; from += mostAtOnce) {
    if (from > 0) await setImmediate();
    if (!isWanted()) return null;
    const pieces = Array.from(ids.slice(from, from + mostAtOnce), pieceOf);
    pieces.forEach(({ length }, index) => (lengths[from + index] = length));
    parts.push(Buffer.concat(pieces));
  }
  return { bytes: Buffer.concat(parts), lengths };
}

/** The prompt as one would write it: control tokens by their names. */
function promptText(tokens: readonly number[], { vocabulary }: LoadedModel): string {
  const encoder = new TextEncoder();
  const bytes = tokens.map((id) =>
    vocabulary.isControl(id) ? encoder.encode(vocabulary.rawText(id)) : vocabulary.bytes(id),
  );
  return Buffer.concat(bytes).toString("utf8");
}
