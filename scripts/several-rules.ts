import { readFileSync } from "node:fs";
import path from "node:path";
import { root } from "./generated-docs.js";

/** What models/recipe/several.py measured: every rule for several experts on the same items. */

export const rulesPath = path.join(root, "docs/several-experts/rules.json");

type Settings = Record<string, string | number>;

interface RuleFigures {
  items: number;
  score: number;
  /** 95 % interval of the score. */
  low: number;
  high: number;
  /** (score − giant) ÷ (tuned giant − giant). */
  pgr: number;
  /** score − max(giant, right expert), with its interval. */
  harm: number;
  harmLow: number;
  harmHigh: number;
}

/** Of one method over the tasks. */
interface Summary {
  /** Mean gap recovered over the seen tasks, with its 95 % interval. */
  pgr: number;
  pgrLow: number;
  pgrHigh: number;
  /** That less the default's with as many experts, from the same resamples; null for what is no rule. */
  overDefault: number | null;
  overDefaultLow: number | null;
  overDefaultHigh: number | null;
  /** Task of the least harm. */
  worst: string;
}

export interface RulesReport {
  hardware: string;
  /** ISO 8601, UTC. */
  date: string;
  command: string;
  /** Items a task. */
  items: { validation: number; test: number };
  /** Name of the rule that the engine has as its default. */
  default: string;
  /** Method to what it is; `NAME+bystanders` is a rule with eight experts. */
  methods: Record<string, string>;
  /** By rule: the settings of the most gap recovered on validation, and all that were tried. */
  rules: Record<
    string,
    { settings: Settings; validation: number; tried: { settings: Settings; validation: number }[] }
  >;
  summary: Record<string, Summary>;
  tasks: Record<string, Record<string, RuleFigures>>;
}

export const readRules = (): RulesReport => JSON.parse(readFileSync(rulesPath, "utf8")) as RulesReport;

const fixed = (value: number): string => value.toFixed(2);
const signed = (value: number): string => (value > 0 ? "+" : "") + value.toFixed(2);
const row = (cells: readonly string[]): string => `| ${cells.join(" | ")} |`;
const table = (header: readonly string[], rows: readonly (readonly string[])[]): string =>
  [header, header.map((_, index) => (index === 0 ? "---" : "---:")), ...rows].map(row).join("\n");

const ending = "+bystanders";

function methodRow({ tasks, summary, default: usual }: RulesReport, method: string): string[] {
  const { pgr, pgrLow, pgrHigh, worst, overDefault, overDefaultLow, overDefaultHigh } = summary[
    method
  ] as Summary;
  const harm = tasks[worst]?.[method] as RuleFigures;
  const name = method.replace(ending, "");
  return [
    name === usual ? `**${name}**` : name,
    ...Object.values(tasks).map(({ [method]: one }) =>
      one === undefined ? "" : `${fixed(one.score)} (${fixed(one.low)} to ${fixed(one.high)})`,
    ),
    `${fixed(pgr)} (${fixed(pgrLow)} to ${fixed(pgrHigh)})`,
    overDefault === null || name === usual
      ? ""
      : `${signed(overDefault)} (${signed(overDefaultLow as number)} to ${signed(overDefaultHigh as number)})`,
    `${signed(harm.harm)} (${signed(harm.harmLow)} to ${signed(harm.harmHigh)}), ${worst}`,
  ];
}

/** A row for each method, the most gap recovered first. */
function scoreTable(report: RulesReport, methods: readonly string[], title: string): string {
  const sorted = [...methods].sort(
    (a, b) => (report.summary[b] as Summary).pgr - (report.summary[a] as Summary).pgr,
  );
  const header = [title, ...Object.keys(report.tasks), "gap recovered", "over the default", "worst harm"];
  return table(
    header,
    sorted.map((method) => methodRow(report, method)),
  );
}

const settingsText = (settings: Settings): string =>
  Object.entries(settings)
    .map(([name, value]) => `${name}: ${value}`)
    .join("; ");

function ruleTable({ rules, methods }: RulesReport): string {
  const rows = Object.entries(rules).map(([name, { settings, validation, tried }]) => [
    name,
    methods[name] ?? "",
    settingsText(settings),
    String(tried.length),
    fixed(validation),
  ]);
  const header = ["Rule", "what it is", "settings", "tried", "gap recovered (validation)"];
  return [header, ["---", "---", "---", "---:", "---:"], ...rows].map(row).join("\n");
}

/** The section of docs/several-experts/README.md that holds what was measured. */
export function rulesText(): string {
  const report = readRules();
  const { rules, methods, items, command, hardware, date } = report;
  const names = Object.keys(methods);
  const anchors = names.filter((name) => rules[name.replace(ending, "")] === undefined);
  const few = names.filter((name) => rules[name] !== undefined);
  const many = names.filter((name) => name.endsWith(ending));
  return [
    `\`${command}\`: ${hardware}; ${date.slice(0, 10)}. Settings by ${items.validation} validation items a task, scores on ${items.test} test items a task, greedy; in brackets 95 % intervals.`,
    scoreTable(report, [...anchors, ...few], "Four experts"),
    scoreTable(report, many, "And four bystanders"),
    ruleTable(report),
    anchors.map((name) => `- \`${name}\`: ${methods[name]}`).join("\n"),
  ].join("\n\n");
}
