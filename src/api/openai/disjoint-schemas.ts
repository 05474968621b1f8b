import type { JsonSchema } from "./json-schema.js";

/** Whether no value fits two branches, as far as types and constant properties tell. */
export function areDisjoint(branches: readonly unknown[]): boolean {
  return branches.every((branch, index) =>
    branches.slice(index + 1).every((other) => excludes(branch as JsonSchema, other as JsonSchema)),
  );
}

function excludes(a: JsonSchema, b: JsonSchema): boolean {
  const [valuesOfA, valuesOfB] = [constantsOf(a), constantsOf(b)];
  if (valuesOfA && valuesOfB) return !valuesOfA.some((value) => valuesOfB.includes(value));
  const [typesOfA, typesOfB] = [a, b].map(
    ({ type }) => new Set([type].flat().map((name) => (name === "integer" ? "number" : name))),
  );
  if (
    typesOfA &&
    typesOfB &&
    !typesOfA.has(undefined) &&
    ![...typesOfB].some((type) => type === undefined || typesOfA.has(type))
  )
    return true;
  const properties = (schema: JsonSchema) =>
    (schema["properties"] ?? {}) as Record<string, JsonSchema | undefined>;
  const isRequired = (schema: JsonSchema, name: string) => [schema["required"]].flat().includes(name);
  return Object.entries(properties(a)).some(([name, property]) => {
    const other = properties(b)[name];
    const isConstant = property && other && constantsOf(property) && constantsOf(other);
    return isConstant && isRequired(a, name) && isRequired(b, name) && excludes(property, other);
  });
}

function constantsOf(schema: JsonSchema): string[] | null {
  if (schema["const"] !== undefined) return [JSON.stringify(schema["const"])];
  return Array.isArray(schema["enum"]) ? schema["enum"].map((value) => JSON.stringify(value)) : null;
}
