import { mixtureOf, run } from "../calibration/ask.js";
import type { SamplingSettings } from "../config/fusion-config.js";
import type { Item } from "../evaluation/tasks/task.js";
import { plainRequest } from "../protocol/protocol.js";
import type { Engine, GeneratedToken, GenerationRequest } from "../protocol/protocol.js";
import type { StrategyConfig } from "../strategies/registry.js";
import { spaced } from "../verdicts/answer-tokens.js";
import { judge, plainJudging } from "../verdicts/judge.js";
import type { Law } from "../verdicts/read-candidates.js";
import { type Label, labelTokenOf } from "./label.js";

/** Whose answers are the labels; `judge`: the verdict over a prompt's choices. */
export type LabelLaw = Law | "judge";

/** Who answers, and how. */
export interface Teacher {
  engine: Engine;
  configId: string;
  /** What ends an answer; null: no token does. */
  endToken: number | null;
  /** Of everything about the config that can change an answer. */
  fingerprint: string;
  law: LabelLaw;
  /** How many of the most probable tokens are told of each. */
  top: number;
  /** Answers to a prompt. One is greedy; several are drawn. */
  numSamples: number;
  sampling: SamplingSettings;
  /** Whether the base's answer stands beside each, as the worse one. */
  hasPairs: boolean;
}

/** An answer that is wanted. */
export interface Wanted {
  key: string;
  index: number;
  item: Item;
  sample: number;
}

const rounded = (value: number): number => Math.round(value * 1e6) / 1e6;

interface Answered {
  text: string;
  /** Its end included. */
  tokens: GeneratedToken[];
  /** It did not come to its cap. */
  isWhole: boolean;
  trust: number | null;
  candidates: [string, number][] | null;
  cost: Label["cost"];
}

const alone = { kind: "alone", weight: 1, plausibility: null } as const;

/** null: the config's own. */
function strategyFor(law: LabelLaw): StrategyConfig | null {
  if (law === "base") return { type: "base" };
  if (law === "fused" || law === "judge") return null;
  const id = law.slice("expert:".length);
  return mixtureOf({ [id]: 1 }, { [id]: alone });
}

/** @returns null: the answer came to its cap, and teaches no end. @throws ShouldersError of the engine */
export async function askLabel(teacher: Teacher, wanted: Wanted, signal: AbortSignal): Promise<Label | null> {
  const { law, fingerprint, hasPairs } = teacher;
  const { key, index, item, sample } = wanted;
  const answered = await (law === "judge" ? judged : written)(teacher, wanted, signal);
  if (!answered.isWhole) return null;
  const { tokens, candidates } = answered;
  const logprob = tokens.reduce((sum, { record }) => sum + record.logprob, 0);
  const chosen = answered.text.trim();
  const rejected = hasPairs
    ? (await written({ ...teacher, law: "base", numSamples: 1 }, wanted, signal)).text
    : null;
  return {
    ...{ key, item: index, sample },
    ...textsOf(item.prompt, chosen, rejected?.trim() ?? null),
    tokens: tokens.map(labelTokenOf),
    ...(candidates !== null && { candidates }),
    logprob: rounded(logprob),
    trust: rounded(answered.trust ?? Math.min(1, Math.exp(logprob))),
    ...{ law, fingerprint },
    cost: answered.cost,
  };
}

/** In the shapes of trl: a conversation, or prompt and completion; with a preference, both answers behind the prompt. */
function textsOf(
  prompt: Item["prompt"],
  chosen: string,
  rejected: string | null,
): Pick<Label, "messages" | "prompt" | "completion" | "chosen" | "rejected"> {
  const isPair = rejected !== null && rejected !== chosen;
  if (prompt.type === "text")
    return { prompt: prompt.text, completion: chosen, ...(isPair && { chosen, rejected }) };
  const given = prompt.messages.map(({ role, content }) => ({ role, content }));
  const said = (content: string) => ({ role: "assistant", content });
  return {
    messages: [...given, said(chosen)],
    ...(isPair && { prompt: given, chosen: [said(chosen)], rejected: [said(rejected)] }),
  };
}

/** But for its id. */
function requestFor(
  { configId, top, sampling }: Teacher,
  { item }: Wanted,
): Omit<GenerationRequest, "requestId"> {
  return {
    ...plainRequest,
    ...{ owner: "distill", party: "distill", configId, sampling },
    prompt: item.prompt,
    ...{ topLogprobs: top, trace: "weights" },
    // Who vouches is told of every token.
    audit: "rows",
  };
}

async function written(teacher: Teacher, wanted: Wanted, signal: AbortSignal): Promise<Answered> {
  const { engine, configId, law, numSamples, sampling } = teacher;
  const { sample, item } = wanted;
  const temperature = numSamples === 1 ? 0 : sampling.temperature || 1;
  const { text, tokens, done } = await run(
    { engine, configId, signal },
    {
      ...requestFor(teacher, wanted),
      ...{ strategy: strategyFor(law), sampling: { ...sampling, temperature } },
      ...{ seed: sample + 1, stop: item.stop, maxTokens: item.maxTokens },
    },
  );
  const { promptTokens, completionTokens, fusion } = done.usage;
  return {
    ...{ text, tokens, trust: null, candidates: null },
    isWhole: done.finishReason === "stop",
    cost: { promptTokens, completionTokens, basePasses: fusion.basePasses },
  };
}

/** The verdict over the prompt's choices, with what the fusion says at each token of the chosen one. */
async function judged(teacher: Teacher, wanted: Wanted, signal: AbortSignal): Promise<Answered> {
  const { engine, configId, endToken } = teacher;
  const { item, key } = wanted;
  const request = { ...requestFor(teacher, wanted), logprobs: "unrestricted" as const };
  const verdict = await judge({
    engine,
    generate: (asked, either) => engine.generate(asked, either),
    request: { ...request, requestId: key, topLogprobs: 0 },
    candidates: item.choices.map((choice) => spaced(item.prompt, choice)),
    ...{ endToken, options: plainJudging, signal },
  });
  const end = endToken === null ? [] : [endToken];
  const forced = [...(verdict.tokens[verdict.choice] ?? []), ...end];
  const { tokens } = await run(
    { engine, configId, signal },
    { ...request, forced: { type: "tokens", tokens: forced } },
  );
  const sum = (of: (usage: (typeof verdict.usages)[number]) => number) =>
    verdict.usages.reduce((total, usage) => total + of(usage), 0);
  return {
    text: item.choices[verdict.choice] ?? "",
    ...{ tokens, isWhole: true },
    trust: verdict.probability[verdict.choice] ?? 0,
    candidates: item.choices.map((text, index) => [text, verdict.probability[index] ?? 0]),
    cost: {
      promptTokens: verdict.usages[0]?.promptTokens ?? 0,
      completionTokens: sum(({ completionTokens }) => completionTokens),
      basePasses: sum(({ fusion }) => fusion.basePasses),
    },
  };
}
