import { n as rougeN } from "js-rouge";
import type { Item, ScorerName } from "./tasks/task.js";

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
 * "answer is"; or the text of just one choice within the answer. Likelihoods of the choices are not compared: the
 * engine generates, it does not score given texts.
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

type Scorer = (answer: string, expected: string, choices: readonly string[]) => number;

const scorers = { exact, number, rouge2, choice } satisfies Record<ScorerName, Scorer>;

/** @returns a score from 0 to 1: the best over the item's answers. */
export function scoreAnswer(answer: string, { scorer, answers, choices }: Item): number {
  return Math.max(...answers.map((expected) => scorers[scorer](answer, expected, choices)));
}
