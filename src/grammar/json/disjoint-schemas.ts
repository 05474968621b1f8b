import type { GrammarBuilder } from "./grammar-builder.js";
import { isObject, type JsonSchema } from "./json-schema.js";

/** What tells a branch's values from those of others. */
interface Branch {
  /** Its constants as JSON; null: it has more than constants. */
  constants: ReadonlySet<string> | null;
  /** null: any. */
  types: ReadonlySet<unknown> | null;
  /** Required properties that are constants, by name. */
  marks: ReadonlyMap<string, ReadonlySet<string>>;
  /** What comparing it with another takes. */
  work: number;
}

/**
 * Whether no value fits two branches, as far as types and constant properties tell.
 *
 * @param builder whose work each look at a pair counts as
 */
export function areDisjoint(branches: readonly unknown[], builder: GrammarBuilder): boolean {
  const told = branches.map(branchOf);
  const seen = new Set<string>();
  const others: Branch[] = [];
  for (const branch of told) {
    if (branch.constants === null) others.push(branch);
    for (const value of branch.constants ?? []) {
      if (seen.has(value)) return false;
      seen.add(value);
    }
  }
  return others.every((branch, index) =>
    // Constants are told from each other by now.
    [...others.slice(index + 1), ...told.filter(({ constants }) => constants !== null)].every((other) => {
      builder.spend(branch.work);
      return excludes(branch, other);
    }),
  );
}

function excludes(a: Branch, b: Branch): boolean {
  const { types } = b;
  if (a.types !== null && types !== null && ![...a.types].some((type) => types.has(type))) return true;
  return [...a.marks].some(([name, values]) => {
    const other = b.marks.get(name);
    return other !== undefined && ![...values].some((value) => other.has(value));
  });
}

function branchOf(schema: unknown): Branch {
  if (!isObject(schema)) return { constants: null, types: null, marks: new Map(), work: 1 };
  const types = [schema["type"]].flat().map((name) => (name === "integer" ? "number" : name));
  const properties = isObject(schema["properties"]) ? schema["properties"] : {};
  const required = [schema["required"]].flat();
  const marks = new Map<string, ReadonlySet<string>>();
  let work = 1;
  for (const name of new Set(required)) {
    if (typeof name !== "string" || !Object.hasOwn(properties, name)) continue;
    const constants = constantsOf(properties[name]);
    if (constants === null) continue;
    marks.set(name, constants);
    work += constants.size;
  }
  return {
    constants: constantsOf(schema),
    types: types.includes(undefined) ? null : new Set(types),
    marks,
    work,
  };
}

function constantsOf(schema: unknown): ReadonlySet<string> | null {
  if (!isObject(schema)) return null;
  const { const: value, enum: values } = schema as JsonSchema;
  if (value !== undefined) return new Set([JSON.stringify(value)]);
  return Array.isArray(values) ? new Set(values.map((one) => JSON.stringify(one))) : null;
}
