import { isObject, refuse, type JsonSchema } from "./json-schema.js";
import { childOf, has, pointerOf, type Located, type SchemaDocument } from "./schema-document.js";

/** Branches of which a value fits one at least. */
export interface BranchSet {
  keyword: "anyOf" | "oneOf";
  branches: readonly Located[];
  path: string;
  key: string;
}

/** Something that a value has to fit. */
export type Condition = Located | BranchSet;

/** A schema by itself: what it refers to and what its branches say is told apart from it. */
export interface Atom extends Located {
  schema: JsonSchema;
}

export interface Conditions {
  atoms: Atom[];
  branchSets: BranchSet[];
  /** No value fits. */
  isNever: boolean;
}

/** Says what is not held to, or refuses it. */
export type Widen = (path: string, why: string) => void;

const isBranchSet = (condition: Condition): condition is BranchSet => "branches" in condition;

/** All that a value has to fit at once, with references followed and `allOf` taken apart. */
export function conditionsOf(
  given: readonly Condition[],
  document: SchemaDocument,
  widen: Widen,
): Conditions {
  const found: Conditions = { atoms: [], branchSets: [], isNever: false };
  const seen = new Set<string>();
  const open = [...given].reverse();
  for (let next = open.pop(); next !== undefined; next = open.pop()) {
    if (seen.has(next.key)) continue;
    seen.add(next.key);
    if (isBranchSet(next)) found.branchSets.push(next);
    else if (next.schema === false) found.isNever = true;
    else if (next.schema !== true) {
      const parts = partsOf(next, found, { document, widen });
      open.push(...parts.map((part) => ({ ...part, scope: scopeWithin(next) })).reverse());
    }
  }
  return found;
}

/** The scope of what is reached from a schema without a step into the value. */
export const scopeWithin = ({ key, scope = [] }: Located): string[] => [...scope, pointerOf(key)];

/** Whether an atom is, or was reached from, another: what it evaluates is evaluated for that one too. */
export function isWithin(inner: Atom, outer: Atom): boolean {
  const pointer = pointerOf(outer.key);
  return pointerOf(inner.key) === pointer || (inner.scope?.includes(pointer) ?? false);
}

function partsOf(
  located: Located,
  found: Conditions,
  { document, widen }: { document: SchemaDocument; widen: Widen },
): Located[] {
  const { schema, path, key } = located;
  if (!isObject(schema)) throw refuse(path, "expected a schema");
  found.atoms.push({ ...located, schema });
  const parts: Located[] = [];
  for (const keyword of ["$ref", "$dynamicRef"]) {
    if (!has(located, keyword)) continue;
    const reference = schema[keyword];
    if (typeof reference !== "string") throw refuse(`${path}.${keyword}`, "expected a text");
    const target = keyword === "$ref" ? document.find(reference, located) : document.findDynamic(reference);
    if (target) parts.push(target);
    else if (reference.startsWith("#") && keyword === "$ref")
      throw refuse(`${path}.$ref`, "it points to nothing");
    else widen(`${path}.${keyword}`, "it points to nothing here");
  }
  if (has(located, "allOf")) parts.push(...branchesOf(located, "allOf"));
  for (const keyword of ["anyOf", "oneOf"] as const)
    if (has(located, keyword))
      found.branchSets.push({
        keyword,
        branches: branchesOf(located, keyword).map((branch) => ({ ...branch, scope: scopeWithin(located) })),
        path: `${path}.${keyword}`,
        key: `${key}/${keyword}`,
      });
  return parts;
}

function branchesOf(located: Located, keyword: string): Located[] {
  const branches = (located.schema as JsonSchema)[keyword];
  if (!Array.isArray(branches) || branches.length === 0)
    throw refuse(`${located.path}.${keyword}`, "expected a list of schemas");
  return branches.map((_, index) => childOf(located, keyword, index));
}

/** The schemas that the atoms have at a keyword, each a condition. */
export function schemasAt(atoms: readonly Atom[], keyword: string): Located[] {
  return atoms.filter((atom) => has(atom, keyword)).map((atom) => childOf(atom, keyword));
}

/** The values of a keyword, where an atom has one. */
export function valuesAt(atoms: readonly Atom[], keyword: string): { value: unknown; path: string }[] {
  return atoms
    .filter((atom) => has(atom, keyword))
    .map(({ schema, path }) => ({ value: schema[keyword], path: `${path}.${keyword}` }));
}

const applied = ["$ref", "$dynamicRef", "allOf", "anyOf", "oneOf"];

/** What is left of an atom whose references and branches are conditions of their own by now, and another keyword too. */
export function withoutKeywords(atom: Atom, keyword?: string): Atom {
  const left = Object.entries(atom.schema).filter(([name]) => name !== keyword && !applied.includes(name));
  return {
    ...atom,
    schema: Object.fromEntries(left),
    key: `${atom.key}~${keyword === undefined ? "" : "~"}`,
  };
}
