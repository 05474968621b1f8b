import { setMaxListeners } from "node:events";
import { writeFileSync } from "node:fs";
import { z } from "zod";
import { systemFingerprint } from "../api/completion/system-fingerprint.js";
import type { LabelLaw, Teacher } from "../distillation/ask-label.js";
import { distill, type Distilled, refuseTested } from "../distillation/distill.js";
import { type Label, labelSchema, surest } from "../distillation/label.js";
import { ShouldersError, invariant } from "../errors.js";
import { KeyedLines } from "../evaluation/keyed-lines.js";
import { loadTask } from "../evaluation/tasks/load-task.js";
import type { Item } from "../evaluation/tasks/task.js";
import type { ConfigDescription, Engine } from "../protocol/protocol.js";
import { findConfig } from "./check.js";
import { openEngine } from "./open-engine.js";
import { createProgress } from "./progress.js";
import { type SettingFlags, prepare } from "./run-time.js";
import { type Stop, exitCodeOf } from "./stop-signal.js";
import { formatDuration } from "./units.js";

export type DistillFlags = SettingFlags & OwnFlags;

interface OwnFlags {
  prompts: string;
  out: string;
  law: string;
  top: string;
  trust: string;
  samples: string;
  pairs?: true;
  test?: string[];
  concurrency: string;
}

const refused = (message: string): ShouldersError => new ShouldersError("settings_invalid", message);

function numberOf(flag: string, text: string, schema: z.ZodType<number>, expected: string): number {
  const parsed = schema.safeParse(text);
  if (parsed.success) return parsed.data;
  throw refused(`${flag}: "${text}" is not allowed; give ${expected}`);
}

const count = (most: number) => z.coerce.number().int().min(1).max(most);

function itemsOf(file: string): Item[] {
  // What is right nobody has to know.
  return loadTask({ file, format: null, everyScorer: "none" }, { limit: null, seed: 0, numExamples: 0 })
    .items;
}

/** @throws ShouldersError `settings_invalid` */
function lawOf(law: string, { experts }: ConfigDescription, items: readonly Item[]): LabelLaw {
  const known = ["fused", "base", "judge", ...experts.map(({ id }) => `expert:${id}`)];
  if (!known.includes(law)) throw refused(`--law: no law "${law}"; known: ${known.join(", ")}`);
  const without = items.findIndex(({ choices }) => choices.length === 0);
  if (law === "judge" && without >= 0)
    throw refused(`--law judge: prompt ${without + 1} has no choices to judge; give them in its line`);
  return law as LabelLaw;
}

function teacherOf(engine: Engine, own: OwnFlags, items: readonly Item[]): Teacher {
  const { description } = engine;
  const config = description?.configs[0];
  invariant(description !== null && config !== undefined, "one config is loaded");
  return {
    engine,
    ...{ configId: config.id, endToken: config.endToken, sampling: config.sampling },
    fingerprint: systemFingerprint(description, config),
    law: lawOf(own.law, config, items),
    top: numberOf(
      "--top",
      own.top,
      count(config.vocabularySize),
      `an integer from 1 to ${config.vocabularySize}`,
    ),
    numSamples: numberOf("--samples", own.samples, count(64), "an integer from 1 to 64"),
    hasPairs: own.pairs === true,
  };
}

/** What goes into the file, and what is told of it. */
function chosen(labels: readonly Label[], share: number, hasPairs: boolean): Label[] {
  return surest(hasPairs ? labels.filter(({ rejected }) => rejected !== undefined) : labels, share);
}

function outcomeText(
  { labels, numReused, numCapped, failures }: Distilled,
  kept: readonly Label[],
  ms: number,
): string {
  const sum = (of: (cost: Label["cost"]) => number) =>
    labels.reduce((total, { cost }) => total + of(cost), 0).toLocaleString("en-US");
  const least = Math.min(...kept.map(({ trust }) => trust));
  const lines = [
    `${kept.length} of ${labels.length} answers are in the file${kept.length > 0 ? `; each has a trust of ${least.toFixed(3)} at least` : ""}.`,
    `They took ${sum((cost) => cost.promptTokens)} tokens of prompts, ${sum((cost) => cost.completionTokens)} of answers, and ${sum((cost) => cost.basePasses)} passes of the base;`,
    `${numReused} were there before, the others took ${formatDuration(ms / 1000)}.`,
    ...(numCapped > 0
      ? [`${numCapped} came to their longest length and are left out: raise maxTokens in their lines.`]
      : []),
    ...(failures[0] === undefined
      ? []
      : [
          `${failures.length} failed, the first (prompt ${failures[0].item + 1}): ${failures[0].error.message}`,
        ]),
  ];
  return `${lines.join("\n")}\n`;
}

function split(flags: DistillFlags): { own: OwnFlags; settingFlags: SettingFlags } {
  const { prompts, out, law, top, trust, samples, pairs, test, concurrency, ...settingFlags } = flags;
  const optional = { ...(pairs && { pairs }), ...(test && { test }) };
  return { own: { prompts, out, law, top, trust, samples, concurrency, ...optional }, settingFlags };
}

/** `shoulders distill`: a fusion's answers to prompts, as training data for one model. */
export async function distillConfig(given: string, flags: DistillFlags, stop: Stop): Promise<number> {
  const { own, settingFlags } = split(flags);
  const trust = numberOf("--trust", own.trust, z.coerce.number().gt(0).max(1), "a share above 0, up to 1");
  const concurrency = numberOf("--concurrency", own.concurrency, count(1024), "an integer from 1");
  const { settings, log } = prepare(settingFlags, "warn");
  const items = itemsOf(own.prompts);
  refuseTested(
    items,
    (own.test ?? []).map((file) => ({ file, items: itemsOf(file) })),
  );
  const configs = findConfig(given, settings);
  if (configs.length > 1) throw refused(`${given} holds several configs; name one file or one id`);
  const { signal } = stop;
  // Every answer that is being written listens.
  setMaxListeners(0, signal);
  const engine = await openEngine({ configs, settings, log, signal });
  const progress = createProgress("Answering");
  const startMs = performance.now();
  try {
    const teacher = teacherOf(engine, own, items);
    const file = new KeyedLines(`${own.out}.all`, labelSchema);
    const onProgress = (done: number, total: number) => progress.update(own.prompts, done / total);
    const distilled = await distill({ teacher, items, file, concurrency, signal, onProgress });
    progress.stop();
    if (stop.received !== null) {
      process.stderr.write("Stopped; the same command goes on from here.\n");
      return exitCodeOf(stop.received);
    }
    const kept = chosen(distilled.labels, trust, teacher.hasPairs);
    writeFileSync(own.out, kept.map((label) => `${JSON.stringify(label)}\n`).join(""));
    process.stderr.write(outcomeText(distilled, kept, performance.now() - startMs));
    return distilled.labels.length === 0 ? 1 : 0;
  } finally {
    progress.stop();
    await engine.close();
  }
}
