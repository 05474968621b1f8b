import type { TokenRecord } from "../wire/token-record.js";
import type { Style } from "./style.js";
import { type Cell, type Column, renderTable, visible } from "./table.js";

/** A token as one can see it: quoted, because a leading space is part of it. */
const quoted = (text: string): string => `"${visible(text)}"`;

/** What the base would have said; nothing where it was not asked. */
function baseAlone({ flipped, base_token }: TokenRecord, style: Style): Cell {
  if (base_token === null) return { text: "not asked", style: style.dim };
  return flipped ? { text: quoted(base_token.text), style: String } : { text: "same", style: style.dim };
}

/** 16 steps wide for a weight of 2 and more. */
const bar = (weight: number): string => "█".repeat(Math.round(Math.min(Math.abs(weight), 2) * 8));

/** What decided a token, in words; a grammar and a set are shown although nothing may have moved. */
const decisionWords: Record<TokenRecord["decided_by"], string> = {
  grammar: "grammar",
  certain: "certain",
  base: "base",
  plausible_set: "plausible set",
  weight: "weight",
};

/**
 * One line a token: what was said and how probable it was, what the base would have said, what decided it, how far the
 * base was moved (nats), and how much of each expert's shift was added; the expert that moved the row most colours its weight.
 */
export function renderTrace(
  records: readonly TokenRecord[],
  expertIds: readonly string[],
  style: Style,
): string {
  const columns: Column[] = [
    { header: "position", align: "right" },
    { header: "token", align: "left" },
    { header: "p", align: "right" },
    { header: "base alone", align: "left" },
    { header: "by", align: "left" },
    { header: "nats", align: "right" },
    ...expertIds.flatMap((id): Column[] => [
      { header: id, align: "right" },
      { header: "", align: "left" },
    ]),
  ];
  const rows = records.map((record) => {
    const chosen = record.chosen === null ? -1 : expertIds.indexOf(record.chosen);
    const dress = (text: string): string => (chosen < 0 ? text : style.expert(chosen, text));
    const weights = expertIds.flatMap((id, index): Cell[] => {
      const weight = record.weights[id] ?? 0;
      const weightStyle = weight === 0 ? style.dim : (text: string) => style.expert(index, text);
      return [
        { text: weight.toFixed(2), style: weightStyle },
        { text: bar(weight), style: weightStyle },
      ];
    });
    return [
      { text: String(record.position), style: style.dim },
      { text: quoted(record.token.text), style: record.flipped ? dress : String },
      Math.exp(record.logprob).toFixed(3),
      baseAlone(record, style),
      { text: decisionWords[record.decided_by], style: style.dim },
      { text: record.nats?.toFixed(2) ?? "", style: style.dim },
      ...weights,
    ];
  });
  return renderTable(columns, rows);
}
