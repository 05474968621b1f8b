import fc from "fast-check";
import { zodResponseFormat } from "openai/helpers/zod";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { z } from "zod";
import { GrammarBuilder } from "../../src/grammar/json/grammar-builder.js";
import { addSchema } from "../../src/grammar/json/json-grammar.js";
import { compileGrammar } from "../../src/grammar/gbnf.js";
import { GrammarMachine } from "../../src/grammar/machine.js";
import { anySchema, isValid } from "../support/json-schemas.js";
import { numRuns } from "../support/num-runs.js";
import { startRealServer, type RealServer } from "../support/real-server.js";

let server: RealServer;
beforeAll(async () => {
  server = await startRealServer();
});
afterAll(() => server.close());

const messages = [{ role: "user" as const, content: "What is 12 plus 30?" }];
const body = { model: "both", messages, max_tokens: 400 };

interface Answer {
  choices: { message: { content: string }; finish_reason: string }[];
}

async function ask(fields: object): Promise<{ content: string; reason: string }> {
  const response = await server.post("/v1/chat/completions", { ...body, ...fields });
  const answer = (await response.json()) as Answer;
  expect(response.status, JSON.stringify(answer)).toBe(200);
  const [choice] = answer.choices;
  return { content: choice!.message.content, reason: choice!.finish_reason };
}

/** Bytes of the schema's shortest instance. */
function shortestLength(schema: object): number {
  const builder = new GrammarBuilder("response_format");
  const machine = new GrammarMachine(
    compileGrammar(builder.build(addSchema(builder, schema, { param: "schema", isStrict: true }))),
  );
  return machine.shortest(machine.start());
}

const formatOf = (schema: object) => ({
  response_format: { type: "json_schema", json_schema: { name: "answer", schema } },
});

describe("response_format", () => {
  it("json_schema: whatever the schema, the model, the temperature and max_tokens, the answer is valid", async () => {
    await fc.assert(
      fc.asyncProperty(
        // The starter vocabulary is ASCII.
        anySchema.filter((schema) => !JSON.stringify(schema).includes("ö")),
        fc.constantFrom("both", "giant", "plausible"),
        fc.constantFrom(0, 1, 2),
        fc.nat(),
        fc.nat(20),
        async (schema, model, temperature, seed, more) => {
          // As many bytes are tokens enough, but the models are not told: they ramble on in most strings.
          const max_tokens = Math.max(1, shortestLength(schema)) + more;
          fc.pre(max_tokens < 400);
          const { content } = await ask({ ...formatOf(schema), model, temperature, seed, max_tokens });
          expect(isValid(schema, content), `${JSON.stringify(schema)}, ${max_tokens}: ${content}`).toBe(true);
        },
      ),
      { numRuns: numRuns(60) },
    );
  });

  it.each([0, 1])("strings without end are ended in time, at temperature %d", async (temperature) => {
    const note = { type: "object", properties: { note: { type: "string" } }, required: ["note"] };
    const schema = { type: "array", minItems: 1, items: note };
    for (const max_tokens of [14, 15, 16, 24, 40]) {
      // The model would write letters for ever.
      const bias = Object.fromEntries((await tokensOf('"')).map((id) => [String(id), -100]));
      const { content, reason } = await ask({
        ...formatOf(schema),
        temperature,
        max_tokens,
        logit_bias: bias,
      });
      expect(isValid(schema, content), `${max_tokens}: ${content}`).toBe(true);
      expect(reason).toBe("stop");
    }
    const cut = await ask({ ...formatOf(schema), temperature, max_tokens: 3 });
    expect(cut.reason).toBe("length");
  });

  it("json_object is an object, and one that was cut short says so", async () => {
    const { content } = await ask({ response_format: { type: "json_object" }, seed: 3, max_tokens: 60 });
    expect(JSON.parse(content)).toBeTypeOf("object");
    const cut = await ask({ response_format: { type: "json_object" }, max_tokens: 1 });
    expect(cut.reason).toBe("length");
  });

  it("the openai package parses an answer with its zod helper", async () => {
    const shape = z.object({
      answer: z.number().int(),
      sure: z.boolean(),
      unit: z.enum(["m", "km"]).nullable(),
      note: z.string().max(20),
    });
    const completion = await server.client.chat.completions.parse({
      ...body,
      response_format: zodResponseFormat(shape, "sum"),
    });
    expect(shape.parse(completion.choices[0]?.message.parsed)).toEqual(completion.choices[0]?.message.parsed);
    expect(completion.choices[0]?.finish_reason).toBe("stop");
  });

  it.each([
    [{ type: "object", properties: { a: { type: "string", pattern: "(?=x)" } } }, "properties.a.pattern"],
    [{ type: "array", items: { type: "null" }, maxItems: 3, uniqueItems: true }, "uniqueItems"],
  ])("%j cannot be held to: told, and refused where it is strict", async (schema, path) => {
    const param = `response_format.json_schema.schema.${path}`;
    const lenient = { ...body, ...formatOf(schema), max_tokens: 40 };
    const response = await server.post("/v1/chat/completions", lenient);
    expect(await response.json()).toMatchObject({ fusion: { ignored: [param] } });
    const format = { type: "json_schema", json_schema: { name: "answer", strict: true, schema } };
    const refused = await server.post("/v1/chat/completions", { ...body, response_format: format });
    expect(refused.status).toBe(400);
    expect(await refused.json()).toMatchObject({ error: { param } });
  });
});

it("a schema that is too large to hold is refused by the name of its field", async () => {
  const text = (minLength: number) => ({ type: "string", minLength });
  const properties = Object.fromEntries(
    Array.from({ length: 120 }, (_, index) => [`p${index}`, text(1800 + index)]),
  );
  const large = { ...body, ...formatOf({ type: "object", properties }) };
  const refused = await server.post("/v1/chat/completions", large);
  expect(refused.status).toBe(400);
  const message = expect.stringContaining("'response_format'") as string;
  expect(await refused.json()).toMatchObject({ error: { param: "response_format", message } });
  const format = { type: "json_schema", name: "large", schema: { type: "object", properties } };
  const response = await server.post("/v1/responses", { model: "both", input: "hi", text: { format } });
  expect(await response.json()).toMatchObject({ error: { param: "text.format" } });
});

describe("grammar", () => {
  it("holds the answer, streamed as whole, greedy as not", async () => {
    for (const temperature of [0, 1]) {
      const fields = { grammar: 'root ::= " "? ("yes" | "no") [.!]{1,3}', temperature, seed: 5 };
      const { content, reason } = await ask(fields);
      expect(content).toMatch(/^ ?(yes|no)[.!]{1,3}$/);
      expect(reason).toBe("stop");
      let streamed = "";
      const stream = await server.client.chat.completions.create({ ...body, ...fields, stream: true });
      for await (const chunk of stream) streamed += chunk.choices[0]?.delta.content ?? "";
      expect(streamed).toBe(content);
    }
  });

  it("is refused where it asks for what the vocabulary cannot write, and goes round it where it may", async () => {
    const response = await server.post("/v1/chat/completions", { ...body, grammar: 'root ::= "größe"' });
    expect(response.status).toBe(400);
    expect((await ask({ grammar: 'root ::= "groß" | "gross"' })).content).toBe("gross");
  });

  it("with repetitions of repetitions costs no more than its text", async () => {
    const grammar = 'root ::= ((("ab"{2000}){2000}){2000}){2000}';
    const { content, reason } = await ask({ grammar, max_tokens: 8 });
    expect(content).toMatch(/^(ab)+a?$/);
    expect(reason).toBe("length");
  });

  it.each([
    ["no grammar", "hello"],
    ["no root", 'a ::= "x"'],
    ["undefined", "root ::= a"],
    ["left recursion", 'root ::= root "a" | "b"'],
    ["left recursion behind what may be empty", 'root ::= b root "x" | "y"\nb ::= c\nc ::= "z"?'],
    ["deep groups", `root ::= ${"(".repeat(30_000)}`],
    ["a repetition too often", 'root ::= "a"{2001}'],
    ["too many elements", `root ::= ${'"a"{2000} '.repeat(101)}`],
    ["a token", "root ::= <[1000]>"],
    ["unclosed", 'root ::= "a'],
    ["unknown escape", 'root ::= "\\q"'],
    [
      "many ways at once",
      `root ::= a0\n${Array.from({ length: 40 }, (_, i) => `a${i} ::= a${i + 1} a${i + 1}`).join("\n")}\na40 ::= "x"?`,
    ],
  ])("%s is refused", async (_name, grammar) => {
    const pid = server.engine.description?.pid;
    const response = await server.post("/v1/chat/completions", { ...body, grammar });
    expect(response.status).toBe(400);
    expect(((await response.json()) as { error: { param: string } }).error.param).toBe("grammar");
    expect(server.engine.description?.pid).toBe(pid);
  });

  it("that grows ambiguous as it is read ends its own request, and no other", async () => {
    const pid = server.engine.description?.pid;
    const grammar = 'root ::= s\ns ::= "a" s "b" | "a" s "c" | "a" s "d" | "x"';
    const bias = Object.fromEntries((await tokensOf("aaaaaaaa")).map((id) => [String(id), 100]));
    const hostile = server.post("/v1/chat/completions", { ...body, grammar, logit_bias: bias });
    expect((await ask({ max_tokens: 5 })).content.length).toBeGreaterThan(0);
    const response = await hostile;
    await response.text();
    expect([200, 400]).toContain(response.status);
    expect(server.engine.description?.pid).toBe(pid);
  });
});

async function tokensOf(text: string): Promise<number[]> {
  const query = { type: "tokenize", configId: "both", text, addSpecial: false, parseSpecial: false } as const;
  return [...(await server.engine.query(query)).ids];
}
