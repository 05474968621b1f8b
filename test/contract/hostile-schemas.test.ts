import { describe, expect, it } from "vitest";
import { GrammarBuilder } from "../../src/grammar/json/grammar-builder.js";
import { addSchema } from "../../src/grammar/json/json-grammar.js";
import { toolsSchema } from "../../src/api/openai/tools.js";
import { ShouldersError } from "../../src/errors.js";

function convert(schema: unknown): string {
  const builder = new GrammarBuilder("tools");
  return builder.build(addSchema(builder, schema, { param: "schema", isStrict: true }));
}

const object = (a: unknown) => ({ type: "object", properties: { a } });
const range = (count: number) => Array.from({ length: count }, (_, index) => index);

it.each<[string, unknown, string]>([
  ["a branch of null", object({ oneOf: [null, 1] }), "schema.properties.a.oneOf"],
  ["a branch of a list", object({ oneOf: [[], {}] }), "schema.properties.a.oneOf"],
  ["a broken escape", object({ $ref: "#/$defs/%E0%A4%A" }), "schema.properties.a.$ref"],
  ["half an escape", object({ $ref: "#/$defs/%" }), "schema.properties.a.$ref"],
  ["definitions of null", { $defs: null, ...object({ $ref: "#/$defs/a" }) }, "schema.properties.a.$ref"],
  ["definitions of text", { $defs: "abc", ...object({ $ref: "#/$defs/0" }) }, "schema.properties.a.$ref"],
  [
    "a definition of the language",
    { $defs: {}, ...object({ $ref: "#/$defs/toString" }) },
    "schema.properties.a.$ref",
  ],
  ["a schema of null", object(null), "schema.properties.a"],
  ["a schema of text", object("string"), "schema.properties.a"],
  [
    "properties of null in a branch",
    object({ oneOf: [{ properties: null }, { properties: { b: null } }] }),
    "schema.properties.a.oneOf",
  ],
  ["a required of numbers", { ...object({}), required: [1] }, "schema.required.0"],
  ["a required of text", { ...object({}), required: "a" }, "schema.required"],
  ["types of null", object({ type: [null] }), "schema.properties.a.type"],
  ["no branch", object({ anyOf: [] }), "schema.properties.a.anyOf"],
  ["values of null", object({ enum: null }), "schema.properties.a.enum"],
  ["itself alone", { $ref: "#" }, "schema"],
])("%s is refused with its place", (_name, schema, param) => {
  try {
    convert(schema);
  } catch (error) {
    expect(error).toBeInstanceOf(ShouldersError);
    expect((error as ShouldersError).status).toBe(400);
    expect((error as ShouldersError).param).toMatch(param);
    return;
  }
  // A schema that only refers to itself is a grammar without text, which the engine refuses.
  expect(param).toBe("schema");
});

describe("what is large costs as much as it is large", () => {
  const names = range(12_000).map((index) => `n${index}`);
  const properties = Object.fromEntries(names.map((name) => [name, { type: "null" }]));
  const schemas: Record<string, (part: number) => unknown> = {
    "constants of oneOf": (part) =>
      object({ oneOf: range(12_000 * part).map((value) => ({ const: value })) }),
    "values of oneOf": (part) =>
      object({ oneOf: range(6_000 * part).map((value) => ({ enum: [value, `${value}`] })) }),
    "properties, all required": (part) => {
      const some = names.slice(0, names.length * part);
      return {
        type: "object",
        properties: Object.fromEntries(some.map((name) => [name, {}])),
        required: some,
      };
    },
    "optional properties": (part) => ({
      type: "object",
      properties: Object.fromEntries(Object.entries(properties).slice(0, 8_000 * part)),
    }),
    "definitions that are all used": (part) => ({
      $defs: Object.fromEntries(names.slice(0, 8_000 * part).map((name) => [name, { const: name }])),
      ...object({ anyOf: names.slice(0, 8_000 * part).map((name) => ({ $ref: `#/$defs/${name}` })) }),
    }),
    "values of many types": (part) =>
      object({
        type: Array(12_000 * part).fill("string"),
        enum: range(12_000 * part).map((index) => `v${index}`),
      }),
    "one type over and over": (part) => ({
      ...object({ type: Array(20_000 * part).fill("object"), properties: { b: {} } }),
    }),
  };
  const cpuMs = (schema: unknown) => {
    let best = Infinity;
    for (let time = 0; time < 3; time++) {
      const startMs = process.cpuUsage().user / 1000;
      convert(schema);
      best = Math.min(best, process.cpuUsage().user / 1000 - startMs);
    }
    return best;
  };
  it.each(Object.entries(schemas))("%s", (_name, schemaOf) => {
    // Sixteen times as much: 256 times the time, were it quadratic.
    const [small, large] = [schemaOf(1 / 16), schemaOf(1)];
    expect(cpuMs(large)).toBeLessThan(80 * Math.max(2, cpuMs(small)));
  });
});

it("branches that are told apart by looking at each pair are counted", () => {
  const branches = (count: number) =>
    range(count).map((index) => ({ type: "object", properties: { [`p${index}`]: {} }, required: [] }));
  const marked = (count: number) =>
    range(count).map((index) => ({
      type: "object",
      properties: { kind: { const: `k${index}` } },
      required: ["kind"],
    }));
  expect(convert(object({ oneOf: marked(400) }))).toContain("k399");
  expect(() => convert(object({ oneOf: marked(500) }))).toThrow("too many branches");
  // Found at the first pair.
  expect(() => convert(object({ oneOf: branches(5_000) }))).toThrow("may overlap");
});

it("a schema that stands for far more than it says is refused while its grammar is made", () => {
  const texts = range(100).map((index) => ({
    type: "string",
    pattern: `^[acegikmoqsuwy${String.fromCodePoint(0x3000 + index)}]{300}$`,
  }));
  expect(() => convert(object({ anyOf: texts }))).toThrow("more than 1048576 characters");
  expect(convert(object({ anyOf: texts.slice(0, 10) })).length).toBeLessThan(1_048_576);
});

describe("what takes long to read is counted, whatever is written of it", () => {
  const each = (schemaOf: (index: number) => unknown) => ({
    type: "object",
    properties: Object.fromEntries(range(500).map((index) => [`p${index}`, schemaOf(index)])),
  });
  /** Each link leads to the next in two ways: as many ways to look at a value as 2 to the power of their number. */
  const chain = (keyword: string, links: number) => ({
    ...Object.fromEntries(
      range(links).map((index) => {
        const next = { $ref: `#/$defs/d${index + 1}` };
        return [`d${index}`, { [keyword]: [next, { type: "integer", ...next }] }];
      }),
    ),
    [`d${links}`]: { minimum: 100 },
  });
  it.each<[string, unknown]>([
    ["patterns of many states", each((index) => ({ type: "string", pattern: `^(a|b)*a(a|b){7}c${index}$` }))],
    ["patterns that never get ready", each((index) => ({ type: "string", pattern: `a.{12}c${index}` }))],
    ["multiples", each((index) => ({ type: "integer", multipleOf: 991, minimum: index, maximum: 1e9 }))],
    [
      "patterns and lengths",
      each((index) => ({ type: "string", pattern: "^[a-z]+(-[a-z]+)*$", minLength: index })),
    ],
    [
      "a value and branches of branches",
      { ...object({ const: 5, $ref: "#/$defs/d0" }), $defs: chain("anyOf", 40) },
    ],
    ["a value and one of one of", { ...object({ const: 5, $ref: "#/$defs/d0" }), $defs: chain("oneOf", 40) }],
    [
      "a value that must not fit",
      { ...object({ const: 5, not: { $ref: "#/$defs/d0" } }), $defs: chain("anyOf", 40) },
    ],
  ])("%s", (_name, schema) => {
    const builder = new GrammarBuilder("tools");
    expect(() => addSchema(builder, schema, { param: "schema", isStrict: false })).toThrow(
      /take too long to read|more than 1048576 characters/,
    );
  });

  it("and patterns that people write are far below that", () => {
    const patterns = [
      "^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$",
      "^[\\w.+-]+@[\\w-]+\\.[\\w.-]+$",
      "^(0|[1-9]\\d*)\\.(0|[1-9]\\d*)\\.(0|[1-9]\\d*)(-[0-9A-Za-z.-]+)?$",
      "^\\d{4}-(0[1-9]|1[0-2])-(0[1-9]|[12]\\d|3[01])$",
    ];
    const schema = {
      type: "object",
      properties: Object.fromEntries(
        range(100).map((index) => [
          `p${index}`,
          { type: "string", pattern: `${patterns[index % 4]}|^x{${index}}$` },
        ]),
      ),
    };
    expect(convert(schema)).toContain("p99");
  });
});

it("tools may have 262144 bytes together", () => {
  const tool = (length: number) => [
    { type: "function", function: { name: "f", description: "a".repeat(length) } },
  ];
  const rest = JSON.stringify(tool(0)).length;
  expect(toolsSchema.safeParse(tool(262_144 - rest)).success).toBe(true);
  const refused = toolsSchema.safeParse(tool(262_145 - rest));
  expect(refused.error?.issues[0]?.message).toContain("262144 bytes");
});
