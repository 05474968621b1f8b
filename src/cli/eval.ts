import { setMaxListeners } from "node:events";
import { mkdirSync } from "node:fs";
import { availableParallelism, cpus } from "node:os";
import path from "node:path";
import type { LoadedFusionConfig } from "../config/load.js";
import type { Settings } from "../config/settings.js";
import type { EngineDescription } from "../protocol/protocol.js";
import type { Answerer } from "../evaluation/answerer.js";
import { AnswersFile } from "../evaluation/answers-file.js";
import { EngineAnswerer } from "../evaluation/engine-answerer.js";
import { type Judgement, judgeResults } from "../evaluation/judge.js";
import { scoreRows } from "../evaluation/markdown.js";
import { OwnScorers } from "../evaluation/own-scorer.js";
import type { Report } from "../evaluation/report.js";
import { type Results, runEvaluation } from "../evaluation/runner.js";
import { loadSuite } from "../evaluation/suite.js";
import { UrlAnswerer } from "../evaluation/url-answerer.js";
import { writeReport } from "../evaluation/write-report.js";
import { ShouldersError } from "../errors.js";
import type { Logger } from "../log.js";
import { type EvalFlags, type EvalOptions, chooseMethods, loadTasks, parseFlags } from "./eval-options.js";
import { createEvalProgress } from "./eval-progress.js";
import { openEngine, resolveConfigs } from "./open-engine.js";
import { prepare } from "./run-time.js";
import { type Stop, exitCodeOf } from "./stop-signal.js";
import { renderTable } from "./table.js";

interface OpenAnswerer {
  answerer: Answerer;
  /** What the report says of the machine. */
  hardware: string;
  close(): Promise<void>;
}

export function describeHardware({ library }: EngineDescription): string {
  const processor = `${availableParallelism()} cores of ${cpus()[0]?.model.trim() ?? "an unknown processor"}`;
  const devices = library.devices.length > 0 ? ` (${library.devices.join(", ")})` : "";
  return `${processor}; llama.cpp ${library.llama} on ${library.backend}${devices}`;
}

async function openAnswerer(
  { url, seed }: EvalOptions,
  configs: readonly LoadedFusionConfig[],
  runTime: { settings: Settings; log: Logger; signal: AbortSignal },
): Promise<OpenAnswerer> {
  if (url !== null) {
    const answerer = new UrlAnswerer({ url, apiKey: process.env.OPENAI_API_KEY ?? null, seed });
    return { answerer, hardware: `the server at ${url}`, close: () => Promise.resolve() };
  }
  const resolved = await resolveConfigs(configs, runTime.settings, runTime.signal);
  const engine = await openEngine({ configs, ...runTime });
  return {
    answerer: new EngineAnswerer(engine, resolved, seed),
    hardware: engine.description === null ? "" : describeHardware(engine.description),
    close: () => engine.close(),
  };
}

/** The command as a person would type it again. */
export function commandLine(): string {
  const quoted = process.argv.slice(2).map((part) => (/^[\w./:=,+@-]+$/.test(part) ? part : `'${part}'`));
  return ["shoulders", ...quoted].join(" ");
}

/** @returns the exit code: 1 when not one answer came. */
function printOutcome(report: Report, results: Results, out: string): number {
  const columns = Object.keys(report.tasks).map((header) => ({ header, align: "right" }) as const);
  process.stdout.write(renderTable([{ header: "score", align: "left" }, ...columns], scoreRows(report)));
  process.stdout.write(
    `\n${path.join(out, "report.md")} has the rest, ${path.join(out, "report.html")} every answer side by side.\n`,
  );
  const lines = [...results.values()].flatMap((methods) => [...methods.values()].flat());
  const errors = lines.flatMap(({ error }) => error ?? []);
  if (errors[0] === undefined) return 0;
  const count = `${errors.length} of ${lines.length} answers failed`;
  process.stderr.write(
    `${count}, the first: ${errors[0].message}\nThe same command asks only those again.\n`,
  );
  return errors.length === lines.length ? 1 : 0;
}

/** What a judge says of the answers; null where none is asked, or the user stopped it. */
async function judge(
  { judge: asked, out, seed, concurrency }: EvalOptions,
  results: Results,
  stop: Stop,
): Promise<Judgement | null> {
  const { signal } = stop;
  const known = [...results.values()].flatMap((methods) => [...methods.keys()]);
  const against = asked?.against ?? known[0];
  if (asked === null || against === undefined || signal.aborted) return null;
  if (!known.includes(against))
    throw new ShouldersError(
      "settings_invalid",
      `--judge-against: no method "${against}" was asked; there are ${[...new Set(known)].join(", ")}`,
    );
  const progress = createEvalProgress();
  try {
    return await judgeResults(results, {
      ...asked,
      against,
      apiKey: process.env.JUDGE_API_KEY ?? null,
      file: path.join(out, "judgements.jsonl"),
      ...{ seed, concurrency, signal },
      onProgress: (done, total) =>
        progress.show({ done, total, reused: 0, task: "the judge", method: `against ${against}` }),
    });
  } catch (error) {
    if (stop.received !== null) return null;
    throw error;
  } finally {
    progress.stop();
  }
}

/** `shoulders eval`: asks tasks by several methods and writes answers, figures and pictures to a directory. */
export async function evaluate(flags: EvalFlags, stop: Stop): Promise<number> {
  const { options, settingFlags } = parseFlags(flags);
  const { out, seed, concurrency } = options;
  const { settings, log } = prepare(settingFlags, "warn");
  const suite = options.suite === null ? null : loadSuite(options.suite);
  const chosen = chooseMethods(options, suite, loadTasks(options, suite), settings.fusionConfigs);
  mkdirSync(out, { recursive: true });
  const file = new AnswersFile(path.join(out, "answers.jsonl"));
  const ownScorers = await OwnScorers.of(chosen.tasks.flatMap(({ items }) => items));
  const asked = await openAnswerer(options, chosen.configs, {
    settings,
    log,
    signal: stop.signal,
  });
  const progress = createEvalProgress();
  // Every answer that is being written listens for the end.
  setMaxListeners(0, stop.signal);
  try {
    const { tasks, methods } = chosen;
    const results = await runEvaluation({
      tasks,
      methods,
      answerer: asked.answerer,
      file,
      ownScorers,
      concurrency,
      signal: stop.signal,
      onProgress: (reached) => progress.show(reached),
    });
    progress.stop();
    const judgement = await judge(options, results, stop);
    if (stop.received !== null) {
      process.stderr.write("Stopped; the same command goes on from here.\n");
      return exitCodeOf(stop.received);
    }
    const command = commandLine();
    const targets = suite?.targets ?? [];
    const { hardware } = asked;
    const described = { hardware, date: new Date(), command, methods, targets, seed, judgement };
    const report = writeReport(out, results, described);
    return printOutcome(report, results, out);
  } finally {
    progress.stop();
    await asked.close();
  }
}
