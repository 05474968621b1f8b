import { mixtureOf } from "../calibration/ask.js";
import { usual } from "../calibration/choose-component.js";
import { EngineAnswerer } from "../evaluation/engine-answerer.js";
import { base, type Plan, plan } from "../evaluation/methods/method.js";
import { scoreAnswer } from "../evaluation/scorers.js";
import { loadTask, parseTaskArgument } from "../evaluation/tasks/load-task.js";
import { defaultMaxTokens, type Item } from "../evaluation/tasks/task.js";
import type { Engine, ResolvedFusionConfig } from "../protocol/protocol.js";
import { invariant } from "../errors.js";
import { nameFiles, promptCounts, readExamples } from "./calibrate-options.js";
import { renderTable, visible } from "./table.js";

/** What `init` tries at its end: the same questions by the base, the expert, and both together. */

/** Items of an expert; its own words are the answers where nobody has better ones. */
export interface Trial {
  expert: string;
  items: Item[];
  /** Calibration has seen some of them. */
  isSeen: boolean;
}

const numTried = 10;
const longestShown = 48;

/** The items of each expert; those that `calibrate` does not look at first, where there are some. */
export function trialsOf(examples: readonly string[], ids: readonly string[]): Trial[] {
  const given = new Map<string, Item[]>();
  const add = (expert: string, items: readonly Item[]) =>
    given.set(expert, [...(given.get(expert) ?? []), ...items]);
  const lines: string[] = [];
  for (const argument of nameFiles(examples, ids)) {
    const [expert = "", file] = argument.split(/=(.*)/s, 2);
    if (file === undefined || !ids.includes(expert)) lines.push(argument);
    else add(expert, loadTask(parseTaskArgument(file), { limit: null, seed: 1, numExamples: 0 }).items);
  }
  for (const { expert, prompt, answer } of readExamples(lines, ids))
    if (expert !== null) add(expert, [itemOf(prompt, answer)]);
  return [...given].map(([expert, items]) => ({
    expert,
    items: items.slice(-numTried),
    isSeen: items.length < promptCounts.most + numTried,
  }));
}

const itemOf = (prompt: Item["prompt"], answer: string | null): Item => ({
  prompt,
  answers: answer === null ? [] : [answer],
  choices: [],
  scorer: "exact",
  stop: [],
  maxTokens: defaultMaxTokens,
  target: answer ?? "",
});

interface Way {
  name: string;
  plan: Plan;
}

function waysOf(configId: string, expert: string): Way[] {
  const of = (component: Parameters<typeof mixtureOf>[1][string]) =>
    plan(configId, mixtureOf({ [expert]: 1 }, { [expert]: component }));
  return [
    { name: "base alone", plan: plan(configId, base) },
    { name: "expert alone", plan: of({ kind: "alone", weight: 1, plausibility: null }) },
    { name: "without a card", plan: of(usual) },
    { name: "proposed", plan: plan(configId, null) },
  ];
}

const shown = (text: string): string => {
  const line = visible(text.trim());
  return line.length > longestShown ? `${line.slice(0, longestShown - 1)}…` : line;
};

export interface TriedWay {
  name: string;
  /** Mean score, 0 to 1; null: nobody knows the answers. */
  score: number | null;
}

/**
 * Asks the items of an expert in every way.
 *
 * @returns what it came to, the proposed way last, and the text that shows it
 */
export async function tryOut(
  engine: Engine,
  resolved: ResolvedFusionConfig,
  { expert, items }: Trial,
  signal: AbortSignal,
): Promise<{ ways: TriedWay[]; text: string }> {
  const answerer = new EngineAnswerer(engine, [resolved], 1);
  const ways = waysOf(resolved.config.id, expert);
  const tried = items;
  const answers = await Promise.all(
    ways.map(async (way) =>
      Promise.all(
        tried.map(async (item) => {
          const answer = await answerer.answer(way.plan, item, signal);
          signal.throwIfAborted();
          invariant(answer !== null, "an answer that nobody ended");
          return {
            text: answer.text,
            score: item.answers.length === 0 ? null : scoreAnswer(answer.text, item),
          };
        }),
      ),
    ),
  );
  const figures = ways.map(({ name }, way): TriedWay => {
    const scores = answers[way]?.flatMap(({ score }) => score ?? []) ?? [];
    return {
      name,
      score: scores.length === 0 ? null : scores.reduce((sum, score) => sum + score, 0) / scores.length,
    };
  });
  const percent = (share: number | null): string => (share === null ? "?" : `${(100 * share).toFixed(0)} %`);
  const table = renderTable(
    [
      { header: expert, align: "left" },
      { header: `right of ${tried.length}`, align: "right" },
      { header: "its first answer", align: "left" },
    ],
    figures.map(({ name, score }, way) => [name, percent(score), shown(answers[way]?.[0]?.text ?? "")]),
  );
  return { ways: figures, text: table };
}

/** What is tried was calibrated on as well. */
export const seenText =
  `Calibration has seen these. With ${promptCounts.most + numTried} examples or more, ` +
  `${numTried} that it has not seen are tried.`;

/** One sentence on what was found. */
export function verdict(expert: string, ways: readonly TriedWay[]): string {
  const scored = ways.flatMap(({ name, score }) => (score === null ? [] : [{ name, score }]));
  const [alone] = scored;
  const proposed = scored.at(-1);
  if (alone === undefined || proposed === undefined)
    return `${expert}: nobody has said what is right; look at the answers, and give examples with answers.`;
  const best = scored.reduce((a, b) => (b.score > a.score ? b : a));
  if (best.score === 0)
    return `${expert}: nothing was right; look at the answers, and at the scorer of the examples.`;
  if (best.score - proposed.score > 0.15)
    return `${expert}: "${best.name}" was better on these; calibrate with more examples.`;
  if (proposed.score <= alone.score)
    return `${expert}: the base alone is as good here; the expert adds nothing to it.`;
  return `${expert}: the proposed setting is the one to use.`;
}
