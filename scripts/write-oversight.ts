import { execFileSync } from "node:child_process";
import { readFileSync, writeFileSync } from "node:fs";
import os from "node:os";
import path from "node:path";
import type { AuditReport } from "../src/evaluation/audit/conflict.js";
import { mcNemar } from "../src/verdicts/mcnemar.js";
import { replaceSection, root } from "./generated-docs.js";
import { type Oversight, oversightReport, oversightSections } from "./oversight.js";

/**
 * `npm run build && npx tsx scripts/write-oversight.ts [--out DIR]`: audits each expert of the shipped family against the
 * others, and the recall expert against the two that were planted; writes models/oversight/report.json and the tables of
 * docs/oversight.md. Answers in the folder are found again, so a stopped run goes on.
 */

const experts = ["recall", "problems", "headline", "choice"];
const at = process.argv.indexOf("--out");
const out = at < 0 ? path.join(os.tmpdir(), "shoulders-oversight") : (process.argv[at + 1] ?? "");

function audited(
  config: string,
  objective: string,
  against: readonly string[],
  { task, limit }: { task: string; limit: number },
): AuditReport {
  const folder = path.join(out, `${config}-${objective}`);
  const args = [
    ...["audit", `models/oversight/${config}.json`, "--objective", objective],
    ...["--against", against.join(","), "--tasks", `models/tasks/${task}.jsonl`],
    ...["--limit", String(limit), "--ceiling", `models/family/giant-${objective}.gguf`],
    ...["--concurrency", "32", "--threads", "1"],
  ];
  execFileSync(process.execPath, ["dist/main.js", ...args, "--out", folder], {
    cwd: root,
    stdio: ["ignore", "ignore", "inherit"],
  });
  return JSON.parse(readFileSync(path.join(folder, "report.json"), "utf8")) as AuditReport;
}

/** Whether scores alone tell two additions apart: items that only one of them gets wrong, and McNemar's exact p. */
function apart({ conflicts }: AuditReport, methods: readonly [string, string]): Oversight["apart"] {
  const [first, second] = methods.map((method) => {
    const changed = conflicts.find((conflict) => conflict.method === method)?.changed ?? [];
    const wrong = (kind: string) => changed.filter((one) => one.kind === kind).map((one) => one.with.item);
    return { lost: new Set(wrong("lost")), gained: new Set(wrong("gained")) };
  });
  const only = (one: typeof first, other: typeof first) =>
    [...(one?.lost ?? [])].filter((item) => !other?.lost.has(item)).length +
    [...(other?.gained ?? [])].filter((item) => !one?.gained.has(item)).length;
  const [onlyFirst, onlySecond] = [only(first, second), only(second, first)];
  return { methods: [...methods], onlyFirst, onlySecond, p: mcNemar(onlyFirst, onlySecond) };
}

const planted = audited("planted", "recall", ["deceiver", "spoiler"], { task: "planted", limit: 400 });
const pairs = experts.map((objective) =>
  audited(
    "pairs",
    objective,
    experts.filter((id) => id !== objective),
    { task: objective, limit: 200 },
  ),
);
const kept = (report: AuditReport): Oversight["pairs"][number] => ({
  ...report,
  // Where it was written is no part of how it is made again.
  command: report.command.replace(/ --out \S+/, ""),
  conflicts: report.conflicts.map((conflict) => ({ ...conflict, changed: [] })),
});
const written: Oversight = {
  pairs: pairs.map(kept),
  planted: kept(planted),
  apart: apart(planted, ["with deceiver", "with spoiler"]),
};
writeFileSync(oversightReport, `${JSON.stringify(written, null, 2)}\n`);
for (const { file, name, content } of oversightSections())
  writeFileSync(file, await replaceSection(readFileSync(file, "utf8"), name, content));
