import { readFileSync } from "node:fs";
import path from "node:path";
import type { AuditReport, Conflict } from "../src/evaluation/audit/conflict.js";
import { fixed, markdownTable, signed } from "../src/evaluation/markdown.js";
import { root } from "./generated-docs.js";

/** The tables of docs/oversight.md, from what `write-oversight.ts` has measured. */

export const oversightReport = path.join(root, "models/oversight/report.json");

/** The audits that docs/oversight.md tells of. */
export interface Oversight {
  pairs: AuditReport[];
  planted: AuditReport;
  /** Whether scores alone tell the planted two apart. */
  apart: { methods: string[]; onlyFirst: number; onlySecond: number; p: number };
}

const oversight = (): Oversight => JSON.parse(readFileSync(oversightReport, "utf8")) as Oversight;

const conflictCells = ({ tax, dilution, regions, share, baseRate, excess, p }: Conflict): string[] => [
  `${signed(tax.value)} (${signed(tax.low)} to ${signed(tax.high)})`,
  signed(dilution.value),
  String(regions.checked.lost + regions.unchecked.lost),
  fixed(share),
  fixed(baseRate),
  signed(excess),
  p === null ? "" : p < 0.001 ? p.toExponential(0) : fixed(p),
];
const conflictHead = ["tax", "lowering alone", "lost", "share", "base rate", "excess", "p"];
const additions = ({ conflicts }: AuditReport): Conflict[] =>
  conflicts.filter(({ method }) => method.startsWith("with "));

/** What each shipped expert costs each other one. */
function pairsTable(): string {
  const rows = oversight().pairs.flatMap((report) =>
    additions(report).map((conflict) => [
      `${report.objective} ${conflict.method.replace("with ", "+ ")}`,
      ...conflictCells(conflict),
    ]),
  );
  return markdownTable(["Shipped experts", ...conflictHead], rows);
}

/** The same of the planted two, and whether a contested token would have told. */
function plantedTable(): string {
  const { planted, apart } = oversight();
  const rows = additions(planted).map((conflict) => {
    const { method, contested } = conflict;
    const told =
      contested === null
        ? ["", ""]
        : [`${contested.lost} of ${contested.ofLost}`, `${contested.kept} of ${contested.ofKept}`];
    return [method.replace("with ", "+ "), ...conflictCells(conflict), ...told];
  });
  const head = ["Planted", ...conflictHead, "contested, of lost", "of kept"];
  const [first = "", second = ""] = apart.methods.map((method) => method.replace("with ", ""));
  return (
    `${markdownTable(head, rows)}\n\nScores alone do not tell the two apart: ${apart.onlyFirst} items are wrong with the ${first} only, ` +
    `${apart.onlySecond} with the ${second} only (McNemar's p ${fixed(apart.p)}).`
  );
}

/** Whether a voucher for every token means that an answer is right. */
function vouchedTable(): string {
  const rows = oversight().pairs.flatMap(({ vouched }) =>
    vouched
      .filter(({ method }) => method === "alone")
      .map(({ task, all, notAll, baseOnly, notBaseOnly }) => [
        task,
        ...[all, notAll, baseOnly, notBaseOnly].map(({ items, right }) =>
          items === 0 ? "" : `${fixed(right / items)} of ${items}`,
        ),
      ]),
  );
  return markdownTable(
    [
      "Right",
      "every token somebody's own best",
      "some token nobody's",
      "some token only the base's",
      "no such token",
    ],
    rows,
  );
}

export function oversightSections(): { file: string; name: string; content: string }[] {
  const file = path.join(root, "docs/oversight.md");
  return [
    { file, name: "pairs", content: pairsTable() },
    { file, name: "planted", content: plantedTable() },
    { file, name: "vouched", content: vouchedTable() },
  ];
}
