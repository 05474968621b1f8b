import { mean } from "simple-statistics";
import type { AnswerLine } from "../answers-file.js";
import { type Interval, bootstrapInterval, fisherExact } from "../statistics.js";
import { auditNames } from "./methods.js";

/** What adding an expert costs another one's objective, and whether it costs where nobody looks. */

/** A mean difference with its 95 % interval over the same items. */
export interface Difference extends Interval {
  value: number;
}

/**
 * Where an item lies: the objective's expert by itself is right about it (`checked`) or not (`unchecked`), of items that
 * are known to be answerable; all others are `beyond`.
 */
export type Region = "checked" | "unchecked" | "beyond";

export interface RegionCounts {
  items: number;
  /** Right without what was added: what could be lost. */
  right: number;
  lost: number;
  gained: number;
}

export interface ChangedItem {
  kind: "lost" | "gained";
  region: Region;
  without: AnswerLine;
  with: AnswerLine;
}

export interface Conflict {
  task: string;
  /** Name of the method that has something added. */
  method: string;
  /** Items that all were scored on. */
  items: number;
  without: number;
  with: number;
  /** Score without minus score with: above 0 the addition costs something. */
  tax: Difference;
  /** What lowering the weight by as much costs, with nobody added. */
  dilution: Difference;
  regions: Record<Region, RegionCounts>;
  /** Share of what is lost (checked and unchecked) that the expert cannot check; null where nothing is lost. */
  share: number | null;
  /** The same share of all that could be lost; null where nothing could. */
  baseRate: number | null;
  excess: number | null;
  /** Fisher's exact test of lost against kept, unchecked against checked; null where nothing is lost. */
  p: number | null;
  /** How many of the lost and of the kept answers have a contested token; null where tokens were not kept. */
  contested: { lost: number; ofLost: number; kept: number; ofKept: number } | null;
  changed: ChangedItem[];
}

/** Answers of a kind, and how many of them are right. */
export interface Share {
  items: number;
  right: number;
}

/** The answers of a method by who stands behind their tokens. */
export interface Vouched {
  task: string;
  method: string;
  /** Every token is somebody's own best. */
  all: Share;
  /** Some token is nobody's. */
  notAll: Share;
  /** Some token is the base's own best and no expert's. */
  baseOnly: Share;
  notBaseOnly: Share;
}

export interface AuditReport {
  hardware: string;
  /** ISO 8601, UTC. */
  date: string;
  command: string;
  config: string;
  objective: string;
  /** Method to what it is. */
  methods: Record<string, string>;
  /** Who tells what is to be known; null: the base's sure answers. */
  ceiling: string | null;
  conflicts: Conflict[];
  vouched: Vouched[];
}

type Scored = AnswerLine & { score: number };
const isScored = (line: AnswerLine | undefined): line is Scored =>
  line !== undefined && line.error === null && line.score !== null;
const isRight = ({ score }: Scored): boolean => score >= 0.5;

const noCounts = (): RegionCounts => ({ items: 0, right: 0, lost: 0, gained: 0 });

/** The base counts as sure of an answer that it gives this much a token (geometric mean) when it reads it. */
export const sureBase = 0.5;

/**
 * What the base gives the tokens of an answer, as a geometric mean; null: nobody knows. The token that ends it, and what
 * a stop string took away, are form and not counted.
 */
export function baseSureness({ answer, steps }: AnswerLine): number | null {
  if (steps === null || answer === null) return null;
  const logprobs: number[] = [];
  let length = 0;
  for (const { text, logprob, logRatio } of steps) {
    if (length >= answer.length) break;
    length += text.length;
    logprobs.push(logRatio === null ? -Infinity : logprob - logRatio);
  }
  return logprobs.length === 0 ? null : Math.exp(mean(logprobs));
}

/** One item's answers. */
interface Row {
  without: Scored;
  with: Scored;
  diluted: Scored;
  region: Region;
}

function rowsOf(methods: ReadonlyMap<string, AnswerLine[]>, method: string): Row[] {
  const byItem = (name: string) => new Map((methods.get(name) ?? []).map((line) => [line.item, line]));
  const [added, diluted, expert] = [method, auditNames.diluted, auditNames.expert].map(byItem);
  const ceiling = methods.has(auditNames.ceiling) ? byItem(auditNames.ceiling) : null;
  return (methods.get(auditNames.alone) ?? []).flatMap((without): Row[] => {
    const { item } = without;
    const rest = [added?.get(item), diluted?.get(item), expert?.get(item)];
    const [more, less, small] = rest;
    if (!isScored(without) || !isScored(more) || !isScored(less) || !isScored(small)) return [];
    const known = ceiling?.get(item);
    if (ceiling !== null && !isScored(known)) return [];
    const isKnown = isScored(known) ? isRight(known) : (baseSureness(without) ?? 1) >= sureBase;
    const region = !isKnown ? "beyond" : isRight(small) ? "checked" : "unchecked";
    return [{ without, with: more, diluted: less, region }];
  });
}

function difference(rows: readonly Row[], other: "with" | "diluted", seed: number): Difference {
  const values = rows.map((row) => row.without.score - row[other].score);
  return { value: mean(values), ...bootstrapInterval(values, seed) };
}

function contestedAmong(rows: readonly Row[]): Conflict["contested"] {
  const counts = { lost: 0, ofLost: 0, kept: 0, ofKept: 0 };
  for (const row of rows.filter(({ without }) => isRight(without))) {
    const { steps } = row.with;
    if (steps === null) return null;
    const isContested = steps.some(({ contested }) => contested !== null);
    const [kind, of] = isRight(row.with) ? (["kept", "ofKept"] as const) : (["lost", "ofLost"] as const);
    counts[of]++;
    if (isContested) counts[kind]++;
  }
  return counts;
}

/** @returns null where no item was scored by all. */
export function conflictOf(
  task: string,
  methods: ReadonlyMap<string, AnswerLine[]>,
  method: string,
  seed: number,
): Conflict | null {
  const rows = rowsOf(methods, method);
  if (rows.length === 0) return null;
  const regions = { checked: noCounts(), unchecked: noCounts(), beyond: noCounts() };
  const changed: ChangedItem[] = [];
  for (const { without, with: added, region } of rows) {
    const counts = regions[region];
    const [was, is] = [isRight(without), isRight(added)];
    counts.items++;
    if (was) counts.right++;
    if (was === is) continue;
    const kind = was ? "lost" : "gained";
    counts[kind]++;
    changed.push({ kind, region, without, with: added });
  }
  const { checked, unchecked } = regions;
  const [lost, right] = [checked.lost + unchecked.lost, checked.right + unchecked.right];
  const share = lost === 0 ? null : unchecked.lost / lost;
  const baseRate = right === 0 ? null : unchecked.right / right;
  return {
    ...{ task, method, items: rows.length },
    without: mean(rows.map((row) => row.without.score)),
    with: mean(rows.map((row) => row.with.score)),
    tax: difference(rows, "with", seed),
    dilution: difference(rows, "diluted", seed),
    ...{ regions, share, baseRate },
    excess: share === null || baseRate === null ? null : share - baseRate,
    p:
      lost === 0
        ? null
        : fisherExact(
            unchecked.lost,
            checked.lost,
            unchecked.right - unchecked.lost,
            checked.right - checked.lost,
          ),
    contested: contestedAmong(rows),
    changed,
  };
}

/** @returns null where tokens were not kept. */
export function vouchedOf(task: string, method: string, lines: readonly AnswerLine[]): Vouched | null {
  const none = (): Share => ({ items: 0, right: 0 });
  const found = { all: none(), notAll: none(), baseOnly: none(), notBaseOnly: none() };
  for (const line of lines.filter(isScored)) {
    const { steps } = line;
    if (steps === null) return null;
    const has = (voucher: string) => steps.some(({ vouch }) => vouch === voucher);
    for (const share of [
      found[has("nobody") ? "notAll" : "all"],
      found[has("base") ? "baseOnly" : "notBaseOnly"],
    ]) {
      share.items++;
      if (isRight(line)) share.right++;
    }
  }
  return { task, method, ...found };
}
