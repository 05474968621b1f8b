import { randomUUID } from "node:crypto";
import { setMaxListeners } from "node:events";
import { z } from "zod";
import { judgementOf } from "../api/fusion/judge.js";
import { confidenceSchema, type Confidence } from "../config/confidence.js";
import { findFusionConfigs } from "../config/load.js";
import { ShouldersError, invariant } from "../errors.js";
import { loadTask } from "../evaluation/tasks/load-task.js";
import { plainRequest } from "../protocol/protocol.js";
import type { ConfigDescription, Engine, Prompt } from "../protocol/protocol.js";
import { spaced } from "../verdicts/answer-tokens.js";
import { judge, type Judged, type JudgeOptions } from "../verdicts/judge.js";
import type { Law } from "../verdicts/read-candidates.js";
import { normalisations } from "../verdicts/verdict.js";
import { openEngine } from "./open-engine.js";
import { type SettingFlags, prepare } from "./run-time.js";
import { type Stop, exitCodeOf } from "./stop-signal.js";
import { renderTable, visible } from "./table.js";

export type JudgeFlags = SettingFlags & {
  fusion: string;
  candidates?: string[];
  prompts?: string;
  laws: string;
  normalise: string;
  alpha?: string;
  threshold?: string;
};

const refused = (message: string): ShouldersError => new ShouldersError("settings_invalid", message);

interface Question {
  prompt: Exclude<Prompt, { type: "tokens" }>;
  candidates: string[];
}

/** One question of the command line, or those of a task file with their choices. */
function questionsOf(question: string | undefined, { prompts, candidates = [] }: JudgeFlags): Question[] {
  if ((question === undefined) === (prompts === undefined)) throw refused("give a prompt, or --prompts FILE");
  const asked: Question[] =
    prompts === undefined
      ? [{ prompt: { type: "chat", messages: [{ role: "user", content: question ?? "" }] }, candidates }]
      : loadTask(
          { file: prompts, format: null, everyScorer: "none" },
          { limit: null, seed: 0, numExamples: 0 },
        ).items.map((item) => ({
          prompt: item.prompt,
          candidates:
            candidates.length > 0 ? candidates : item.choices.map((choice) => spaced(item.prompt, choice)),
        }));
  const without = asked.findIndex((one) => one.candidates.length === 0);
  if (without >= 0)
    throw refused(`prompt ${without + 1} has no candidates: give --candidates, or choices in its line`);
  return asked;
}

/** @throws ShouldersError `settings_invalid` */
function optionsOf(flags: JudgeFlags, { experts, confidence }: ConfigDescription): JudgeOptions {
  const known = ["fused", "base", ...experts.map(({ id }) => `expert:${id}`)];
  const laws = flags.laws.split(",").map((law) => law.trim());
  const stranger = laws.find((law) => !known.includes(law));
  if (stranger !== undefined) throw refused(`--laws: no law "${stranger}"; known: ${known.join(", ")}`);
  const normalise = z.enum(normalisations).safeParse(flags.normalise);
  if (!normalise.success)
    throw refused(`--normalise: "${flags.normalise}" is not one; use ${normalisations.join(", ")}`);
  return {
    laws: laws as [Law, ...Law[]],
    normalise: normalise.data,
    confidence: confidenceOf(flags) ?? confidence,
  };
}

function confidenceOf({ alpha, threshold }: JudgeFlags): Confidence | null {
  if (alpha === undefined && threshold === undefined) return null;
  const given = {
    alpha: Number(alpha ?? 0.5),
    ...(threshold !== undefined && { threshold: Number(threshold) }),
  };
  const parsed = confidenceSchema.safeParse(given);
  if (parsed.success) return parsed.data;
  throw refused("--alpha and --threshold: give numbers from 0 to 1");
}

async function judgeOne(
  engine: Engine,
  { prompt, candidates }: Question,
  config: ConfigDescription,
  { options, signal }: { options: JudgeOptions; signal: AbortSignal },
): Promise<Judged> {
  const who = { owner: "judge", party: "judge", configId: config.id, sampling: config.sampling };
  return judge({
    engine,
    generate: (request, either) => engine.generate(request, either),
    request: { ...plainRequest, ...who, requestId: randomUUID(), prompt, logprobs: "unrestricted" },
    candidates,
    endToken: config.endToken,
    ...{ options, signal },
  });
}

function tableOf({ candidates }: Question, judged: Judged): string {
  const laws = Object.keys(judged.probabilities);
  const right = { align: "right" } as const;
  const columns = [
    { header: "", align: "left" } as const,
    { header: "candidate", align: "left" } as const,
    { header: "tokens", ...right },
    ...laws.flatMap((law) => [
      { header: law, ...right },
      { header: "p", ...right },
    ]),
    { header: "verdict", ...right },
  ];
  const rows = candidates.map((text, index) => [
    index === judged.choice ? "→" : "",
    visible(text),
    String(judged.tokens[index]?.length ?? 0),
    ...laws.flatMap((law) => [
      (judged.scores[law]?.[index] ?? 0).toFixed(3),
      (judged.probabilities[law]?.[index] ?? 0).toFixed(3),
    ]),
    (judged.probability[index] ?? 0).toFixed(3),
  ]);
  const { agreement, isSettled } = judged;
  const together = `\nagreement ${agreement.toFixed(3)}, ${isSettled ? "settled" : "not settled"}\n`;
  return renderTable(columns, rows) + (laws.length > 1 ? together : "");
}

function settingFlagsOf(flags: JudgeFlags): SettingFlags {
  const own = ["fusion", "candidates", "prompts", "laws", "normalise", "alpha", "threshold"];
  return Object.fromEntries(Object.entries(flags).filter(([name]) => !own.includes(name)));
}

/** `shoulders judge`: which of several texts is the answer; a table for one prompt, a JSON line each for a file of them. */
export async function judgeTexts(
  question: string | undefined,
  flags: JudgeFlags,
  stop: Stop,
): Promise<number> {
  const { fusion, prompts } = flags;
  const questions = questionsOf(question, flags);
  const { settings, log } = prepare(settingFlagsOf(flags), "warn");
  const configs = findFusionConfigs(settings.fusionConfigs, [fusion], () => undefined);
  const { signal } = stop;
  setMaxListeners(0, signal);
  const engine = await openEngine({ configs, settings, log, signal });
  try {
    const config = engine.description?.configs[0];
    invariant(config !== undefined, "one id selects one config");
    const options = optionsOf(flags, config);
    for (const [index, one] of questions.entries()) {
      const judged = await judgeOne(engine, one, config, { options, signal });
      const named = one.candidates.map((text) => ({ text, label: null }));
      const line = `${JSON.stringify(judgementOf(named, judged, index))}\n`;
      process.stdout.write(prompts === undefined ? tableOf(one, judged) : line);
    }
    return 0;
  } catch (error) {
    if (stop.received === null) throw error;
    return exitCodeOf(stop.received);
  } finally {
    await engine.close();
  }
}
