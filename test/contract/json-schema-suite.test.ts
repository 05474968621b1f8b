import { readFileSync } from "node:fs";
import { Ajv2020 } from "ajv/dist/2020.js";
import formats from "ajv-formats";
import { describe, expect, it } from "vitest";
import { ShouldersError } from "../../src/errors.js";
import { compileGrammar } from "../../src/grammar/gbnf.js";
import { GrammarBuilder } from "../../src/grammar/json/grammar-builder.js";
import { addSchema } from "../../src/grammar/json/json-grammar.js";
import { GrammarMachine } from "../../src/grammar/machine.js";
import { writeRandomly } from "../support/grammar.js";

/** JSON Schema's own tests: what becomes of each schema, and that no answer would be wrong. */

interface Case {
  file: string;
  description: string;
  schema: unknown;
  tests: [data: unknown, isValid: boolean][];
}

const read = (path: string): unknown =>
  JSON.parse(readFileSync(new URL(`../data/${path}`, import.meta.url), "utf8"));
const cases = read("json-schema/draft2020-12.json") as Case[];

type Outcome =
  | { kind: "held to" | "widened"; machine: GrammarMachine; ignored: string[] }
  | { kind: "refused"; error: ShouldersError };

function outcomeOf(schema: unknown, isStrict = false): Outcome {
  const builder = new GrammarBuilder("response_format");
  try {
    const grammar = builder.build(addSchema(builder, schema, { param: "schema", isStrict }));
    const machine = new GrammarMachine(compileGrammar(grammar));
    const { ignored } = builder;
    return { kind: ignored.length > 0 ? "widened" : "held to", machine, ignored };
  } catch (error) {
    if (error instanceof ShouldersError && error.status === 400) return { kind: "refused", error };
    throw error;
  }
}

function allows(machine: GrammarMachine, text: string): boolean {
  const state = machine.follow(machine.start(), Buffer.from(text));
  return state >= 0 && machine.accepts(state);
}

const options = { strict: false, logger: false, multipleOfPrecision: 9, ownProperties: true } as const;

/** null: the checker itself does not take the schema, or does not follow its dynamic references. */
function checkerOf(schema: unknown): ((value: unknown) => boolean) | null {
  if (JSON.stringify(schema).includes("$dynamicRef")) return null;
  try {
    const check = formats.default(new Ajv2020(options)).compile(schema as object);
    return (value) => check(value);
  } catch {
    return null;
  }
}

describe.each([...new Set(cases.map(({ file }) => file))])("%s", (file) => {
  const own = cases.filter((one) => one.file === file);

  it("what is held to writes only what fits, and what is refused nothing fits", () => {
    for (const { description, schema, tests } of own) {
      const outcome = outcomeOf(schema);
      const said = `${file}: ${description}: ${JSON.stringify(schema).slice(0, 300)}`;
      if (outcome.kind === "refused")
        expect(tests.filter(([, isValid]) => isValid).map(([data]) => data), `${said}: ${outcome.error.message}`).toEqual([]); // prettier-ignore
      if (outcome.kind !== "held to") continue;
      const wrong = tests.filter(
        ([data, isValid]) => !isValid && allows(outcome.machine, JSON.stringify(data)),
      );
      expect(wrong, said).toEqual([]);
      const check = checkerOf(schema);
      for (let seed = 0; seed < 5 && check !== null; seed++) {
        const text = writeRandomly(outcome.machine, seed);
        if (text !== null) expect(check(JSON.parse(text)), `${said}: ${text}`).toBe(true);
      }
    }
  });

  it("strict refuses just what would be widened", () => {
    for (const { description, schema } of own) {
      const lenient = outcomeOf(schema).kind;
      expect(outcomeOf(schema, true).kind, description).toBe(lenient === "widened" ? "refused" : lenient);
    }
  });
});

it("what becomes of them, counted", () => {
  const counts: Record<string, number> = {};
  for (const { schema } of cases) {
    const { kind } = outcomeOf(schema);
    counts[kind] = (counts[kind] ?? 0) + 1;
  }
  expect(counts).toEqual({ "held to": 299, widened: 111, refused: 8 });
});

describe("the tools of public MCP servers", () => {
  const servers = read("mcp/tools.json") as Record<string, { name: string; inputSchema: object }[]>;
  it.each(Object.entries(servers))("%s", (_name, tools) => {
    for (const { name, inputSchema } of tools) {
      const outcome = outcomeOf(inputSchema);
      if (outcome.kind === "refused") throw outcome.error;
      const text = writeRandomly(outcome.machine, 1);
      const check = checkerOf({ ...inputSchema, $schema: undefined });
      expect(check, name).not.toBeNull();
      if (text !== null && outcome.kind === "held to")
        expect(check?.(JSON.parse(text)), `${name}: ${text}`).toBe(true);
    }
  });
});
