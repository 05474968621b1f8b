import { writeFileSync } from "node:fs";
import path from "node:path";
import type { Method } from "../methods/method.js";
import type { Results } from "../runner.js";
import { type AuditReport, conflictOf, vouchedOf } from "./conflict.js";
import { renderAuditHtml } from "./html.js";
import { renderAuditMarkdown } from "./markdown.js";
import { auditNames } from "./methods.js";

type Described = Omit<AuditReport, "methods" | "conflicts" | "vouched">;

/** Everything that has something added, in the order in which it was asked. */
const isAddition = ({ name }: Method): boolean =>
  name === auditNames.served || !Object.values<string>(auditNames).includes(name);

export function buildAudit(
  results: Results,
  methods: readonly Method[],
  described: Described,
  seed: number,
): AuditReport {
  const additions = methods.filter(isAddition);
  const tasks = [...results];
  return {
    ...described,
    methods: Object.fromEntries(methods.map(({ name, description }) => [name, description])),
    conflicts: tasks.flatMap(([task, answers]) =>
      additions.flatMap(({ name }) => conflictOf(task, answers, name, seed) ?? []),
    ),
    vouched: tasks.flatMap(([task, answers]) =>
      [auditNames.alone, ...additions.map(({ name }) => name)].flatMap(
        (name) => vouchedOf(task, name, answers.get(name) ?? []) ?? [],
      ),
    ),
  };
}

/** Writes report.json, report.md and report.html. */
export function writeAudit(directory: string, report: AuditReport): void {
  const write = (file: string, text: string) => writeFileSync(path.join(directory, file), text);
  write("report.json", `${JSON.stringify(report, null, 2)}\n`);
  write("report.md", renderAuditMarkdown(report));
  write("report.html", renderAuditHtml(report));
}
