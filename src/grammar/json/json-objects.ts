import { both, isEmpty, type Automaton, type Spend } from "../regular/automaton.js";
import { NotRegular } from "../regular/expression.js";
import { isWithin, schemasAt, scopeWithin, valuesAt, withoutKeywords, type Atom } from "./conditions.js";
import { literal } from "./grammar-builder.js";
import { bareName } from "./notation.js";
import type { ObjectLayout, SchemaWriter } from "./schema-writer.js";
import { countAt, isObject, objectAt, refuse } from "./json-schema.js";
import { matches } from "./json-values.js";
import { childOf, has, type Located } from "./schema-document.js";

/** Objects of a schema as GBNF. Named properties are written in their order; others only where none is named. */

/** Between braces, as the notation writes names and values. */
export function bracedLayout(writer: SchemaWriter): ObjectLayout {
  const { notation } = writer;
  const { comma, colon, hasQuotedNames, anyName } = notation;
  const valueRule = (conditions: readonly Located[]) =>
    conditions.length === 0 ? notation.value : writer.visit(conditions);
  return {
    opening: `"{"`,
    comma,
    closing: `"}"`,
    empty: `"{}"`,
    member: (name, conditions) => {
      const rule = valueRule(conditions);
      const written = hasQuotedNames ? notation.constant(name) : literal(name);
      const key = notation.texts.length > 1 ? `(${written})` : written;
      return rule === null ? null : `${key} ${colon} ${rule}`;
    },
    other: (names, conditions) => {
      const value = valueRule(conditions);
      const isFree = names.length === 0 || !hasQuotedNames;
      if (names.length > 0 && isFree)
        for (const { path } of names) writer.widen(path, "names are written without quotes");
      const key = isFree ? anyName : writer.visit([textSchema, ...names]);
      if (key === null || value === null) return [];
      return [isFree ? `${key} ${value}` : `${key} ${colon} ${value}`];
    },
  };
}

/** As elements, each behind a mark that its value ends with, too. */
export function elementLayout(writer: SchemaWriter, mark: string): ObjectLayout {
  const { notation } = writer;
  const valueRule = (conditions: readonly Located[]) =>
    conditions.length === 0 ? notation.value : writer.visit(conditions);
  return {
    ...{ opening: `""`, comma: `""`, closing: `""`, empty: `""` },
    member: (name, conditions) => {
      const rule = valueRule(conditions);
      return rule === null ? null : `${literal(`${mark}<${name}>`)} ${rule} ${literal(`</${name}>`)}`;
    },
    other: (names, conditions) => {
      for (const { path } of names) writer.widen(path, "names are written without quotes");
      const rule = valueRule(conditions);
      return rule === null ? [] : [`${literal(`${mark}<`)} ${bareName} ">" ${rule} "</" ${bareName} ">"`];
    },
  };
}

/** Any text. */
export const textSchema: Located = { schema: { type: "string" }, path: "", key: "~string" };

interface Member {
  name: string;
  isRequired: boolean;
  text: string;
}

/** @returns null: no object fits. */
export function objectRule(atoms: readonly Atom[], writer: SchemaWriter): string | null {
  const { names, required } = namesOf(atoms);
  const dependents = atoms.flatMap((atom) => dependentSchemas(atom, names));
  if (dependents.length > 0)
    for (const { path } of valuesAt(atoms, "unevaluatedProperties"))
      writer.widen(path, "what depends on a property is written without it, too");
  if (dependents.length > 0)
    return writer.visit([...atoms.map((atom) => withoutKeywords(atom, "dependentSchemas")), ...dependents]);
  if (names.length === 0) return mapRule(atoms, writer);
  const members: Member[] = [];
  for (const name of writer.layout.isSorted ? sorted(names) : names) {
    const isRequired = required.has(name);
    const isAllowed = schemasAt(atoms, "propertyNames").every((located) => writer.fits(name, located));
    const text = isAllowed ? writer.layout.member(name, conditionsFor(name, atoms, writer)) : null;
    if (text !== null) members.push({ name, isRequired, text });
    else if (isRequired) return null;
  }
  const counted = withCount(members, atoms, writer);
  return counted && membersRule(counted, writer);
}

/** As templates sort them. */
function sorted(names: readonly string[]): string[] {
  const keys = new Map(names.map((name) => [name, name.toLowerCase()]));
  const keyOf = (name: string) => keys.get(name) ?? name;
  return [...names].sort((a, b) => (keyOf(a) < keyOf(b) ? -1 : keyOf(a) > keyOf(b) ? 1 : 0));
}

/** All names that the atoms know, and which of them have to be there. */
function namesOf(atoms: readonly Atom[]): { names: string[]; required: Set<string> } {
  const names = new Set<string>();
  const required = new Set<string>();
  for (const { value, path } of valuesAt(atoms, "properties")) {
    for (const name of Object.keys(objectAt(value, path))) names.add(name);
  }
  for (const { value, path } of valuesAt(atoms, "required"))
    namesIn(value, path).forEach((name) => required.add(name));
  for (const name of required) names.add(name);
  // Where a property may be there, so has to be what depends on it.
  const dependencies = valuesAt(atoms, "dependentRequired").flatMap(({ value, path }) =>
    Object.entries(objectAt(value, path)).map(([name, needed]) => ({
      name,
      needed: namesIn(needed, `${path}.${name}`),
    })),
  );
  for (const name of names)
    for (const { needed } of dependencies.filter((one) => one.name === name))
      for (const other of needed) {
        names.add(other);
        required.add(other);
      }
  return { names: [...names], required };
}

function namesIn(value: unknown, path: string): string[] {
  if (!Array.isArray(value)) throw refuse(path, "expected a list of names");
  const at = value.findIndex((name) => typeof name !== "string");
  if (at >= 0) throw refuse(`${path}.${at}`, "expected a name");
  return value as string[];
}

/** What the object itself has to fit where a property is there: all of it, since it may be there. */
function dependentSchemas(atom: Atom, names: readonly string[]): Located[] {
  if (!has(atom, "dependentSchemas")) return [];
  const byName = objectAt(atom.schema["dependentSchemas"], `${atom.path}.dependentSchemas`);
  return names
    .filter((name) => Object.hasOwn(byName, name))
    .map((name) => ({ ...childOf(atom, "dependentSchemas", name), scope: scopeWithin(atom) }));
}

/** What is said of the property of a name. */
function conditionsFor(name: string, atoms: readonly Atom[], writer: SchemaWriter): Located[] {
  return atoms.flatMap((atom) => {
    const found = namedFor(name, atom, writer);
    if (found.length > 0) return found;
    if (has(atom, "additionalProperties")) return [childOf(atom, "additionalProperties")];
    if (!has(atom, "unevaluatedProperties")) return [];
    const isEvaluated = atoms.some(
      (other) =>
        isWithin(other, atom) &&
        (has(other, "additionalProperties") || namedFor(name, other, writer).length > 0),
    );
    return isEvaluated ? [] : [childOf(atom, "unevaluatedProperties")];
  });
}

/** What an atom says of a name: of itself, or of the patterns that it fits. */
function namedFor(name: string, atom: Atom, { builder, patterns, widen }: SchemaWriter): Located[] {
  const { schema, path } = atom;
  const found: Located[] = [];
  if (isObject(schema["properties"]) && Object.hasOwn(schema["properties"], name))
    found.push(childOf(atom, "properties", name));
  for (const pattern of Object.keys(schema["patternProperties"] ?? {})) {
    if (matches(name, pattern, { patterns, spend: builder.spendOnTexts }))
      found.push(childOf(atom, "patternProperties", pattern));
    if (patterns.get(pattern) === null)
      widen(`${path}.patternProperties`, "which names fit its patterns cannot be told");
  }
  return found;
}

/** As many members as there may be: more of them have to be there, or some are left out. */
function withCount(
  members: readonly Member[],
  atoms: readonly Atom[],
  { widen }: SchemaWriter,
): Member[] | null {
  const least = Math.max(
    0,
    ...valuesAt(atoms, "minProperties").map(({ value, path }) => countAt(value, path)),
  );
  const most = Math.min(
    Infinity,
    ...valuesAt(atoms, "maxProperties").map(({ value, path }) => countAt(value, path)),
  );
  if (members.length < least)
    for (const { path } of valuesAt(atoms, "minProperties"))
      widen(path, "only named properties are written, and there are fewer");
  const numRequired = members.filter(({ isRequired }) => isRequired).length;
  if (numRequired > most) return null;
  let spare = most - numRequired;
  let missing = least - numRequired;
  return members.flatMap((member) => {
    if (member.isRequired) return [member];
    if (spare-- <= 0) return [];
    return [{ ...member, isRequired: missing-- > 0 }];
  });
}

/** Members in order; the first that is there has no comma before it. */
function membersRule(members: readonly Member[], { builder, layout }: SchemaWriter): string {
  const { opening, comma, closing, empty } = layout;
  if (members.length === 0) return empty;
  // What may follow each member, from the last one on.
  const tails = [closing];
  for (const { isRequired, text } of [...members].reverse()) {
    const next = tails.at(-1) as string;
    tails.push(builder.rule(isRequired ? `${comma} ${text} ${next}` : `(${comma} ${text})? ${next}`));
  }
  tails.reverse();
  const firstRequired = members.findIndex(({ isRequired }) => isRequired);
  const heads = members.slice(0, firstRequired < 0 ? members.length : firstRequired + 1);
  const starts = heads.map(({ text }, index) => `${text} ${tails[index + 1] as string}`);
  const all = `${opening} (${starts.join(" | ")})`;
  return firstRequired < 0 ? `${all} | ${empty}` : all;
}

/** Objects whose properties have no names of their own. */
function mapRule(atoms: readonly Atom[], writer: SchemaWriter): string | null {
  const [least, most] = [
    Math.max(0, ...valuesAt(atoms, "minProperties").map(({ value, path }) => countAt(value, path))),
    Math.min(Infinity, ...valuesAt(atoms, "maxProperties").map(({ value, path }) => countAt(value, path))),
  ];
  if (least > most) return null;
  for (const keyword of ["dependentRequired", "dependentSchemas"])
    for (const { value, path } of valuesAt(atoms, keyword))
      if (isObject(value) && Object.keys(value).length > 0)
        writer.widen(path, "any name may be written, since none is named in properties");
  const members = most === 0 ? [] : mapMembers(atoms, writer);
  const { opening, comma, closing, empty } = writer.layout;
  if (members.length === 0) return least > 0 ? null : empty;
  // A key that is written twice counts once.
  if (least > 1)
    for (const { path } of valuesAt(atoms, "minProperties")) writer.widen(path, "keys may be the same");
  const member = members.length === 1 ? (members[0] as string) : `(${members.join(" | ")})`;
  const more = `(${comma} ${member})${most === Infinity || most > 2_000 ? "*" : `{0,${most - 1}}`}`;
  const all = `${opening} ${member} ${more} ${closing}`;
  return least > 0 ? all : `${all} | ${empty}`;
}

/** Key and value, for each way in which a key may be written. */
function mapMembers(atoms: readonly Atom[], writer: SchemaWriter): string[] {
  const names = schemasAt(atoms, "propertyNames");
  const patterned = atoms.flatMap((atom) =>
    has(atom, "patternProperties")
      ? Object.keys(objectAt(atom.schema["patternProperties"], `${atom.path}.patternProperties`)).map(
          (pattern) => ({
            pattern,
            atom,
          }),
        )
      : [],
  );
  if (patterned.length === 0) return writer.layout.other(names, additional(atoms));
  if (
    !areApart(
      patterned.map(({ pattern }) => pattern),
      writer,
    )
  )
    for (const { path } of valuesAt(atoms, "patternProperties").slice(0, 1))
      writer.widen(path, "a name may fit several patterns");
  return patterned.flatMap(({ pattern, atom }) => {
    const key = {
      schema: { pattern },
      path: `${atom.path}.patternProperties.${pattern}`,
      key: `${atom.key}~${pattern}`,
    };
    const value = [
      childOf(atom, "patternProperties", pattern),
      ...additional(atoms.filter((other) => other !== atom)),
    ];
    return writer.layout.other([key, ...names], value);
  });
}

function additional(atoms: readonly Atom[]): Located[] {
  return atoms.flatMap((atom) => {
    const keyword = ["additionalProperties", "unevaluatedProperties"].find((one) => has(atom, one));
    return keyword === undefined ? [] : [childOf(atom, keyword)];
  });
}

function areApart(patterns: readonly string[], { patterns: known, builder }: SchemaWriter): boolean {
  const spend = builder.spendOnTexts;
  const automata = patterns.map((pattern) => {
    matches("", pattern, { patterns: known, spend });
    return known.get(pattern) ?? null;
  });
  return automata.every((one, index) =>
    automata.slice(index + 1).every((other) => isApart(one, other, spend)),
  );
}

function isApart(a: Automaton | null, b: Automaton | null, spend: Spend): boolean {
  if (a === null || b === null) return false;
  try {
    return isEmpty(both(a, b, spend));
  } catch (thrown) {
    if (thrown instanceof NotRegular) return false;
    throw thrown;
  }
}
