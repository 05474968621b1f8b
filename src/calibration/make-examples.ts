import { samplingSchema } from "../config/fusion-config.js";
import type { StrategyConfig } from "../strategies/registry.js";
import { type Asked, type Example, mixtureOf, run } from "./ask.js";

/**
 * Example prompts where nobody has any: the expert itself is asked to go on where a user's message begins, as Magpie
 * does (https://arxiv.org/abs/2406.08464). What a model was tuned on is what it says there. Weaker than prompts of people:
 * it may say something else, and nobody has answered them.
 */

/** Tries for each prompt that is wanted. */
const triesEach = 4;
const longestPrompt = 96;
const shortestPrompt = 8;

const drawn = samplingSchema.parse({ temperature: 1, topP: 0.95 });

const aloneOf = (expert: string): StrategyConfig =>
  mixtureOf({ [expert]: 1 }, { [expert]: { kind: "alone", weight: 1, plausibility: null } });

/** What a chat's prompt has before the user's words, and what it has after them. */
async function aroundWords({ engine, configId }: Asked): Promise<{ before: number[]; after: string }> {
  const render = async (content: string) => {
    const prompt = { type: "chat" as const, messages: [{ role: "user" as const, content }] };
    const { prompts } = await engine.query({ type: "renderPrompt", configId, prompt });
    return prompts.reference ?? prompts.base ?? { text: "", tokens: [] };
  };
  const [one, other] = [await render("Aa"), await render("9 z")];
  let length = 0;
  while (length < one.tokens.length && one.tokens[length] === other.tokens[length]) length++;
  const after = one.text.slice(one.text.lastIndexOf("Aa") + 2);
  return { before: one.tokens.slice(0, length), after };
}

/** @returns up to `count` prompts without answers; none where the expert cannot be asked so */
export async function makeExamples(asked: Asked, expert: string, count: number): Promise<Example[]> {
  const { before, after } = await aroundWords(asked);
  if (before.length === 0) return [];
  const strategy = aloneOf(expert);
  const stop = [after.trim().split("\n", 1)[0] ?? "", "\n"].filter((text) => text !== "");
  const prompts = new Set<string>();
  for (let tries = 0; tries < triesEach && prompts.size < count; tries++) {
    const texts = await Promise.all(
      Array.from({ length: count }, async (_, index) => {
        const { text, done } = await run(asked, {
          prompt: { type: "tokens", tokens: before },
          strategy,
          sampling: drawn,
          seed: tries * count + index + 1,
          maxTokens: longestPrompt,
          stop,
        });
        return done.finishReason === "stop" ? text.trim() : "";
      }),
    );
    for (const text of texts) if (text.length >= shortestPrompt && prompts.size < count) prompts.add(text);
  }
  return [...prompts].map((content) => ({
    expert,
    prompt: { type: "chat", messages: [{ role: "user", content }] },
    answer: null,
  }));
}
