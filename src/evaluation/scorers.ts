import { isDeepStrictEqual } from "node:util";
import { n as rougeN } from "js-rouge";
import type { Item, JsonSchema, ScorerName } from "./tasks/task.js";

/** How likely a given text was as the answer. */
export interface Likelihood {
  /** Sum over its tokens, nats. */
  logprob: number;
  numTokens: number;
}

export const likelihoodOf = (logprobs: readonly number[]): Likelihood => ({
  logprob: logprobs.reduce((sum, logprob) => sum + logprob, 0),
  numTokens: logprobs.length,
});

/** Words and digits in lower case; all else only separates. Google's rouge_score does the same with a-z and 0-9. */
const words = (text: string): string[] => text.toLowerCase().match(/[\p{L}\p{M}\p{N}]+/gu) ?? [];

/**
 * A text as the evaluation scripts of SQuAD and TriviaQA compare it: lower case, no punctuation, no articles, single
 * spaces. A text of which nothing would be left is only trimmed.
 */
function normalised(text: string): string {
  const kept = text
    .toLowerCase()
    .replaceAll(/[\p{P}\p{S}]/gu, " ")
    .replaceAll(/\b(?:a|an|the)\b/g, " ")
    .trim()
    .replaceAll(/\s+/g, " ");
  return kept === "" ? text.trim() : kept;
}

/** 1 when the normalised texts are equal. */
const exact = (answer: string, expected: string): number =>
  normalised(answer) === normalised(expected) ? 1 : 0;

/** The number after the first `####` (GSM8K's mark), thousands separators and currency signs aside; null: none. */
function markedNumber(text: string): number | null {
  const found = /####\s*[^\d\s.-]?\s*(-?[\d,]*\.?\d+)/.exec(text)?.[1];
  return found === undefined ? null : Number(found.replaceAll(",", ""));
}

/** 1 when the number after `####` is the expected one; a number without the mark is not an answer. */
function number(answer: string, expected: string): number {
  const wanted = markedNumber(expected.includes("####") ? expected : `#### ${expected}`);
  return wanted !== null && markedNumber(answer) === wanted ? 1 : 0;
}

/**
 * ROUGE-2 F1 = 2·P·R / (P + R) over word pairs, each counted at most as often as the other text has it (Lin, ROUGE,
 * 2004); no stemming. 0 where either text has less than two words.
 */
function rouge2(answer: string, expected: string): number {
  if (words(answer).length < 2 || words(expected).length < 2) return 0;
  return rougeN(answer, expected, { n: 2, tokenizer: words });
}

/** A, B, …: what stands before the choices in a prompt. */
export const letterOf = (index: number): string => String.fromCharCode(65 + index);

/**
 * Which choice an answer names, or null: its text; its letter, alone or closed by `.`, `)` or `:`; a letter after
 * "answer is"; or the text of just one choice within the answer.
 */
export function chosenChoice(answer: string, choices: readonly string[]): number | null {
  const plain = normalised(answer);
  const firstLine = normalised(answer.trim().split("\n", 1)[0] ?? "");
  const texts = choices.map(normalised);
  const equal = texts.findIndex((text) => text === plain || text === firstLine);
  if (equal >= 0) return equal;
  const letter =
    /^\s*\(?([A-Z])(?:[).:]|\s*$|\s*\n)/.exec(answer) ??
    /answer(?: is)?:?\s*\(?([A-Z])(?:[).:]|\s*$|\s*\n)/.exec(answer);
  const index = letter === null ? -1 : (letter[1]?.charCodeAt(0) ?? 0) - 65;
  if (index >= 0 && index < choices.length) return index;
  const named = texts.flatMap((text, at) => (` ${plain} `.includes(` ${text} `) ? [at] : []));
  return named.length === 1 ? (named[0] ?? null) : null;
}

/** 1 when the answer names the right choice, which `expected` gives by its text or letter. */
function choice(answer: string, expected: string, choices: readonly string[]): number {
  const wanted = chosenChoice(expected, choices);
  return wanted !== null && chosenChoice(answer, choices) === wanted ? 1 : 0;
}

/** 1 when the expected text stands in the answer as whole words. */
const contains = (answer: string, expected: string): number =>
  ` ${normalised(answer)} `.includes(` ${normalised(expected)} `) ? 1 : 0;

/** 1 when the expected regular expression, which is not anchored by itself, matches the answer without its margins. */
const regex = (answer: string, expected: string): number =>
  new RegExp(expected, "u").test(answer.trim()) ? 1 : 0;

/** The JSON of an answer: all of it, or what its first fence of three backticks holds. undefined: it is none. */
function jsonOf(answer: string): unknown {
  const fenced = /```(?:json)?\s*\n([\s\S]*?)```/.exec(answer)?.[1];
  try {
    return JSON.parse(fenced ?? answer);
  } catch {
    return undefined;
  }
}

const isObject = (value: unknown): value is Record<string, unknown> =>
  typeof value === "object" && value !== null && !Array.isArray(value);

/** A value without the properties that its schema does not name; arrays of unique items in one order. */
function asNamed(value: unknown, schema: unknown): unknown {
  if (!isObject(schema)) return value;
  if (Array.isArray(value)) {
    const items = value.map((item) => asNamed(item, schema["items"]));
    return schema["uniqueItems"] === true
      ? items.sort((one, other) => (JSON.stringify(one) < JSON.stringify(other) ? -1 : 1))
      : items;
  }
  const { properties } = schema;
  if (!isObject(value) || !isObject(properties)) return value;
  const named = Object.entries(value).filter(([key]) => Object.hasOwn(properties, key));
  return Object.fromEntries(named.map(([key, inner]) => [key, asNamed(inner, properties[key])]));
}

/** 1 when both are the same JSON, whatever the order of keys and the spaces. */
function json(answer: string, expected: string, { schema }: { schema?: JsonSchema | undefined }): number {
  const given = jsonOf(answer);
  if (given === undefined) return 0;
  return isDeepStrictEqual(asNamed(given, schema), asNamed(JSON.parse(expected), schema)) ? 1 : 0;
}

type Scorer = (answer: string, expected: string, item: Item) => number;

const scorers = {
  exact,
  number,
  rouge2,
  choice: (answer, expected, { choices }) => choice(answer, expected, choices),
  contains,
  regex,
  json,
} satisfies Partial<Record<ScorerName, Scorer>>;

const isTextScorer = (scorer: string): scorer is keyof typeof scorers => Object.hasOwn(scorers, scorer);

/** Whether a scorer can read an expected answer. */
export function isReadable(scorer: ScorerName, expected: string): boolean {
  if (scorer !== "regex" && scorer !== "json") return true;
  try {
    return scorer === "regex" ? Boolean(new RegExp(expected, "u")) : JSON.parse(expected) !== undefined;
  } catch {
    return false;
  }
}

/** @returns a score from 0 to 1: the best over the item's answers. null: the item's scorer does not score texts. */
export function scoreAnswer(answer: string, item: Item): number | null {
  const { scorer, answers } = item;
  if (!isTextScorer(scorer)) return null;
  return Math.max(...answers.map((expected) => scorers[scorer](answer, expected, item)));
}

/** The texts whose likelihoods an item asks for. */
export const candidatesOf = ({ choices, answers }: Item): readonly string[] =>
  choices.length > 0 ? choices : answers;

/** Index of the likeliest, by the sum over the tokens, as lm-evaluation-harness's `acc` has it. */
export function likeliest(likelihoods: readonly Likelihood[]): number {
  const sums = likelihoods.map(({ logprob }) => logprob);
  return sums.indexOf(Math.max(...sums));
}

/** With choices 1 when the right one is likeliest; else the best answer's mean probability a token (geometric). */
export function scoreLikelihoods(likelihoods: readonly Likelihood[], item: Item): number {
  if (item.choices.length > 0)
    return likeliest(likelihoods) === chosenChoice(item.answers[0] ?? "", item.choices) ? 1 : 0;
  return Math.max(...likelihoods.map(({ logprob, numTokens }) => Math.exp(logprob / Math.max(1, numTokens))));
}
