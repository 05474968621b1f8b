import { Ajv } from "ajv";
import formats from "ajv-formats";
import fc from "fast-check";

const ajv = formats.default(new Ajv({ strict: false }));

export function isValid(schema: unknown, text: string): boolean {
  return ajv.validate(schema as object, JSON.parse(text));
}

const name = fc.constantFrom("a", "b", "name", "größe", 'q"uote', "x y", "1");
const constant = fc.oneof(fc.string({ maxLength: 8 }), fc.integer(), fc.boolean(), fc.constant(null));

/** Schemas that are enforced, of every kind. */
export const anySchema = fc.letrec<{ schema: object; leaf: object }>((tie) => ({
  leaf: fc.oneof(
    fc.constantFrom(
      { type: "boolean" },
      { type: "null" },
      { type: "number" },
      { type: "integer" },
      { type: "number", minimum: 0 },
    ),
    fc.record(
      { type: fc.constant("string"), minLength: fc.nat(3), maxLength: fc.integer({ min: 3, max: 6 }) },
      { requiredKeys: ["type"] },
    ),
    fc.constantFrom("date", "time", "date-time", "uuid").map((format) => ({ type: "string", format })),
    fc
      .tuple(fc.integer({ min: -50, max: 50 }), fc.nat(40))
      .map(([minimum, more]) => ({ type: "integer", minimum, maximum: minimum + more })),
    fc.array(constant, { minLength: 1, maxLength: 4 }).map((values) => ({ enum: [...new Set(values)] })),
    constant.map((value) => ({ const: value })),
    fc.constant({ type: ["string", "null"], maxLength: 5 }),
  ),
  schema: fc.oneof(
    { depthSize: "small", withCrossShrink: true },
    tie("leaf"),
    fc.record(
      {
        type: fc.constant("array"),
        items: tie("schema"),
        minItems: fc.nat(2),
        maxItems: fc.integer({ min: 2, max: 4 }),
      },
      { requiredKeys: ["type"] },
    ),
    fc
      .uniqueArray(fc.tuple(name, tie("schema"), fc.boolean()), { selector: ([key]) => key, maxLength: 4 })
      .map((entries) => ({
        type: "object",
        properties: Object.fromEntries(entries.map(([key, schema]) => [key, schema])),
        required: entries.filter(([, , isRequired]) => isRequired).map(([key]) => key),
        additionalProperties: false,
      })),
    tie("schema").map((additionalProperties) => ({ type: "object", additionalProperties })),
    fc.array(tie("schema"), { minLength: 1, maxLength: 3 }).map((anyOf) => ({ anyOf })),
  ),
})).schema;
