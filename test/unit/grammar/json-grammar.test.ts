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
  return new GrammarMachine(
    compileGrammar(builder.build(addSchema(builder, schema, { param: "schema", isStrict: true }))),
  );
}

function allows(schema: unknown, text: string): boolean {
  const machine = machineOf(schema);
  const bytes = Buffer.from(text);
  let state = machine.start();
  // As tokens come: each is a text of its own to the machine.
  for (let at = 0; at < bytes.length && state >= 0; at += 16)
    state = machine.follow(machine.tidy(state), bytes.subarray(at, at + 16));
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
  [{ type: "string", pattern: "(a)\\1" }, "schema.pattern"],
  [{ type: "string", pattern: "(?=a)b" }, "schema.pattern"],
  [{ type: "string", pattern: "(" }, "schema.pattern"],
  [{ type: "string", pattern: "^.{1,1000}.{1,1000}.{1,1000}$" }, "schema.pattern"],
  [{ type: "object", properties: { a: { type: "string", format: "regex" } } }, "schema.properties.a.format"],
  [{ type: "number", minimum: "3" }, "schema.minimum"],
  [{ type: "integer", multipleOf: 123457 }, "schema.multipleOf"],
  [{ type: "string", minLength: -1 }, "schema.minLength"],
  [{ type: "array", maxItems: 3000 }, "schema.maxItems"],
  [{ type: "integer", minimum: 5, maximum: 4 }, "schema"],
  [{ type: "array", uniqueItems: true }, "schema.uniqueItems"],
  [{ type: "array", contains: {}, maxContains: 1 }, "schema.maxContains"],
  [{ type: "object", properties: {}, required: ["a"], additionalProperties: false }, "schema"],
  [{ type: "object", patternProperties: { "^a": {}, b$: {} } }, "schema.patternProperties"],
  [{ type: "object", minProperties: 2 }, "schema.minProperties"],
  [{ oneOf: [{ type: "number" }, { type: "integer" }] }, "schema.oneOf"],
  [{ allOf: [{ type: "string" }, { type: "number" }] }, "schema"],
  [{ not: {} }, "schema"],
  [{ not: { type: "string" } }, "schema.not"],
  [{ if: { type: "string" }, then: { minLength: 1 } }, "schema.if"],
  [{ $ref: "https://example.com/other.json" }, "schema.$ref"],
  [{ anyOf: [] }, "schema.anyOf"],
  [{ anyOf: [{ type: "x" }] }, "schema.anyOf.0.type"],
  [{ $ref: "#/properties/a" }, "schema.$ref"],
  [{ $ref: "#/$defs/a" }, "schema.$ref"],
  [{ type: "string", minLength: 3, maxLength: 2 }, "schema"],
  [{ type: "string", maxLength: 1e7 }, "schema.maxLength"],
  [{ const: 1, type: "string" }, "schema"],
  [{ properties: { constructor: 3 } }, "schema.properties.constructor"],
])("%j is refused where it has to be held to, with its path", (schema, param) => {
  expect(() => machineOf(schema)).toThrow(expect.objectContaining({ param, status: 400 }) as Error);
});

it.each<[unknown, string[], string[]]>([
  [{ type: "string", pattern: "^a+$" }, ['"a"', '"aaa"'], ['""', '"b"', '"aab"']],
  [{ type: "string", pattern: "a+" }, ['"a"', '"xay"'], ['""', '"b"']],
  [{ type: "string", pattern: "^(foo|bar)-\\d{2}$", maxLength: 6 }, ['"foo-12"'], ['"foo-1"', '"baz-12"']],
  [{ type: "string", pattern: '^[^"]*$', minLength: 2 }, ['"ab"', '"\\\\\\n"'], ['"a"', '"\\"b"']],
  [{ type: "string", pattern: "^\\p{Lu}\\w*$" }, ['"Äb"', '"Ab"'], ['"ab"']],
  [{ type: "string", format: "email" }, ['"a.b@c.org"'], ['"a"', '"a@"']],
  [{ type: "string", format: "ipv4" }, ['"127.0.0.1"'], ['"256.0.0.1"']],
  [{ type: "string", format: "date", minLength: 10 }, ['"2024-02-28"'], ['"2024-2-8"']],
  [
    { type: "string", maxLength: 65536 },
    ['""', `"${"a".repeat(3000)}"`, `"${"a".repeat(65536)}"`],
    [`"${"a".repeat(65537)}"`],
  ],
  [{ type: "number", maximum: 3 }, ["3", "2.999", "-7", "0"], ["3.001", "4", "-0"]],
  [
    { type: "number", exclusiveMinimum: 0, maximum: 1 },
    ["0.5", "1", "1.0", "0.001"],
    ["0", "0.0", "1.01", "-1"],
  ],
  [
    { type: "number", minimum: -1.5, exclusiveMaximum: 2.25 },
    ["-1.5", "-1", "2.2499", "0"],
    ["-1.51", "2.25", "3"],
  ],
  [{ type: "number", multipleOf: 0.25, minimum: 0, maximum: 2 }, ["0.25", "1.5", "2"], ["0.3", "2.25"]],
  [{ type: "integer", minimum: 10, maximum: 100000 }, ["10", "99999", "100000"], ["9", "100001", "1e3"]],
  [{ type: "integer", multipleOf: 7, maximum: 50 }, ["49", "0", "-14"], ["48", "56"]],
  [{ type: "integer", format: "int64" }, ["3"], ["x"]],
  [{ type: "integer", minimum: 3, exclusiveMinimum: true }, ["4"], ["3"]],
  [
    {
      oneOf: [{ $ref: "#/$defs/a" }, { $ref: "#/$defs/b" }],
      $defs: {
        a: { type: "object", properties: { kind: { const: "a" } }, required: ["kind"] },
        b: { type: "object", properties: { kind: { const: "b" } }, required: ["kind"] },
      },
    },
    ['{"kind":"a"}', '{"kind":"b"}'],
    ['{"kind":"c"}'],
  ],
  [{ const: "a", enum: ["a"], type: "string" }, ['"a"'], ['"b"']],
  [{ enum: ["ab", "b", 3], type: "string", maxLength: 1 }, ['"b"'], ['"ab"', "3"]],
  [{ type: "array", items: { type: "null" }, uniqueItems: false }, ["[null,null]"], []],
  [
    { type: "object", minProperties: 0, nullable: true, "x-order": 1, discriminator: {}, example: {} },
    ["{}"],
    ["null"],
  ],
  [
    { type: "object", properties: { a: { type: "null" } }, required: ["b"] },
    ['{"b":1}', '{"a":null,"b":{}}'],
    ["{}"],
  ],
  [
    { type: "object", properties: { a: { $ref: "#/properties/b" }, b: { type: "null" } } },
    ['{"a":null}'],
    ['{"a":1}'],
  ],
  [
    { type: "object", properties: { a: {}, b: {} }, anyOf: [{ required: ["a"] }, { required: ["b"] }] },
    ['{"a":1}', '{"b":1}'],
    ["{}"],
  ],
  [
    {
      allOf: [
        { type: "object", properties: { a: { minLength: 1 } } },
        { properties: { a: { type: "string" } }, required: ["a"] },
      ],
    },
    ['{"a":"x"}'],
    ['{"a":""}', "{}"],
  ],
  [
    { type: "array", prefixItems: [{ type: "string" }, { type: "integer" }], items: false, minItems: 1 },
    ['["a"]', '["a",1]'],
    ["[]", '["a",1,1]'],
  ],
  [
    { type: "array", items: [{ type: "string" }], additionalItems: { type: "null" } },
    ['["a",null]', "[]"],
    ["[1]", '["a",1]'],
  ],
  [{ type: "array", contains: { const: 1 }, items: { type: "integer" } }, ["[1]", "[1,2]"], ["[]", "[2]"]],
  [
    { type: "object", patternProperties: { "^x-": { type: "null" } }, additionalProperties: false },
    ['{"x-a":null}', "{}"],
    ['{"a":null}'],
  ],
  [
    { type: "object", propertyNames: { pattern: "^[a-z]$" }, maxProperties: 2 },
    ['{"a":1}'],
    ['{"ab":1}', '{"a":1,"b":1,"c":1}'],
  ],
  [
    { type: "object", properties: { a: {}, b: {} }, dependentRequired: { a: ["c"] } },
    ['{"a":1,"c":2}'],
    ['{"a":1}'],
  ],
  [
    { type: "object", properties: { a: {}, b: {}, c: {} }, minProperties: 2, maxProperties: 2 },
    ['{"a":1,"b":2}'],
    ["{}", '{"a":1}'],
  ],
  [
    { $ref: "#leaf", minLength: 2, $defs: { l: { $anchor: "leaf", type: "string" } } },
    ['"ab"'],
    ['"a"', "1"],
  ],
  [
    { $id: "https://a.example/root", $ref: "leaf.json", $defs: { l: { $id: "/leaf.json", type: "null" } } },
    ["null"],
    ["1"],
  ],
])("%j is held to", (schema, good, bad) => {
  for (const text of good) expect(allows(schema, text), text).toBe(true);
  for (const text of bad) expect(allows(schema, text), text).toBe(false);
});

it.each<[unknown, string[], string[]]>([
  [{ type: "string", pattern: "(?=a)b" }, ["schema.pattern"], ['"x"']],
  [{ type: "string", pattern: "^a$", format: "regex" }, ["schema.format"], ['"a"']],
  [{ type: "array", items: { type: "null" }, uniqueItems: true }, ["schema.uniqueItems"], ["[null,null]"]],
  [
    { type: "object", properties: { a: { not: { type: "string" } } } },
    ["schema.properties.a.not"],
    ['{"a":"x"}'],
  ],
  [{ oneOf: [{ type: "number" }, { type: "integer" }] }, ["schema.oneOf"], ["1"]],
  [{ type: "string", $ref: "https://example.com/other.json" }, ["schema.$ref"], ['"x"']],
])("of %j what cannot be held to is told", (schema, ignored, texts) => {
  const builder = new GrammarBuilder("response_format");
  const rule = addSchema(builder, schema, { param: "schema", isStrict: false });
  expect(builder.ignored).toEqual(ignored);
  const machine = new GrammarMachine(compileGrammar(builder.build(rule)));
  for (const text of texts)
    expect(machine.accepts(machine.follow(machine.start(), Buffer.from(text)))).toBe(true);
});
