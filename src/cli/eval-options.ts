import { z } from "zod";
import { type LoadedFusionConfig, findFusionConfigs, loadFusionConfigs } from "../config/load.js";
import { ShouldersError } from "../errors.js";
import type { Method } from "../evaluation/methods/method.js";
import { configuredMethods, deriveMethods, selectMethods } from "../evaluation/methods/methods.js";
import { pinnedMethods } from "../evaluation/methods/several.js";
import { type Suite, rolesOfConfigs } from "../evaluation/suite.js";
import { type TaskSource, loadTask, parseTaskArgument } from "../evaluation/tasks/load-task.js";
import { type Task, scorerFrom, scorerNames, scorerSchema } from "../evaluation/tasks/task.js";
import type { SettingFlags } from "./run-time.js";

export type EvalFlags = SettingFlags & {
  suite?: string;
  tasks?: string;
  fusion?: string;
  methods?: string;
  experts?: string;
  limit?: string;
  concurrency: string;
  seed: string;
  out: string;
  url?: string;
  scorer?: string;
  judgeUrl?: string;
  judgeModel?: string;
  judgeAgainst?: string;
};

export interface EvalOptions {
  suite: string | null;
  tasks: TaskSource[];
  fusionIds: string[];
  methods: string[];
  taskToExpert: Map<string, string>;
  limit: number | null;
  concurrency: number;
  seed: number;
  out: string;
  url: string | null;
  /** Who compares the answers of each method with those of one; null: nobody. `against` null: the first method. */
  judge: { url: string; model: string; against: string | null } | null;
}

/** How many examples the methods with examples show, as in the paper. */
const numExamples = 5;

const refused = (message: string): ShouldersError => new ShouldersError("settings_invalid", message);

export function parseCount(flag: string, text: string, least: number): number {
  const parsed = z.coerce
    .number()
    .int()
    .min(least)
    .max(2 ** 31)
    .safeParse(text);
  if (parsed.success) return parsed.data;
  throw refused(`${flag}: "${text}" is not allowed; give an integer from ${least}`);
}

export const list = (text = ""): string[] =>
  text
    .split(",")
    .map((part) => part.trim())
    .filter((part) => part !== "");

function parsePair(pair: string): [task: string, expert: string] {
  const [task = "", expert = ""] = pair.split("=");
  if (task === "" || expert === "") throw refused(`--experts: "${pair}" is not TASK=EXPERT`);
  return [task, expert];
}

/** @throws ShouldersError `settings_invalid` */
export function parseFlags(flags: EvalFlags): { options: EvalOptions; settingFlags: SettingFlags } {
  const { suite, tasks, fusion, methods, experts, limit, concurrency, seed, out, url, ...others } = flags;
  const { scorer, judgeUrl, judgeModel, judgeAgainst, ...settingFlags } = others;
  if (scorer !== undefined && !scorerSchema.safeParse(scorer).success)
    throw refused(`--scorer: "${scorer}" is not one: use ${scorerNames.join(", ")}, or a module (.js, .mjs)`);
  if ((judgeUrl === undefined) !== (judgeModel === undefined))
    throw refused("a judge is a server and a model on it: give --judge-url and --judge-model");
  if (judgeAgainst !== undefined && judgeUrl === undefined)
    throw refused("--judge-against needs --judge-url and --judge-model");
  const options: EvalOptions = {
    suite: suite ?? null,
    tasks: list(tasks).map((argument) => ({
      ...parseTaskArgument(argument),
      ...(scorer === undefined ? {} : { everyScorer: scorerFrom(scorer, process.cwd()) }),
    })),
    fusionIds: list(fusion),
    methods: list(methods),
    taskToExpert: new Map(list(experts).map(parsePair)),
    limit: limit === undefined ? null : parseCount("--limit", limit, 1),
    concurrency: parseCount("--concurrency", concurrency, 1),
    seed: parseCount("--seed", seed, 0),
    out,
    url: url ?? null,
    judge:
      judgeUrl === undefined || judgeModel === undefined
        ? null
        : { url: judgeUrl, model: judgeModel, against: judgeAgainst ?? null },
  };
  if (options.suite === null && options.tasks.length === 0)
    throw refused("nothing to ask: give --tasks or --suite");
  if (options.suite === null && options.fusionIds.length === 0)
    throw refused("nobody to ask: give --fusion or --suite");
  if (options.url !== null && (options.suite !== null || options.methods.length > 0))
    throw refused("--url asks the models named by --fusion as they are: leave --suite and --methods out");
  return { options, settingFlags };
}

/** The suite's tasks and those named beside it. */
export function loadTasks({ tasks, taskToExpert, limit, seed }: EvalOptions, suite: Suite | null): Task[] {
  const loaded = [...(suite?.tasks ?? []), ...tasks].map((source) => {
    const task = loadTask(source, { limit, seed, numExamples });
    return { ...task, expert: taskToExpert.get(task.name) ?? task.expert };
  });
  const names = loaded.map(({ name }) => name);
  for (const [index, name] of names.entries())
    if (names.indexOf(name) < index)
      throw refused(`two tasks are called "${name}": rename a file, or name them in a suite`);
  for (const name of taskToExpert.keys())
    if (!names.includes(name)) throw refused(`--experts: no task "${name}"; known: ${names.join(", ")}`);
  return loaded;
}

/** The expert tuned for a task; without a suite that says so, the one with its name, or the only one. */
function withRightExpert(task: Task, known: readonly string[], isExplicit: boolean): Task {
  const guess = known.find((id) => id === task.name) ?? (known.length === 1 ? known[0] : undefined);
  const named = task.expert ?? (isExplicit ? undefined : guess);
  return { ...task, expert: known.find((id) => id === named) ?? null };
}

const asWritten = (configs: readonly LoadedFusionConfig[]): Method[] =>
  configuredMethods(configs.map(({ config }) => config.id));

export interface Chosen {
  tasks: Task[];
  methods: Method[];
  /** What the methods run on. */
  configs: LoadedFusionConfig[];
}

/**
 * Fusion configs are methods as they stand; a suite, or --methods, adds those that the models make possible.
 * @throws ShouldersError `settings_invalid`, `evaluation_invalid`
 */
export function chooseMethods(
  { fusionIds, methods: patterns, url }: EvalOptions,
  suite: Suite | null,
  tasks: Task[],
  fusionConfigs: string,
): Chosen {
  if (url !== null) return { tasks, methods: configuredMethods(fusionIds), configs: [] };
  const written = fusionIds.length > 0 ? findFusionConfigs(fusionConfigs, fusionIds, () => undefined) : [];
  if (suite === null && patterns.length === 0)
    return { tasks, methods: asWritten(written), configs: written };
  const roles = suite?.roles ?? rolesOfConfigs(written);
  const known = roles.experts.map(({ id }) => id);
  const matched = tasks.map((task) => withRightExpert(task, known, suite !== null));
  const derived = deriveMethods(roles, matched);
  const ofSuite = (suite?.configs ?? []).flatMap((file) => loadFusionConfigs(file));
  const possible = [...derived.methods, ...asWritten(ofSuite), ...pinnedMethods(ofSuite)];
  const wanted = patterns.length > 0 ? patterns : (suite?.methods ?? ["*"]);
  const methods = [...selectMethods(possible, wanted), ...asWritten(written)];
  const used = new Set(methods.flatMap((method) => matched.map((task) => method.planFor(task)?.configId)));
  const configs = [...derived.configs, ...ofSuite, ...written].filter(({ config }) => used.has(config.id));
  if (configs.length === 0)
    throw refused(
      "none of the methods applies to these tasks: name their experts, e.g. --experts recall=trivia",
    );
  return { tasks: matched, methods, configs };
}
