import { ShouldersError } from "../errors.js";
import { type Comparison, compareRuns, readRun } from "../evaluation/compare-runs.js";
import { renderTable, visible } from "./table.js";

/** `folder` or `folder:method`; a method's name has no slash, and a drive's letter is no folder. */
function parseRunArgument(argument: string): { folder: string; method: string | null } {
  const found = /^(.{2,}?):([^/\\]+)$/.exec(argument);
  return found === null
    ? { folder: argument, method: null }
    : { folder: found[1] ?? "", method: found[2] ?? "" };
}

const signed = (value: number): string => (value > 0 ? "+" : "") + value.toFixed(3);

function verdictOf({ p, low, high }: Comparison): string {
  if (p !== null) return p < 0.05 ? "differ" : "may be chance";
  return low > 0 || high < 0 ? "differ" : "may be chance";
}

const short = (text: string | null): string => {
  const line = visible(text ?? "");
  return line.length > 60 ? `${line.slice(0, 59)}…` : line;
};

/**
 * `shoulders compare BEFORE AFTER`: two runs of `eval` item by item.
 * @throws ShouldersError `evaluation_invalid`, `settings_invalid`
 */
export function compare(before: string, after: string, { changed }: { changed: string }): number {
  if (!/^\d+$/.test(changed))
    throw new ShouldersError(
      "settings_invalid",
      `--changed: "${changed}" is not allowed; give a number from 0`,
    );
  const [first, second] = [parseRunArgument(before), parseRunArgument(after)];
  const method = first.method ?? second.method;
  const methods = method === null ? null : ([first.method ?? method, second.method ?? method] as const);
  const comparisons = compareRuns(readRun(first.folder), readRun(second.folder), { methods, seed: 1 });
  const rows = comparisons.map((one) => [
    one.task,
    one.methods[0] === one.methods[1] ? one.methods[0] : `${one.methods[0]} → ${one.methods[1]}`,
    String(one.items),
    one.before.toFixed(3),
    one.after.toFixed(3),
    `${signed(one.low)} to ${signed(one.high)}`,
    String(one.better),
    String(one.worse),
    one.p === null ? "" : one.p.toPrecision(2),
    verdictOf(one),
  ]);
  const left = { align: "left" } as const;
  const right = { align: "right" } as const;
  const head = [
    { header: "task", ...left },
    { header: "method", ...left },
    ...["items", "before", "after", "95 % of the difference", "better", "worse", "p"].map((header) => ({
      header,
      ...right,
    })),
    { header: "", ...left },
  ];
  process.stdout.write(renderTable(head, rows));
  const most = Number(changed);
  for (const one of comparisons) process.stdout.write(changedText(one, most));
  return 0;
}

function changedText({ task, methods, changed }: Comparison, most: number): string {
  if (changed.length === 0 || most === 0) return "";
  const rows = changed
    .slice(0, most)
    .map(({ item, before, after }) => [
      String(item + 1),
      `${before.score.toFixed(2)} → ${after.score.toFixed(2)}`,
      short(before.answer),
      short(after.answer),
    ]);
  const head = [
    { header: "item", align: "right" },
    { header: "score", align: "left" },
    { header: "before", align: "left" },
    { header: "after", align: "left" },
  ] as const;
  const rest = changed.length > most ? `and ${changed.length - most} more (--changed N shows them)\n` : "";
  return `\n${task}, ${methods[1]}: what changed\n${renderTable(head, rows)}${rest}`;
}
