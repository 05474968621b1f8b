import { writeFileSync } from "node:fs";
import path from "node:path";
import { z } from "zod";
import { POLICIES_ENDING } from "../config/load.js";
import type { FusionConfig } from "../config/fusion-config.js";
import { parseWrittenText } from "../config/written-text.js";
import { readTextFile } from "../config/read-text-file.js";
import { ShouldersError } from "../errors.js";
import { coverOf, type Cover, type Scored } from "../feedback/cover.js";
import { defaultStrategy, paperStrategy, type StrategyConfig } from "../strategies/registry.js";
import { findConfig } from "./check.js";
import { type SettingFlags, prepare } from "./run-time.js";
import { renderTable } from "./table.js";

export type PoliciesFlags = SettingFlags & {
  report: string;
  delta: string;
  tasks?: string[];
  methods?: string[];
  out?: string;
};

/** As much of a report as is looked at. */
const reportSchema = z.object({
  tasks: z.record(z.string(), z.record(z.string(), z.object({ score: z.number().nullable() }))),
});

/** The largest report that is read. */
const mostBytes = 64 * 1024 * 1024;

const refused = (message: string): ShouldersError => new ShouldersError("settings_invalid", message);

/**
 * `shoulders policies CONFIG --report FILE`: of the methods of an evaluation the few that no other beats by more than
 * delta at any mixture of tasks, as policies of the config.
 * @throws ShouldersError `settings_invalid`, and as configs are read
 */
export function policies(
  given: string,
  { report, delta, tasks, methods, out, ...flags }: PoliciesFlags,
): number {
  const { settings } = prepare(flags, "warn");
  const [loaded] = findConfig(given, settings);
  if (loaded === undefined) throw refused(`no fusion config "${given}"`);
  const most = Number(delta);
  if (!(most >= 0 && most <= 1))
    throw refused(`--delta: "${delta}" is not allowed; give a number from 0 to 1`);
  const { names, scored } = readScores(report, tasks ?? null, methods ?? null);
  const cover = coverOf(scored, most);
  process.stdout.write(`${describe(cover, names, scored)}\n`);
  const known = cover.taken.flatMap(({ id }) => {
    const strategy = strategyNamed(id, loaded.config);
    return strategy === null ? [] : [[armOf(id), strategy] as const];
  });
  const others = cover.taken.map(({ id }) => id).filter((id) => strategyNamed(id, loaded.config) === null);
  const file = path.resolve(out ?? `${loaded.config.id}${POLICIES_ENDING}`);
  const gap = cover.taken.at(-1)?.gap ?? 0;
  writeFileSync(
    file,
    `${JSON.stringify({ delta: most, gap, tasks: names, arms: Object.fromEntries(known), others }, null, 2)}\n`,
  );
  process.stdout.write(`${file}: put its arms into the config, under policies.\n`);
  if (others.length > 0)
    process.stdout.write(
      `Give these a strategy yourself, they need more than a name: ${others.join(", ")}.\n`,
    );
  return 0;
}

function readScores(file: string, wanted: readonly string[] | null, among: readonly string[] | null) {
  const parsed = parseWrittenText(readTextFile(file, mostBytes), file);
  const report = parsed.ok ? reportSchema.safeParse(parsed.value) : null;
  if (!report?.success) throw refused(`--report: ${file} is no report of eval`);
  const all = report.data.tasks;
  const names = wanted ?? Object.keys(all);
  const stranger = names.find((name) => !(name in all));
  if (stranger !== undefined)
    throw refused(`--tasks: no task "${stranger}" in the report; known: ${Object.keys(all).join(", ")}`);
  const scoreOf = (task: string, method: string) => all[task]?.[method]?.score ?? null;
  const methods = [...new Set(names.flatMap((task) => Object.keys(all[task] ?? {})))].filter(
    (method) => among !== null || !isAnotherModel(method),
  );
  const scored = methods.flatMap((id): Scored[] => {
    const scores = names.flatMap((task) => scoreOf(task, id) ?? []);
    return scores.length === names.length && (among === null || among.includes(id)) ? [{ id, scores }] : [];
  });
  if (scored.length === 0)
    throw refused("--report: no method has a score on every task; name fewer with --tasks");
  return { names, scored };
}

function describe({ taken, left }: Cover, names: readonly string[], scored: readonly Scored[]): string {
  const scoresOf = (id: string) => scored.find((one) => one.id === id)?.scores ?? [];
  const kept = renderTable(
    [
      { header: "policy", align: "left" },
      ...names.map((header) => ({ header, align: "right" as const })),
      { header: "gap with it", align: "right" },
    ],
    taken.map(({ id, gap }) => [id, ...scoresOf(id).map((score) => score.toFixed(3)), gap.toFixed(3)]),
  );
  const others = renderTable(
    [
      { header: "left out", align: "left" },
      { header: "ahead by, at most", align: "right" },
      { header: "where", align: "left" },
    ],
    left.map(({ id, advantage: { value, mixture } }) => {
      const where = names.flatMap((name, at) => {
        const share = Math.round(100 * (mixture[at] ?? 0));
        return share > 0 ? [`${share} % ${name}`] : [];
      });
      return [id, value.toFixed(3), where.join(", ")];
    }),
  );
  return left.length > 0 ? `${kept}\n\n${others}` : kept;
}

/** The strategy that a method's name alone tells, for every task alike; null: it tells none. */
function strategyNamed(method: string, { id, strategy, experts }: FusionConfig): StrategyConfig | null {
  if (method === "giant") return { type: "base" };
  if (method === "paper-all") return paperStrategy;
  return method === `fusion:${id}` ? (strategy ?? defaultStrategy(experts)) : null;
}

/** What answers by a model that a config does not fuse: tuned ones, and small ones alone. */
const isAnotherModel = (method: string): boolean =>
  /^(tuned-|model:|expert:|merged:|right-|hard-)/.test(method);

const armOf = (method: string): string => method.replaceAll(/[^a-z0-9._-]+/gi, "-").toLowerCase();
