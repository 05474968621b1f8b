import { setMaxListeners } from "node:events";
import { mkdirSync } from "node:fs";
import path from "node:path";
import { z } from "zod";
import { type LoadedFusionConfig, parseFusionConfig } from "../config/load.js";
import type { Settings } from "../config/settings.js";
import { ShouldersError, invariant } from "../errors.js";
import type { Answerer } from "../evaluation/answerer.js";
import { AnswersFile } from "../evaluation/answers-file.js";
import { auditHead, auditRows } from "../evaluation/audit/markdown.js";
import { type AuditedConfig, type AuditOptions, auditMethods } from "../evaluation/audit/methods.js";
import type { AuditReport } from "../evaluation/audit/conflict.js";
import { buildAudit, writeAudit } from "../evaluation/audit/report.js";
import { EngineAnswerer } from "../evaluation/engine-answerer.js";
import { OwnScorers } from "../evaluation/own-scorer.js";
import { runEvaluation } from "../evaluation/runner.js";
import { loadTask, parseTaskArgument } from "../evaluation/tasks/load-task.js";
import { type Task, scorerFrom, scorerNames, scorerSchema } from "../evaluation/tasks/task.js";
import { UrlAnswerer } from "../evaluation/url-answerer.js";
import type { Logger } from "../log.js";
import { componentSchema, weightSchema } from "../strategies/fields.js";
import { strategySchema } from "../strategies/registry.js";
import { findConfig } from "./check.js";
import { commandLine, describeHardware } from "./eval.js";
import { list, parseCount } from "./eval-options.js";
import { createEvalProgress } from "./eval-progress.js";
import { openEngine, resolveConfigs } from "./open-engine.js";
import { type SettingFlags, prepare } from "./run-time.js";
import { type Stop, exitCodeOf } from "./stop-signal.js";
import { renderTable } from "./table.js";

export type AuditFlags = SettingFlags & OwnFlags;

interface OwnFlags {
  objective: string;
  against: string;
  tasks: string;
  weight: string;
  ceiling?: string;
  limit?: string;
  concurrency: string;
  seed: string;
  out: string;
  url?: string;
  scorer?: string;
}

const refused = (message: string): ShouldersError => new ShouldersError("settings_invalid", message);

/** The config of a model that is asked by itself. */
const ceilingId = "audit.ceiling";

/** Who answers, and what it says of the config. */
interface Asked {
  answerer: Answerer;
  config: AuditedConfig;
  /** Id of the ceiling, as plans name it. */
  ceiling: string | null;
  hardware: string;
  close(): Promise<void>;
}

interface RunTime {
  settings: Settings;
  log: Logger;
  signal: AbortSignal;
}

async function openHere(
  given: string,
  { ceiling, seed }: OwnFlags,
  wish: Wish,
  { settings, log, signal }: RunTime,
): Promise<Asked> {
  const found = findConfig(given, settings);
  const [loaded] = found;
  if (loaded === undefined || found.length > 1)
    throw refused(`${given} holds several configs; name one file or one id`);
  checkExperts(wish, loaded.config);
  const configs = ceiling === undefined ? [loaded] : [loaded, ceilingConfig(ceiling, loaded)];
  const resolved = await resolveConfigs(configs, settings, signal);
  const engine = await openEngine({ configs, settings, log, signal });
  const { description } = engine;
  const config = description?.configs.find(({ id }) => id === loaded.config.id);
  invariant(description !== null && config !== undefined, "a started engine describes its configs");
  return {
    answerer: new EngineAnswerer(engine, resolved, Number(seed), { keepsSteps: true }),
    config,
    ceiling: ceiling === undefined ? null : ceilingId,
    hardware: describeHardware(description),
    close: () => engine.close(),
  };
}

function ceilingConfig(model: string, { config }: LoadedFusionConfig): LoadedFusionConfig {
  const written = { id: ceilingId, base: model, reference: null, experts: [], context: config.context };
  // A path is as the user wrote it, from the working directory.
  const file = path.join(process.cwd(), ceilingId);
  return { ...parseFusionConfig(JSON.stringify(written), file), placeOf: () => "--ceiling" };
}

const describedSchema = z.object({
  id: z.string(),
  experts: z.array(z.object({ id: z.string(), component: componentSchema })),
  strategy: strategySchema,
});

/** @throws ShouldersError `remote_failed` */
async function openThere(
  given: string,
  url: string,
  { ceiling, seed }: OwnFlags,
  wish: Wish,
): Promise<Asked> {
  const apiKey = process.env.OPENAI_API_KEY ?? null;
  const address = `${url.replace(/\/+$/, "")}/fusion/configs/${encodeURIComponent(given)}`;
  const failed = (why: string, cause?: unknown) =>
    new ShouldersError("remote_failed", `${address} ${why}`, { cause });
  const response = await fetch(address, {
    headers: apiKey === null ? {} : { Authorization: `Bearer ${apiKey}` },
  }).catch((error: unknown) => {
    throw failed("cannot be reached: is the server up?", error);
  });
  if (!response.ok)
    throw failed(`answered ${response.status}: is "${given}" a config of a server of this program?`);
  const described = describedSchema.safeParse(await response.json().catch(() => null));
  if (!described.success) throw failed("answered something that does not describe a config.");
  checkExperts(wish, described.data);
  return {
    answerer: new UrlAnswerer({ url, apiKey, seed: Number(seed), isOurs: true }),
    config: described.data,
    ceiling: ceiling ?? null,
    hardware: `the server at ${url}`,
    close: () => Promise.resolve(),
  };
}

/** What the flags ask for, before it is known whether the config has it. */
type Wish = Omit<AuditOptions, "ceiling">;

function wishOf({ objective, against, weight }: OwnFlags): Wish {
  const others = list(against);
  if (others.length === 0 || others.includes(objective))
    throw refused("--against: name other experts than the objective's");
  const added = weightSchema.safeParse(Number(weight));
  if (!added.success) throw refused(`--weight: "${weight}" is not allowed; give a number from -8 to 8`);
  return { objective, against: others, added: added.data };
}

function checkExperts(
  { objective, against }: Wish,
  config: { id: string; experts: readonly { id: string }[] },
) {
  const known = config.experts.map(({ id }) => id);
  const stranger = [objective, ...against].find((id) => !known.includes(id));
  if (stranger !== undefined)
    throw refused(`no expert "${stranger}" in ${config.id}; known: ${known.join(", ")}`);
}

function tasksOf({ tasks, limit, seed, scorer }: OwnFlags): Task[] {
  if (scorer !== undefined && !scorerSchema.safeParse(scorer).success)
    throw refused(`--scorer: "${scorer}" is not one: use ${scorerNames.join(", ")}, or a module (.js, .mjs)`);
  const files = list(tasks);
  if (files.length === 0) throw refused("--tasks: name task files of the objective");
  const options = {
    limit: limit === undefined ? null : parseCount("--limit", limit, 1),
    seed: parseCount("--seed", seed, 0),
    numExamples: 0,
  };
  const loaded = files.map((argument) => {
    const every = scorer === undefined ? {} : { everyScorer: scorerFrom(scorer, process.cwd()) };
    return loadTask({ ...parseTaskArgument(argument), ...every }, options);
  });
  const unscored = loaded.find(({ items }) => items.some((item) => item.scorer === "none"));
  if (unscored !== undefined) throw refused(`${unscored.name}: items that nobody scores cannot be audited`);
  return loaded;
}

function print(report: AuditReport, out: string): void {
  const columns = auditHead.map((header, index) => ({
    header,
    align: index === 0 || index === auditHead.length - 1 ? ("left" as const) : ("right" as const),
  }));
  process.stdout.write(renderTable(columns, auditRows(report)));
  process.stdout.write(
    `\n${path.join(out, "report.md")} says what the columns mean, ${path.join(out, "report.html")} shows what was lost and gained.\n`,
  );
}

function split(flags: AuditFlags): { own: OwnFlags; settingFlags: SettingFlags } {
  const { objective, against, tasks, weight, ceiling, limit, concurrency, seed, out, url, ...others } = flags;
  const { scorer, ...settingFlags } = others;
  const optional = {
    ...(ceiling !== undefined && { ceiling }),
    ...(limit !== undefined && { limit }),
    ...(url !== undefined && { url }),
    ...(scorer !== undefined && { scorer }),
  };
  return {
    own: { objective, against, tasks, weight, concurrency, seed, out, ...optional },
    settingFlags,
  };
}

/** `shoulders audit`: what adding experts costs another one's answers. */
export async function audit(given: string, flags: AuditFlags, stop: Stop): Promise<number> {
  const { own, settingFlags } = split(flags);
  const tasks = tasksOf(own);
  const wish = wishOf(own);
  const concurrency = parseCount("--concurrency", own.concurrency, 1);
  const { settings, log } = prepare(settingFlags, "warn");
  const { signal } = stop;
  const asked =
    own.url === undefined
      ? await openHere(given, own, wish, { settings, log, signal })
      : await openThere(given, own.url, own, wish);
  const progress = createEvalProgress();
  // Every answer that is being written listens for the end.
  setMaxListeners(0, signal);
  try {
    const methods = auditMethods(asked.config, { ...wish, ceiling: asked.ceiling });
    mkdirSync(own.out, { recursive: true });
    const results = await runEvaluation({
      ...{ tasks, methods, concurrency, signal },
      answerer: asked.answerer,
      file: new AnswersFile(path.join(own.out, "answers.jsonl")),
      ownScorers: await OwnScorers.of(tasks.flatMap(({ items }) => items)),
      onProgress: (reached) => progress.show(reached),
    });
    progress.stop();
    if (stop.received !== null) {
      process.stderr.write("Stopped; the same command goes on from here.\n");
      return exitCodeOf(stop.received);
    }
    const lines = [...results.values()].flatMap((one) => [...one.values()].flat());
    const errors = lines.flatMap(({ error }) => error ?? []);
    if (errors[0] !== undefined)
      process.stderr.write(
        `${errors.length} of ${lines.length} answers failed and are left out, the first: ${errors[0].message}\n`,
      );
    const report = buildAudit(
      results,
      methods,
      {
        ...{ hardware: asked.hardware, date: new Date().toISOString(), command: commandLine() },
        ...{ config: asked.config.id, objective: own.objective, ceiling: own.ceiling ?? null },
      },
      Number(own.seed),
    );
    if (report.conflicts.length === 0) return 1;
    writeAudit(own.out, report);
    print(report, own.out);
    return 0;
  } finally {
    progress.stop();
    await asked.close();
  }
}
