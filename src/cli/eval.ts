import { mkdirSync } from "node:fs";
import { availableParallelism, cpus } from "node:os";
import path from "node:path";
import { Presets, SingleBar } from "cli-progress";
import { z } from "zod";
import { type LoadedFusionConfig, loadFusionConfigs, selectFusionConfigs } from "../config/load.js";
import type { Settings } from "../config/settings.js";
import type { Engine } from "../engine/protocol.js";
import { ShouldersError } from "../errors.js";
import type { Answerer } from "../evaluation/answerer.js";
import { AnswersFile } from "../evaluation/answers-file.js";
import { EngineAnswerer } from "../evaluation/engine-answerer.js";
import { type Method, configuredMethods, deriveMethods, selectMethods } from "../evaluation/methods.js";
import { type RunProgress, runEvaluation } from "../evaluation/runner.js";
import { type Suite, loadSuite, rolesOfConfigs } from "../evaluation/suite.js";
import { type TaskSource, loadTask, parseTaskArgument } from "../evaluation/tasks/load-task.js";
import type { Task } from "../evaluation/tasks/task.js";
import { UrlAnswerer } from "../evaluation/url-answerer.js";
import { writeReport } from "../evaluation/write-report.js";
import type { Logger } from "../log.js";
import { openEngine, resolveConfigs } from "./open-engine.js";
import { type SettingFlags, prepare } from "./run-time.js";
import { type Stop, exitCodeOf } from "./stop-signal.js";

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
};

/** How many examples the methods with examples show, as in the paper. */
const numExamples = 5;

const refused = (message: string): ShouldersError => new ShouldersError("settings_invalid", message);

function parseCount(flag: string, text: string, least: number): number {
  const parsed = z.coerce.number().int().min(least).max(2 ** 31).safeParse(text);
  if (parsed.success) return parsed.data;
  throw refused(`${flag}: "${text}" is not allowed; give an integer from ${least}`);
}

const list = (text: string | undefined): string[] =>
  (text ?? "").split(",").map((part) => part.trim()).filter((part) => part !== "");

function loadTasks(flags: EvalFlags, suite: Suite | null, seed: number): Task[] {
  const sources: TaskSource[] = [...(suite?.tasks ?? []), ...list(flags.tasks).map(parseTaskArgument)];
  if (sources.length === 0) throw refused("nothing to ask: give --tasks or --suite");
  const taskToExpert = new Map(list(flags.experts).map((pair): [string, string] => {
    const [task = "", expert = ""] = pair.split("=");
    if (task === "" || expert === "") throw refused(`--experts: "${pair}" is not TASK=EXPERT`);
    return [task, expert];
  }));
  const limit = flags.limit === undefined ? null : parseCount("--limit", flags.limit, 1);
  const tasks = sources.map((source) => {
    const task = loadTask(source, { limit, seed, numExamples });
    return { ...task, expert: taskToExpert.get(task.name) ?? task.expert };
  });
  for (const [index, { name }] of tasks.entries())
    if (tasks.findIndex((other) => other.name === name) < index)
      throw refused(`two tasks are called "${name}": rename a file, or name them in a suite`);
  for (const name of taskToExpert.keys())
    if (!tasks.some((task) => task.name === name))
      throw refused(`--experts: no task "${name}"; known: ${tasks.map((task) => task.name).join(", ")}`);
  return tasks;
}

interface Chosen {
  methods: Method[];
  configs: LoadedFusionConfig[];
  tasks: Task[];
}

/** Fusion configs are methods as they stand; a suite, or --methods, adds those that their models make possible. */
function chooseMethods(flags: EvalFlags, suite: Suite | null, tasks: Task[], settings: Settings): Chosen {
  const ids = list(flags.fusion);
  const patterns = list(flags.methods);
  if (suite === null && ids.length === 0) throw refused("nobody to ask: give --fusion or --suite");
  if (flags.url !== undefined) {
    if (suite !== null || patterns.length > 0)
      throw refused("--url asks the models named by --fusion as they are: leave --suite and --methods out");
    return { methods: configuredMethods(ids), configs: [], tasks };
  }
  const written = ids.length > 0 ? selectFusionConfigs(loadFusionConfigs(settings.fusionConfigs), ids) : [];
  const configured = configuredMethods(written.map(({ config }) => config.id));
  if (suite === null && patterns.length === 0) return { methods: configured, configs: written, tasks };
  const roles = suite?.roles ?? rolesOfConfigs(written);
  const known = roles.experts.map(({ id }) => id);
  const matched = tasks.map((task) => ({ ...task, expert: rightExpert(task, known) }));
  const derived = deriveMethods(roles, matched);
  const all = [...derived.methods, ...configured];
  const selected = patterns.length > 0 ? [...selectMethods(derived.methods, patterns), ...configured] : all;
  const used = new Set(
    selected.flatMap((method) => matched.flatMap((task) => method.planFor(task)?.configId ?? [])),
  );
  const configs = [...derived.configs, ...written].filter(({ config }) => used.has(config.id));
  return { methods: selected, configs, tasks: matched };
}

/** The one named for the task, else the one with the task's name, else the only one. */
function rightExpert({ name, expert }: Task, known: readonly string[]): string | null {
  if (expert !== null && !known.includes(expert))
    throw refused(`task "${name}": no expert is called "${expert}"; known: ${known.join(", ") || "none"}`);
  return expert ?? known.find((id) => id === name) ?? null;
}

/** One bar on a terminal; elsewhere a line whenever a method is through with a task. */
function progressShown(stream: NodeJS.WritableStream & { isTTY?: boolean }): {
  show: (progress: RunProgress) => void;
  stop: () => void;
} {
  if (stream.isTTY === true) {
    const format = "{bar} {value} of {total} answers, {eta_formatted} left · {task} · {method}";
    const bar = new SingleBar({ stream, format, hideCursor: true, barsize: 24 }, Presets.shades_classic);
    let isStarted = false;
    return {
      show: ({ total, done, reused, task, method }) => {
        if (!isStarted) bar.start(total, reused, { task, method });
        isStarted = true;
        bar.update(done, { task, method });
      },
      stop: () => {
        if (isStarted) bar.stop();
      },
    };
  }
  let last = "";
  return {
    show: ({ done, total, task, method }) => {
      const now = `${task} · ${method}`;
      if (now !== last) stream.write(`${now} (${done - 1} of ${total} answers)\n`);
      last = now;
    },
    stop: () => undefined,
  };
}

function describeHardware(engine: Engine | null, url: string | undefined): string {
  if (url !== undefined) return `a server at ${url}`;
  const processor = `${availableParallelism()} cores of ${cpus()[0]?.model.trim() ?? "an unknown processor"}`;
  const library = engine?.description?.library;
  if (library === undefined) return processor;
  const devices = library.devices.length > 0 ? ` (${library.devices.join(", ")})` : "";
  return `${processor}; llama.cpp ${library.llama} on ${library.backend}${devices}`;
}

async function openAnswerer(
  flags: EvalFlags,
  configs: readonly LoadedFusionConfig[],
  runTime: { settings: Settings; log: Logger; seed: number; signal: AbortSignal },
): Promise<{ answerer: Answerer; engine: Engine | null }> {
  const { settings, log, seed, signal } = runTime;
  if (flags.url !== undefined) {
    const apiKey = process.env.OPENAI_API_KEY ?? null;
    return { answerer: new UrlAnswerer({ url: flags.url, apiKey, seed }), engine: null };
  }
  const resolved = await resolveConfigs(configs, settings, signal);
  const engine = await openEngine({ configs, settings, log, signal });
  return { answerer: new EngineAnswerer(engine, resolved, seed), engine };
}

/** The command as it was given, for the report. */
const commandLine = (): string =>
  ["shoulders", ...process.argv.slice(2)].map((part) => (/[\s*]/.test(part) ? `'${part}'` : part)).join(" ");

/** `shoulders eval`: asks tasks by several methods and writes answers, figures and pictures to a directory. */
export async function evaluate(flags: EvalFlags, stop: Stop): Promise<number> {
  const { suite: suiteFile, tasks: _, fusion, methods: __, experts, limit, concurrency, seed, out, url, ...rest } = flags;
  void [fusion, experts, limit, url];
  const { settings, log } = prepare(rest, "warn");
  const seedNumber = parseCount("--seed", seed, 0);
  const suite = suiteFile === undefined ? null : loadSuite(suiteFile);
  const chosen = chooseMethods(flags, suite, loadTasks(flags, suite, seedNumber), settings);
  mkdirSync(out, { recursive: true });
  const file = new AnswersFile(path.join(out, "answers.jsonl"));
  const { answerer, engine } = await openAnswerer(flags, chosen.configs, {
    settings,
    log,
    seed: seedNumber,
    signal: stop.signal,
  });
  const progress = progressShown(process.stderr);
  try {
    const results = await runEvaluation({
      tasks: chosen.tasks,
      methods: chosen.methods,
      answerer,
      file,
      concurrency: parseCount("--concurrency", concurrency, 1),
      signal: stop.signal,
      onProgress: progress.show,
    });
    progress.stop();
    if (stop.received !== null) {
      process.stderr.write("stopped; the same command goes on from here\n");
      return exitCodeOf(stop.received);
    }
    writeReport(out, results, {
      hardware: describeHardware(engine, url),
      date: new Date(),
      command: commandLine(),
      methods: chosen.methods,
      targets: suite?.targets ?? [],
      seed: seedNumber,
    });
    return 0;
  } finally {
    progress.stop();
    await engine?.close();
  }
}
