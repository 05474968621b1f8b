import { setMaxListeners } from "node:events";
import { mean } from "simple-statistics";
import type { StrategyConfig } from "../strategies/registry.js";
import type { MeasuredFigures, Prompt } from "../protocol/protocol.js";
import { type Asked, run } from "./ask.js";

/** A few prompts and texts that say nothing special: enough to see whether models fit together at all. */
const questions = [
  "What is the capital of France?",
  "Why is the sky blue?",
  "Write a short note to a friend.",
  "How many days has a week?",
  "Explain in one sentence what a computer does.",
  "Which is heavier, a kilo of iron or a kilo of feathers?",
  "Name three animals that live in the sea.",
  "What should I do when it rains?",
  "Summarize: The meeting was moved from Monday to Friday because of the holiday.",
  "Tom has 5 apples and gives 2 away. How many are left?",
];
const texts = [
  "The capital of France is Paris, a large city on the river Seine.",
  "A week has seven days, and a year has twelve months.",
  "When it rains, people take an umbrella or stay at home.",
  "The meeting was moved from Monday to Friday because of the holiday.",
];

/** Tokens of each answer that are looked at. */
const numTokens = 12;

/** Weights as the paper solves them, over all tokens: its records tell how far each expert is from the reference. */
const overAllTokens: StrategyConfig = { type: "dynamic", solver: "exact", plausibility: null };

/** −ln p of texts after their first word, nats a character. */
async function natsOf(asked: Asked, of: readonly string[]): Promise<number> {
  const measured = await Promise.all(
    of.map(async (text) => {
      const split = text.indexOf(" ");
      const { tokens } = await run(asked, {
        prompt: { type: "text", text: text.slice(0, split) },
        forced: { type: "text", text: text.slice(split) },
        strategy: { type: "base" },
        maxTokens: null,
      });
      return -tokens.reduce((sum, { record }) => sum + record.logprob, 0) / (text.length - split);
    }),
  );
  return mean(measured);
}

/** A model that knows a language needs less than this for a character of it, nats; one that does not proves nothing. */
const knownNats = 2;

/** How base and reference predict a text that the reference knows: the config's own question, or plain English. */
async function bestKnown(
  asked: Asked,
  referenceConfig: string,
  own: readonly string[],
): Promise<MeasuredFigures["text"]> {
  for (const of of [own, texts].filter(({ length }) => length > 0)) {
    const referenceNats = await natsOf({ ...asked, configId: referenceConfig }, of);
    if (referenceNats < knownNats)
      return { baseNats: await natsOf(asked, of), referenceNats, numTexts: of.length };
  }
  return null;
}

/**
 * Asks a config's models a few prompts.
 *
 * @param given a prompt of the config's own, which is asked too
 * @param referenceConfig a config whose base is the reference; null: there is none
 */
export async function measureFigures(
  asked: Asked,
  { given, referenceConfig }: { given: string | null; referenceConfig: string | null },
): Promise<MeasuredFigures> {
  // One for each request.
  setMaxListeners(0, asked.signal);
  const own = given === null || !given.trim().includes(" ") ? [] : [given];
  const prompts = [...own, ...questions].map((content): Prompt => ({
    type: "chat",
    messages: [{ role: "user", content }],
  }));
  if (referenceConfig === null) return { experts: {}, text: null };
  const answers = await Promise.all(
    prompts.map((prompt) => run(asked, { prompt, maxTokens: numTokens, strategy: overAllTokens })),
  );
  const idToNats = new Map<string, number[]>();
  for (const { record } of answers.flatMap(({ tokens }) => tokens))
    for (const [id, { forward }] of Object.entries(record.divergence.targets))
      idToNats.set(id, [...(idToNats.get(id) ?? []), forward]);
  return {
    experts: Object.fromEntries([...idToNats].map(([id, values]) => [id, { klNats: mean(values) }])),
    text: await bestKnown(asked, referenceConfig, own),
  };
}
