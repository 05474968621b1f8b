import { isWithin, schemasAt, valuesAt, type Atom } from "./conditions.js";
import type { SchemaWriter } from "./schema-writer.js";
import { countAt, mostRepetitions, refuse } from "./json-schema.js";
import { childOf, has, type Located } from "./schema-document.js";

/** Arrays of a schema as GBNF. */

/** @returns null: no array fits. */
export function arrayRule(atoms: readonly Atom[], writer: SchemaWriter): string | null {
  const least = Math.max(0, ...counts(atoms, "minItems"));
  let most = Math.min(Infinity, ...counts(atoms, "maxItems"));
  const prefix = prefixOf(atoms);
  const { first, least: leastFirst } = containedOf(atoms, prefix.length, writer);
  const places = Math.max(prefix.length, first.length);
  const rules: string[] = [];
  for (let place = 0; place < places && rules.length === place; place++) {
    const rule = itemRule([...itemsAt(atoms, place), ...(first[place] ?? [])], writer);
    if (rule === null) most = Math.min(most, place);
    else rules.push(rule);
  }
  const rest = most > places ? itemRule(itemsAt(atoms, places), writer) : null;
  if (rest === null) most = Math.min(most, places);
  const fewest = Math.max(least, leastFirst);
  if (fewest > most) return null;
  refuseDoubles(atoms, most, writer);
  return written({ rules, rest, least: fewest, most }, atoms, writer);
}

function counts(atoms: readonly Atom[], keyword: string): number[] {
  return valuesAt(atoms, keyword).map(({ value, path }) => countAt(value, path));
}

function itemRule(conditions: readonly Located[], writer: SchemaWriter): string | null {
  const { value, list } = writer.notation;
  const rule = conditions.length === 0 ? value : writer.visit(conditions);
  return rule && list.item(rule);
}

/** Schemas by place, where an atom names places; before 2020 `items` could be a list. */
function listOf(atom: Atom): { keyword: string; length: number } | null {
  for (const keyword of ["prefixItems", "items"]) {
    const list = atom.schema[keyword];
    if (Array.isArray(list)) return { keyword, length: list.length };
  }
  if (has(atom, "prefixItems")) throw refuse(`${atom.path}.prefixItems`, "expected a list of schemas");
  return null;
}

function prefixOf(atoms: readonly Atom[]): { length: number } {
  return { length: Math.max(0, ...atoms.map((atom) => listOf(atom)?.length ?? 0)) };
}

/** What is said of the item at a place. */
function itemsAt(atoms: readonly Atom[], place: number): Located[] {
  return atoms.flatMap((atom) => {
    const list = listOf(atom);
    if (list !== null && place < list.length) return [childOf(atom, list.keyword, place)];
    const others = list?.keyword === "items" ? "additionalItems" : "items";
    if (has(atom, others)) return [childOf(atom, others)];
    const isEvaluated = () => atoms.some((other) => isWithin(other, atom) && evaluates(other, place));
    return has(atom, "unevaluatedItems") && !isEvaluated() ? [childOf(atom, "unevaluatedItems")] : [];
  });
}

function evaluates(atom: Atom, place: number): boolean {
  const list = listOf(atom);
  return place < (list?.length ?? 0) || has(atom, list?.keyword === "items" ? "additionalItems" : "items");
}

/** `contains`, where it can be held to by the first items: what they have to fit besides. */
function containedOf(
  atoms: readonly Atom[],
  numPrefix: number,
  { widen }: SchemaWriter,
): { first: Located[][]; least: number } {
  const wanted = atoms.filter((atom) => has(atom, "contains"));
  const first: Located[][] = [];
  let least = 0;
  for (const atom of wanted) {
    const [count = 1] = counts([atom], "minContains");
    const path = `${atom.path}.contains`;
    if (has(atom, "maxContains")) widen(`${atom.path}.maxContains`, "items that fit are not counted");
    if (count === 0) continue;
    if (numPrefix > 0 || wanted.length > 1 || count > mostRepetitions) {
      widen(path, "an answer is held to what its first items contain, and these have schemas of their own");
      continue;
    }
    least = count;
    for (let place = 0; place < count; place++) first.push(schemasAt([atom], "contains"));
  }
  return { first, least };
}

function refuseDoubles(atoms: readonly Atom[], most: number, { widen }: SchemaWriter): void {
  if (most <= 1) return;
  for (const { value, path } of valuesAt(atoms, "uniqueItems"))
    if (value === true) widen(path, "items are not compared with each other");
}

interface Items {
  /** Of the first items, one each. */
  rules: readonly string[];
  /** Of all others; null: there are none. */
  rest: string | null;
  least: number;
  most: number;
}

function written(
  { rules, rest, least, most }: Items,
  atoms: readonly Atom[],
  { widen, notation: { comma, list } }: SchemaWriter,
): string {
  if (least > mostRepetitions)
    throw refuse(valuesAt(atoms, "minItems")[0]?.path ?? "", `at most ${mostRepetitions}`);
  let bound: number | null = most === Infinity ? null : most;
  if (bound !== null && bound > mostRepetitions) {
    for (const { path } of valuesAt(atoms, "maxItems")) widen(path, "no answer is counted so far");
    bound = null;
  }
  // From the last item on: what may follow each.
  let tail = "";
  if (rest !== null) {
    const from = Math.max(0, least - rules.length);
    const to = bound === null ? null : bound - rules.length;
    if (to !== 0)
      tail = rules.length > 0 ? `(${comma} ${rest}){${from},${to ?? ""}}` : alone(rest, comma, { from, to });
  }
  for (let place = Math.min(rules.length, bound ?? Infinity) - 1; place >= 0; place--) {
    const item = `${place > 0 ? `${comma} ` : ""}${rules[place] as string} ${tail}`;
    tail = place < least ? item : `(${item})?`;
  }
  return `${list.opening} ${tail} ${list.closing}`;
}

function alone(item: string, comma: string, { from, to }: { from: number; to: number | null }): string {
  const rest = `(${comma} ${item}){${Math.max(0, from - 1)},${to === null ? "" : to - 1}}`;
  const items = `${item} ${to === 1 ? "" : rest}`;
  return from === 0 ? `(${items})?` : items;
}
