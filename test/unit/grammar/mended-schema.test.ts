import { expect, it } from "vitest";
import { mendedSchema } from "../../../src/grammar/json/mended-schema.js";

const mend = (schema: unknown) => {
  const told: string[] = [];
  return { schema: mendedSchema(schema, "s", (path) => told.push(path)), told };
};

it.each<[unknown, unknown]>([
  [{ type: "string", enum: null, format: null, items: null, $ref: null, anyOf: null }, { type: "string" }],
  [{ properties: [], required: {}, patternProperties: null }, { properties: {} }],
  [{ properties: { a: [], b: null, c: { enum: [] } } }, { properties: { a: {}, b: {}, c: {} } }],
  [{ type: "OBJECT", properties: { a: { type: "STRING" } } }, { type: "object", properties: { a: { type: "string" } } }],
  [{ type: ["String", "NULL"] }, { type: ["string", "null"] }],
  [{ type: "dict", properties: { a: { type: "float" }, b: { type: "tuple", items: { type: "int" } } } }, { type: "object", properties: { a: { type: "number" }, b: { type: "array", items: { type: "integer" } } } }],
  [{ type: "any", description: "x" }, { description: "x" }],
  [{ type: "", allOf: [], oneOf: [] }, {}],
  [{ minimum: 3, exclusiveMinimum: true, maximum: 9, exclusiveMaximum: false }, { exclusiveMinimum: 3, maximum: 9 }],
  [{ exclusiveMinimum: true }, {}],
  [[], {}],
  [{ anyOf: [{ type: "STRING" }, { type: "null", enum: null }] }, { anyOf: [{ type: "string" }, { type: "null" }] }],
  [{ $defs: { A: { type: "INTEGER" } }, items: { $ref: "#/$defs/A" } }, { $defs: { A: { type: "integer" } }, items: { $ref: "#/$defs/A" } }],
])("%j says the same as %j", (given, schema) => {
  expect(mend(given)).toEqual({ schema, told: [] });
  expect(mendedSchema(given, "s")).toEqual(schema);
}); // prettier-ignore

it.each([
  { const: null, default: null, enum: [null, []], type: ["string", "null"] },
  {
    items: [],
    prefixItems: [{ type: "string" }],
    additionalProperties: false,
    uniqueItems: true,
    nullable: true,
  },
  {
    properties: { enum: { type: "string" }, required: { const: [] }, type: { enum: ["STRING"] } },
    required: [],
  },
  true,
])("%j stays as it is, but for what asks for nothing", (given) => {
  const { required, ...rest } = given as { required?: unknown };
  expect(mend(given)).toEqual({ schema: given === true ? true : rest, told: [] });
  expect(required ?? []).toEqual([]);
});

it.each<[unknown, string[]]>([
  [{ type: "str1ng" }, ["s.type"]],
  [{ properties: { a: "text", b: { required: true, minLength: "3" } } }, ["s.properties.a", "s.properties.b.required", "s.properties.b.minLength"]],
  [{ properties: "x", required: "a", enum: "b", items: 3, pattern: 3, format: {}, multipleOf: 0, maxItems: -1, minimum: "1" }, ["s.properties", "s.required", "s.enum", "s.items", "s.pattern", "s.format", "s.multipleOf", "s.maxItems", "s.minimum"]],
  [{ anyOf: { a: 1 } }, ["s.anyOf"]],
])("of %j is told what no schema has", (given, told) => {
  expect(mend(given).told).toEqual(told);
  expect(JSON.stringify(mendedSchema(given, "s"))).toBe(JSON.stringify(given));
}); // prettier-ignore
