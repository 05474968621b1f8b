import { randomUUID } from "node:crypto";
import { setMaxListeners } from "node:events";
import { existsSync, writeFileSync } from "node:fs";
import { z } from "zod";
import { inParallel } from "../calibration/in-parallel.js";
import {
  type AuditedDebateTask,
  type DebateAudit,
  debateAuditPathOf,
  worstOutcome,
} from "../config/debate-audit.js";
import { debateSchema, type DebateSettings, settleDebate } from "../config/debate.js";
import { mostTaskBytes, readTextFile } from "../config/read-text-file.js";
import { invariant, ShouldersError } from "../errors.js";
import { auditedTask, auditItem } from "../evaluation/debate-audit.js";
import { loadTask } from "../evaluation/tasks/load-task.js";
import type { Item, Task } from "../evaluation/tasks/task.js";
import { plainRequest } from "../protocol/protocol.js";
import type { ConfigDescription, Engine } from "../protocol/protocol.js";
import { spaced } from "../verdicts/answer-tokens.js";
import { normalisations, type Normalisation } from "../verdicts/verdict.js";
import { findConfig } from "./check.js";
import { openEngine } from "./open-engine.js";
import { createProgress } from "./progress.js";
import { type SettingFlags, prepare } from "./run-time.js";
import { type Stop, exitCodeOf } from "./stop-signal.js";
import { renderTable } from "./table.js";

export type DebateAuditFlags = SettingFlags & OwnFlags;

interface OwnFlags {
  tasks: string[];
  debate: string;
  normalise: string;
  limit?: string;
  seed: string;
  concurrency: string;
  dryRun?: true;
}

const refused = (message: string): ShouldersError => new ShouldersError("settings_invalid", message);

/** What was given to a flag. @throws ShouldersError `settings_invalid` */
function valueOf<Schema extends z.ZodType>(flag: string, given: unknown, schema: Schema): z.output<Schema> {
  const parsed = schema.safeParse(given);
  if (parsed.success) return parsed.data;
  const [issue] = parsed.error.issues;
  const place = issue === undefined || issue.path.length === 0 ? "" : ` ${issue.path.join(".")}:`;
  throw refused(`${flag}:${place} ${issue?.message ?? "not allowed"}`);
}

const count = z.coerce.number().int().min(1);

/** The debate as JSON, or the file that holds it. @throws ShouldersError `settings_invalid` */
export function debateOf(given: string): z.output<typeof debateSchema> {
  const isText = given.trimStart().startsWith("{");
  if (!isText && !existsSync(given)) throw refused(`--debate: ${given} is neither JSON nor a file`);
  try {
    const value: unknown = JSON.parse(isText ? given : readTextFile(given, mostTaskBytes));
    return valueOf("--debate", value, debateSchema);
  } catch (error) {
    if (error instanceof ShouldersError) throw error;
    throw refused(`--debate: not JSON (${error instanceof Error ? error.message : String(error)})`);
  }
}

/** @throws ShouldersError `evaluation_invalid`: an item that cannot be audited, with its file */
function tasksOf({ tasks, limit }: OwnFlags): Task[] {
  const most = limit === undefined ? null : valueOf("--limit", limit, count);
  return tasks.map((file) => {
    const task = loadTask(
      { file, format: null, everyScorer: "none" },
      { limit: most, seed: 0, numExamples: 0 },
    );
    const wrong = task.items.findIndex((item) => item.choices.length < 2 || rightOf(item) < 0);
    if (wrong >= 0)
      throw new ShouldersError(
        "evaluation_invalid",
        `${file}: item ${wrong + 1}: give two choices at least, one of which is the first answer`,
      );
    if (
      task.items.some(({ document }) => (document === undefined) !== (task.items[0]?.document === undefined))
    )
      throw new ShouldersError("evaluation_invalid", `${file}: give every item a document, or none`);
    return task;
  });
}

const rightOf = ({ choices, answers }: Item): number => choices.indexOf(answers[0] ?? "");

interface Auditing {
  engine: Engine;
  config: ConfigDescription;
  settings: DebateSettings;
  normalise: Normalisation;
  signal: AbortSignal;
}

async function auditTask(
  { engine, config, settings, normalise, signal }: Auditing,
  { items }: Task,
  { seed, concurrency, onItem }: { seed: number; concurrency: number; onItem: () => void },
): Promise<AuditedDebateTask> {
  const who = { owner: "audit", party: "audit", configId: config.id, sampling: config.sampling };
  const audited = await inParallel([...items.entries()], concurrency, async ([index, item]) => {
    const one = await auditItem(
      {
        engine,
        generate: (request, either) => engine.generate(request, either),
        request: {
          ...{ ...plainRequest, ...who, requestId: randomUUID(), prompt: item.prompt },
          logprobs: "unrestricted",
        },
        candidates: item.choices.map((choice) => spaced(item.prompt, choice)),
        document: item.document ?? null,
        ...{ settings, normalise, endToken: config.endToken, signal },
      },
      rightOf(item),
      seed + index,
    );
    onItem();
    return one;
  });
  return auditedTask(audited, seed);
}

const ways = {
  judge: "the panel alone",
  oneSide: "one side, drawn",
  critique: "one critique",
  chanceQuotes: "sentences drawn by chance",
  debate: "debate",
  critic: "the advocate itself",
} as const;

/** What an audit of a task found, for people. */
export function auditText(name: string, { items, outcome, accuracy, ahead }: AuditedDebateTask): string {
  const right = { align: "right" } as const;
  const columns = [
    { header: `${name}, ${items} items`, align: "left" } as const,
    { header: "right", ...right },
    { header: "debate less it", ...right },
    { header: "95 %", ...right },
    { header: "p", ...right },
  ];
  const rows = Object.entries(ways).flatMap(([way, words]) => {
    const share = accuracy[way as keyof typeof accuracy];
    const lead = ahead[way];
    if (share === null) return [];
    const signed = (value: number) => `${value < 0 ? "−" : "+"}${Math.abs(value).toFixed(3)}`;
    return [
      [
        words,
        share.toFixed(3),
        ...(lead === undefined
          ? ["", "", ""]
          : [
              signed(lead.difference),
              `${signed(lead.low)} to ${signed(lead.high)}`,
              lead.p < 1e-4 ? lead.p.toExponential(0) : lead.p.toFixed(4),
            ]),
      ],
    ];
  });
  return `${renderTable(columns, rows)}${name}: ${outcome}\n`;
}

function split(flags: DebateAuditFlags): { own: OwnFlags; settingFlags: SettingFlags } {
  const { tasks, debate, normalise, limit, seed, concurrency, dryRun, ...settingFlags } = flags;
  const optional = { ...(limit !== undefined && { limit }), ...(dryRun && { dryRun }) };
  return { own: { tasks, debate, normalise, seed, concurrency, ...optional }, settingFlags };
}

/** `shoulders debate audit`: says whether debates of a config are of use, and keeps it beside the config. */
export async function auditDebates(given: string, flags: DebateAuditFlags, stop: Stop): Promise<number> {
  const { own, settingFlags } = split(flags);
  const asked = debateOf(own.debate);
  const normalise = valueOf("--normalise", own.normalise, z.enum(normalisations));
  const seed = valueOf("--seed", own.seed, z.coerce.number().int().min(0));
  const concurrency = valueOf("--concurrency", own.concurrency, count.max(64));
  const tasks = tasksOf(own);
  const { settings, log } = prepare(settingFlags, "warn");
  const configs = findConfig(given, settings);
  const [loaded] = configs;
  if (loaded === undefined || configs.length > 1)
    throw refused(`${given} holds several configs; name one file or one id`);
  const { signal } = stop;
  setMaxListeners(0, signal);
  const engine = await openEngine({ configs, settings, log, signal });
  const progress = createProgress("Debating");
  try {
    const config = engine.description?.configs[0];
    invariant(config !== undefined, "one config is loaded");
    const first = tasks[0]?.items[0];
    const debate = settleDebate(asked, {
      experts: config.experts.map(({ id }) => id),
      hasDocument: first?.document !== undefined,
      isChat: first?.prompt.type === "chat",
    });
    const auditing = { engine, config, settings: debate, normalise, signal };
    const found: Record<string, AuditedDebateTask> = {};
    for (const task of tasks) {
      let done = 0;
      const onItem = () => progress.update(task.name, ++done / task.items.length);
      found[task.name] = await auditTask(auditing, task, { seed, concurrency, onItem });
    }
    progress.stop();
    report(found);
    const file = debateAuditPathOf(loaded.file, config.id);
    const audit: DebateAudit = {
      ...{ version: 1, config: config.id, digest: config.digest, date: new Date().toISOString() },
      ...{ settings: debate, tasks: found },
    };
    if (own.dryRun === true) return 0;
    writeFileSync(file, `${JSON.stringify(audit, null, 2)}\n`);
    process.stdout.write(`${file} is written: every debate's answer carries it.\n`);
    return 0;
  } catch (error) {
    if (stop.received === null) throw error;
    return exitCodeOf(stop.received);
  } finally {
    progress.stop();
    await engine.close();
  }
}

function report(found: Record<string, AuditedDebateTask>): void {
  for (const [name, task] of Object.entries(found)) process.stdout.write(`${auditText(name, task)}\n`);
  const outcome = worstOutcome(Object.values(found).map((task) => task.outcome));
  if (Object.keys(found).length > 1) process.stdout.write(`together: ${outcome}\n`);
}
