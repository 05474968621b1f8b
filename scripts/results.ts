import { readFileSync, readdirSync } from "node:fs";
import path from "node:path";
import { mean } from "simple-statistics";
import { reportSections } from "../src/evaluation/markdown.js";
import type { Report } from "../src/evaluation/report.js";
import type { TokenCandidate, TokenRecord, TopRecord } from "../src/wire/token-record.js";
import { architecturePath, operationsPath, readmePath, root, settingsTable } from "./generated-docs.js";
import { oversightSections } from "./oversight.js";
import { allowedImports, roomsText } from "./rooms.js";
import { rulesText } from "./several-rules.js";

/** Every generated section of the documentation, from schemas, lint rule and measured files. */

export const familyReport = path.join(root, "models/report.json");
export const severalReport = path.join(root, "docs/several-experts/report.json");
const benchPath = path.join(root, "bench/README.md");
export const failuresPath = path.join(root, "models/failures.json");

/** An item that a rule gets wrong and a better method right. */
export interface TracedFailure {
  id: string;
  task: string;
  item: number;
  question: string;
  expected: string;
  failing: { method: string; description: string; answer: string };
  /** `token`: what it says where the failing one goes wrong. */
  right: { method: string; description: string; answer: string; token: string };
  /** The last is the one that goes wrong. */
  tokens: (Pick<TokenRecord, "weights" | "chosen" | "divergence" | "objective"> & {
    token: string;
    top: TopRecord;
  })[];
}

const read = (file: string): unknown => JSON.parse(readFileSync(file, "utf8"));
const reportIn = (file: string): Report => read(file) as Report;

const score = (value: number | null | undefined): string => value?.toFixed(2) ?? "";
const row = (cells: readonly string[]): string => `| ${cells.join(" | ")} |`;
const table = (header: readonly string[], rows: readonly (readonly string[])[]): string =>
  [header, header.map((_, index) => (index === 0 ? "---" : "---:")), ...rows].map(row).join("\n");

const measuredBy = ({ command, hardware, date }: Report): string =>
  `\`${command}\`: ${hardware}; ${date.slice(0, 10)}.`;

function scoreTable(report: Report, methods: readonly (readonly [name: string, words: string])[]): string {
  const tasks = Object.keys(report.tasks);
  const known = methods.filter(([name]) => tasks.some((task) => report.tasks[task]?.[name] !== undefined));
  const rows = known.map(([name, words]) => [
    words,
    ...tasks.map((task) => score(report.tasks[task]?.[name]?.score)),
  ]);
  const items = Object.values(report.tasks).map((figures) => figures["giant"]?.items ?? 0);
  return table([`Greedy, ${Math.max(...items)} items each`, ...tasks], rows);
}

/** What the README says that fusion gains: the shortest form of the report on several experts. */
function gainsTable(): string {
  const report = reportIn(severalReport);
  const methods = [
    ["giant", "base alone"],
    ["right-expert", "right expert alone"],
    ["fusion:all:right", "base and right expert, fused"],
    ["paper-all", "base and all four experts, the paper's rule"],
    ["fusion:all", "base and all four experts, mixture (the default)"],
    ["tuned-giant", "tuned base (the ceiling)"],
  ] as const;
  return `${scoreTable(report, methods)}\n\n${measuredBy(report)}`;
}

/** A short form of the family's report. */
function familyShort(): string {
  const report = reportIn(familyReport);
  const methods = [
    ["giant", "base alone"],
    ["giant-5-shot", "base with 5 examples in its prompt"],
    ["right-expert", "right expert alone"],
    ["static-1", "weight 1 (proxy-tuning)"],
    ["dynamic-exact", "solved weight (the paper)"],
    ["static-1+joint", "weight 1, tokens plausible to base or expert"],
    ["static-1+expert", "weight 1, tokens plausible to the expert"],
    ["static-1+gated", "weight 1, to the expert where it is sure, else to either"],
    ["dynamic-exact+gated", "solved weight, the same tokens"],
    ["static-1-5-shot+gated", "weight 1, the same tokens, 5 examples in the base's prompt"],
    ["dynamic-merged:05", "one expert merged by task arithmetic, solved weight"],
    ["paper-all", "all four experts, the paper's rule"],
    ["tuned-giant", "tuned base (the ceiling)"],
  ] as const;
  return `${scoreTable(report, methods)}\n\n${measuredBy(report)}`;
}

/** A short form of the report on several experts. */
function severalShort(): string {
  const report = reportIn(severalReport);
  const methods = [
    ["giant", "base alone"],
    ["right-expert", "right expert alone"],
    ["fusion:all:right", "right expert, fused"],
    ["paper-all", "four experts, the paper's rule"],
    ["uniform", "four experts, each at weight 1/4"],
    ["mixture", "four experts, mixture of equal shares"],
    ["fusion:all", "four experts, mixture (the default)"],
    ["paper-all+bystanders", "and four that fit nothing, the paper's rule"],
    ["fusion:all-bystanders", "and four that fit nothing, mixture"],
    ["tuned-giant", "tuned base (the ceiling)"],
  ] as const;
  return `${scoreTable(report, methods)}\n\n${measuredBy(report)}`;
}

/** What the README says that fusion costs, from the last results of the bench. */
function costsTable(): string {
  const recorded = readFileSync(benchPath, "utf8")
    .split("\n")
    .map((line) => line.split("|").map((cell) => cell.trim()));
  const figures = [
    ["overhead_1", "a step ÷ the sum of its bare decodes, 1 expert"],
    ["solve_ms_1", "fusing a token over 151,936 entries, 1 expert"],
    ["solve_ms_4", "fusing a token over 151,936 entries, 4 experts"],
    ["memory_beyond_mb", "memory beyond weights, caches and compute buffers"],
  ] as const;
  const rows = figures.map(([figure, words]) => {
    const [, , value, , , date] = recorded.find(([, id]) => id === figure) ?? [];
    if (value === undefined || date === undefined) throw new Error(`bench/README.md has no ${figure}`);
    return [words, value, date];
  });
  const hardware = recorded.find(([, id]) => id === figures[0][0])?.[6] ?? "";
  return `${table(["On a small machine", "measured", "date"], rows)}\n\n${hardware}.`;
}

function targetTable({ figures }: Report): string {
  const rows = figures.map(({ id, value, target, holds }) => [
    id,
    value?.toFixed(3) ?? "",
    target,
    holds ? "yes" : "no",
  ]);
  return table(["Figure", "value", "target", "holds"], rows);
}

/** Everything that a report has to say; `pictures`: the folder of its pictures, as the text names it. */
function full(report: Report, directory: string, pictures: string): string {
  const files = readdirSync(directory).filter((name) => name.endsWith(".svg"));
  const drawn = files.map((name) => ({ file: `${pictures}${name}`, title: name.slice(0, -4) }));
  return reportSections(report, drawn);
}

const familyFull = (): string => full(reportIn(familyReport), path.join(root, "models/report"), "report/");

const severalFull = (): string => full(reportIn(severalReport), path.dirname(severalReport), "");

const severalTargets = (): string => targetTable(reportIn(severalReport));

interface ModelCard {
  name: string;
  file: string;
  type: string;
  parameters: number;
  steps?: number;
  loss?: number;
  validationLoss?: number;
  divergence?: number;
  bytes: number;
  sha256: string;
}

/** A row for each model, from the cards that the recipe writes. */
function modelTable(): string {
  const folder = path.join(root, "models/family/cards");
  const cards = readdirSync(folder).map((name) => read(path.join(folder, name)) as ModelCard);
  const number = (value: number | undefined, digits: number): string => value?.toFixed(digits) ?? "";
  const rows = cards.map((card) => [
    `[${card.file}](family/cards/${card.name}.json)`,
    `${(card.parameters / 1e6).toFixed(2)} M`,
    card.type,
    card.steps?.toLocaleString("en") ?? "",
    number(card.validationLoss ?? card.loss, 2),
    number(card.divergence, 1),
    `\`${card.sha256.slice(0, 12)}\``,
  ]);
  return table(["File", "parameters", "type", "steps", "loss", "nats from the reference", "sha256"], rows);
}

const shown = (text: string): string =>
  text === "" ? "(end)" : `"${text.replaceAll("\n", "\\n").replaceAll("|", "\\|")}"`;
const candidates = (row: readonly TokenCandidate[]): string =>
  row.map(({ text, logprob }) => `${shown(text)} ${Math.exp(logprob).toFixed(2)}`).join(", ");

function failureText({ id, task, item, question, expected, failing, right, tokens }: TracedFailure): string {
  const rows = tokens.map(({ token, weights, divergence, top }) => {
    const moved = Object.entries(weights).filter(([, weight]) => weight > 0);
    const targets = Object.values(divergence.targets);
    const meanOf = (side: "forward" | "reverse"): string =>
      score(mean(targets.map((target) => target[side])));
    return [
      shown(token),
      moved.map(([expert, weight]) => `${expert} ${weight.toFixed(2)}`).join(", ") || "0",
      candidates(top.base),
      candidates(top.reference),
      Object.entries(top.experts)
        .filter(([expert]) => moved.length === 0 || expert in Object.fromEntries(moved))
        .map(([expert, row]) => `${expert}: ${candidates(row)}`)
        .join("; "),
      candidates(top.fused),
      `${score(divergence.forward)} / ${score(divergence.reverse)}`,
      `${meanOf("forward")} / ${meanOf("reverse")}`,
    ];
  });
  const header = ["Token", "weight", "base", "reference", "expert", "fused", "moved F / R", "target F / R"];
  return [
    `### ${id[0]?.toUpperCase()}${id.slice(1)}`,
    `Item ${item + 1} of ${task}: “${question}” (${expected})`,
    `- \`${failing.method}\` (${failing.description}): “${failing.answer}”\n` +
      `- \`${right.method}\` (${right.description}): “${right.answer}”`,
    table(header, rows),
    `The last token is where it goes wrong: \`${right.method}\` says ${shown(right.token)} there.`,
  ].join("\n\n");
}

const failureTexts = (): string => (read(failuresPath) as TracedFailure[]).map(failureText).join("\n\n");

interface Section {
  file: string;
  name: string;
  content: string;
}

/** Every section that is made from what was measured, and the file that it is in. */
export function resultSections(): Section[] {
  const evaluation = path.join(root, "docs/evaluation.md");
  const card = path.join(root, "models/README.md");
  const several = path.join(root, "docs/several-experts/README.md");
  return [
    { file: readmePath, name: "costs", content: costsTable() },
    { file: readmePath, name: "gains", content: gainsTable() },
    { file: evaluation, name: "family", content: familyShort() },
    { file: evaluation, name: "several", content: severalShort() },
    { file: card, name: "models", content: modelTable() },
    { file: card, name: "failures", content: failureTexts() },
    { file: card, name: "report", content: familyFull() },
    { file: several, name: "targets", content: severalTargets() },
    { file: several, name: "rules", content: rulesText() },
    { file: several, name: "report", content: severalFull() },
    ...oversightSections(),
  ];
}

/** Those and every section that is made from the program itself: what `npm run docs` writes. */
export async function allSections(): Promise<Section[]> {
  return [
    { file: operationsPath, name: "settings", content: settingsTable() },
    { file: architecturePath, name: "rooms", content: roomsText(await allowedImports()) },
    ...resultSections(),
  ];
}
