import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { GrammarBuilder } from "../../../src/grammar/json/grammar-builder.js";
import { addSchema } from "../../../src/grammar/json/json-grammar.js";
import { compileGrammar } from "../../../src/grammar/gbnf.js";
import { GrammarMachine } from "../../../src/grammar/machine.js";
import { writeRandomly } from "../../support/grammar.js";
import { anySchema, isValid } from "../../support/json-schemas.js";
import { numRuns } from "../../support/num-runs.js";

function machineOf(schema: unknown): GrammarMachine {
  const builder = new GrammarBuilder("response_format");
  return new GrammarMachine(compileGrammar(builder.build(addSchema(builder, schema, { param: "schema", isStrict: true }))));
}

function allows(schema: unknown, text: string): boolean {
  const machine = machineOf(schema);
  const state = machine.follow(machine.start(), Buffer.from(text));
  return state >= 0 && machine.accepts(state);
}

describe("a grammar of a schema", () => {
  it("writes only JSON that the schema allows", () => {
    fc.assert(
      fc.property(anySchema, fc.integer(), (schema, seed) => {
        const text = writeRandomly(machineOf(schema), seed);
        if (text !== null) expect(isValid(schema, text), `${JSON.stringify(schema)}: ${text}`).toBe(true);
      }),
      { numRuns: numRuns(150) },
    );
  });

  it.each<[unknown, string[], string[]]>([
    [{ type: "integer" }, ["0", "-12"], ["1.5", "01", "1e3", ""]],
    [{ type: "integer", minimum: 1 }, ["1", "10"], ["0", "-1"]],
    [{ type: "integer", minimum: -1, maximum: 2 }, ["-1", "0", "2"], ["3", "-2", "22"]],
    [{ type: "number" }, ["1.5e-3", "-0.1"], [".5", "+1"]],
    [{ type: "string", maxLength: 2 }, ['"\u{1f600}é"', '""', '"\\n"'], ['"abc"', '"\n"', "''"]],
    [{ type: ["string", "null"] }, ["null", '"x"'], ["1"]],
    [{ enum: ["a", 1, null, { b: [1] }] }, ['"a"', "1", '{"b":[1]}'], ['"b"', "2"]],
    [{ const: 'a"\\\n' }, ['"a\\"\\\\\\n"'], ['"a"']],
    [{ type: "string", format: "date" }, ['"2024-02-28"', '"1999-12-31"'], ['"2024-02-30"', '"2024-13-01"']],
    [
      { type: "array", items: { type: "boolean" }, minItems: 1, maxItems: 2 },
      ["[true]", "[true, false]"],
      ["[]", "[true,true,true]"],
    ],
    [{ type: "array", items: { type: "null" }, maxItems: 0 }, ["[]"], ["[null]"]],
    [{ type: "object", additionalProperties: { type: "null" } }, ["{}", '{"x": null}'], ['{"x": 1}']],
    [{ type: "object", properties: {}, additionalProperties: false }, ["{}"], ['{"a":1}']],
    [{}, ["1", "[[]]", '{"a":{}}'], ["x"]],
  ])("%j", (schema, good, bad) => {
    for (const text of good) expect(allows(schema, text), text).toBe(true);
    for (const text of bad) expect(allows(schema, text), text).toBe(false);
  });

  it("optional properties may be left out, with commas where they belong", () => {
    const properties = { a: { const: 1 }, b: { const: 2 }, c: { const: 3 } };
    const schema = { type: "object", properties, required: ["b"], additionalProperties: false };
    const texts = ['{"b": 2}', '{"a": 1, "b": 2}', '{"b": 2, "c": 3}', '{"a":1,"b":2,"c":3}'];
    for (const text of texts) expect(allows(schema, text), text).toBe(true);
    for (const text of ['{"a":1}', '{"c":3,"b":2}', '{,"b":2}', '{"b":2,}', "{}"])
      expect(allows(schema, text), text).toBe(false);
    expect(allows({ type: "object", properties }, "{}")).toBe(true);
  });

  it("a schema may refer to itself", () => {
    const schema = {
      type: "object",
      properties: { next: { anyOf: [{ $ref: "#" }, { type: "null" }] } },
      required: ["next"],
    };
    expect(allows(schema, '{"next":{"next":null}}')).toBe(true);
    expect(allows(schema, '{"next":{}}')).toBe(false);
    const tree = {
      $ref: "#/$defs/node",
      $defs: { node: { type: "array", items: { $ref: "#/$defs/node" } } },
    };
    expect(allows(tree, "[[],[[]]]")).toBe(true);
  });
});

it.each<[unknown, string]>([
  [{ type: "string", pattern: "a+" }, "schema.pattern"],
  [{ type: "object", properties: { a: { type: "string", format: "email" } } }, "schema.properties.a.format"],
  [{ type: "number", maximum: 3 }, "schema.maximum"],
  [{ type: "integer", minimum: 5, maximum: 4 }, "schema"],
  [{ type: "array", uniqueItems: true }, "schema.uniqueItems"],
  [{ type: "array", items: [{ type: "string" }] }, "schema.items"],
  [{ type: "object", required: ["a"] }, "schema.required.0"],
  [{ type: "object", patternProperties: {} }, "schema.patternProperties"],
  [{ oneOf: [{ type: "number" }, { type: "integer" }] }, "schema.oneOf"],
  [{ allOf: [{}, {}] }, "schema.allOf"],
  [{ not: {} }, "schema.not"],
  [{ anyOf: [] }, "schema.anyOf"],
  [{ anyOf: [{ type: "x" }] }, "schema.anyOf.0.type"],
  [{ $ref: "#/properties/a" }, "schema.$ref"],
  [{ $ref: "#/$defs/a" }, "schema.$ref"],
  [{ type: "string", minLength: 3, maxLength: 2 }, "schema.maxLength"],
  [{ type: "string", maxLength: 1e6 }, "schema.maxLength"],
  [{ const: 1, type: "string" }, "schema"],
  [{ properties: { constructor: 3 } }, "schema.properties.constructor"],
])("%j is refused with its path", (schema, param) => {
  expect(() => machineOf(schema)).toThrow(expect.objectContaining({ param, status: 400 }) as Error);
});
