import { present, ShouldersError } from "../errors.js";
import type { LoadedModel } from "../llama/types.js";
import type { ReadingSize } from "./entrance.js";
import type { LoadedModels } from "./loaded-models.js";
import type { ChatMessage, GenerationRequest } from "../protocol/protocol.js";

/** What a request has the models read. */
export type Readings = Pick<GenerationRequest, "configId" | "prompt" | "answerPrefix" | "forced">;

/** A text with fewer bytes than this for each place in the context is tokenized without a further look. */
const usualTokenBytes = 16;
/** About what a template writes around a message, characters. */
const messageCharacters = 16;
const longestTokens = new WeakMap<LoadedModel, number>();

/** How much there is to read, for who waits to be read. */
export function sizeOf(readings: Readings): ReadingSize {
  const { prompt, answerPrefix, forced } = readings;
  const numMessages = prompt.type === "chat" ? prompt.messages.length : 0;
  const characters = textsOf(readings).reduce((sum, { length }) => sum + length, 0);
  const tokens = [prompt, answerPrefix, forced].map((part) =>
    part?.type === "tokens" ? part.tokens.length : 0,
  );
  return {
    characters: characters + numMessages * messageCharacters,
    tokens: tokens.reduce((sum, count) => sum + count),
  };
}

/**
 * Refuses what cannot fit however it is tokenized, without doing so or rendering it: that would hold everybody up. A
 * message takes a token at least, whatever it says.
 *
 * @throws ShouldersError `context_length_exceeded`, `model_not_found`
 */
export function checkSize(readings: Readings, { configs, slots }: LoadedModels): void {
  const { prompt, configId } = readings;
  const config = configs.get(configId);
  if (!config)
    throw new ShouldersError("model_not_found", `Unknown model "${configId}".`, { param: "model" });
  const contextTokens = config.resolved.config.context.tokens;
  const numMessages = prompt.type === "chat" ? prompt.messages.length : 0;
  const numBytes = textsOf(readings).reduce((sum, text) => sum + Buffer.byteLength(text), 0);
  if (numMessages <= contextTokens && numBytes <= contextTokens * usualTokenBytes) return;
  const base = present(slots[config.base.model], "slot").model;
  const fewest = Math.max(numMessages, Math.ceil(numBytes / longestToken(base)));
  if (fewest > contextTokens)
    throw tooLong(`${contextTokens} tokens, and the request has at least ${fewest}`, paramOf(readings));
}

/** All words of a request: of a chat, what everybody said and called. */
function textsOf({ prompt, answerPrefix, forced }: Readings): string[] {
  const texts = [prompt, answerPrefix, forced].map((part) => (part?.type === "text" ? part.text : ""));
  return [...texts, ...(prompt.type === "chat" ? prompt.messages.flatMap(wordsOf) : [])];
}

function wordsOf({ content, toolCalls = [] }: ChatMessage): string[] {
  return [content.trim(), ...toolCalls.flatMap((call) => [call.name, call.arguments])];
}

/** Bytes of text that one token can stand for at most: its name has as many or more. Looked up once a model. */
function longestToken(model: LoadedModel): number {
  const known = longestTokens.get(model);
  if (known !== undefined) return known;
  const { vocabulary } = model;
  let longest = 4; // an unknown character
  for (let token = 0; token < vocabulary.size; token++)
    longest = Math.max(longest, Buffer.byteLength(vocabulary.rawText(token)));
  longestTokens.set(model, longest);
  return longest;
}

/** @param numbers how many tokens there may be, and are. */
export function tooLong(numbers: string, param: string): ShouldersError {
  return new ShouldersError(
    "context_length_exceeded",
    `This model's context holds ${numbers}. Shorten the prompt, or raise context.tokens in the fusion config.`,
    { param },
  );
}

export function paramOf({ prompt }: Readings): string {
  return prompt.type === "chat" ? "messages" : "prompt";
}
