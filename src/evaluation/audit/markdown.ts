import { fixed, markdownTable, signed } from "../markdown.js";
import type { AuditReport, Conflict, Difference, Share } from "./conflict.js";

const interval = ({ value, low, high }: Difference): string =>
  `${signed(value)} (${signed(low)} to ${signed(high)})`;

const percent = ({ items, right }: Share): string =>
  items === 0 ? "" : `${fixed(right / items)} of ${items}`;

/** What an excess says, in words. */
export function verdictOf({ share, excess, p }: Conflict): string {
  if (share === null || excess === null || p === null) return "nothing is lost";
  if (p >= 0.05) return "no excess";
  return excess > 0 ? "lost where the expert cannot check" : "lost where the expert can check";
}

export const auditHead = [
  "Added",
  "score without",
  "with",
  "tax (95 %)",
  "lowering the weight alone",
  "gained",
  "lost",
  "where the expert cannot check",
  "share",
  "base rate",
  "excess",
  "p",
  "",
];

/** A row for each addition. */
export function auditRows({ conflicts }: Pick<AuditReport, "conflicts">): string[][] {
  return conflicts.map((conflict) => {
    const { task, method, tax, dilution, regions, share, baseRate, excess, p } = conflict;
    const { checked, unchecked, beyond } = regions;
    const lost = checked.lost + unchecked.lost;
    return [
      `${method}, on ${task}`,
      fixed(conflict.without),
      fixed(conflict.with),
      interval(tax),
      interval(dilution),
      String(checked.gained + unchecked.gained + beyond.gained),
      String(lost),
      String(unchecked.lost),
      fixed(share),
      fixed(baseRate),
      signed(excess),
      p === null ? "" : p.toPrecision(2),
      verdictOf(conflict),
    ];
  });
}

export const vouchedHead = [
  "Answers",
  "every token somebody's own best: right",
  "some token nobody's: right",
  "some token only the base's: right",
  "none such: right",
];

export function vouchedRows({ vouched }: Pick<AuditReport, "vouched">): string[][] {
  return vouched.map(({ task, method, all, notAll, baseOnly, notBaseOnly }) => [
    `${method}, on ${task}`,
    ...[all, notAll, baseOnly, notBaseOnly].map(percent),
  ]);
}

/** What the columns mean, a line each; `ceiling` as in the report. */
export function auditDefinitions({ objective, ceiling }: AuditReport): string[] {
  return [
    `tax: mean score without what is added, minus with it; the interval is a 95 % bootstrap over the same items.`,
    `lowering the weight alone: what it costs to lower ${objective}'s weight by as much, with nobody added. Where that costs as much, the tax may be dilution, not conflict.`,
    `lost: right without, wrong with, among what is known: ${ceiling === null ? "assumed of items where the base was sure of the answer" : `what ${ceiling} gets right`}. Gained: the other way, among all.`,
    `where the expert cannot check: ${objective} by itself is wrong there.`,
    `share: how much of what is lost lies there. base rate: how much of what could be lost does. A high share says nothing where the base rate is as high.`,
    `excess: share − base rate, with the p of Fisher's exact test. Where nothing is lost there is none.`,
  ];
}

export function renderAuditMarkdown(report: AuditReport): string {
  const { command, hardware, date, config, objective, methods } = report;
  return `# Audit of ${config}: what others cost ${objective}

\`${command}\`

${hardware}; ${date.slice(0, 16).replace("T", " ")} UTC.

${markdownTable(auditHead, auditRows(report))}

${auditDefinitions(report)
  .map((line) => `- ${line}`)
  .join("\n")}

## Who stands behind the tokens

${markdownTable(vouchedHead, vouchedRows(report))}

## What was asked

${Object.entries(methods)
  .map(([name, description]) => `- \`${name}\`: ${description}`)
  .join("\n")}

\`report.html\` shows each item that was lost or gained, with both answers token by token.
`;
}
