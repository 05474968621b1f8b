import fc from "fast-check";
import type { z } from "zod";
import { explainSchema } from "../../src/api/fusion/explain.js";
import { judgeSchema } from "../../src/api/fusion/judge.js";
import { solveSchema } from "../../src/api/fusion/solve.js";
import { responsesSchema } from "../../src/api/openai/responses-schema.js";
import { chatSchema, textSchema } from "../../src/api/openai/schemas.js";
import { applyTemplateSchema, detokenizeSchema, tokenizeSchema } from "../../src/api/vocabulary.js";
import type { Attack, AttackKind } from "./attacks.js";
import * as bodies from "./bodies.js";
import { post } from "./requests.js";

/** Drawn attacks of the kinds in the table: a mend that knows only the examples does not hold them. */

interface Drawn {
  name: string;
  path: string;
  body: () => string;
}

const chatPath = "/v1/chat/completions";

/** As many small as large ones. */
const logarithmic = (least: number, most: number) =>
  fc
    .double({ min: Math.log(least), max: Math.log(most), noNaN: true })
    .map((value) => Math.round(Math.exp(value)));

/** Where any JSON may stand in a request, and where it may not. */
const places: Record<string, (text: string) => Omit<Drawn, "name">> = {
  "a tool's default": (text) => ({
    path: chatPath,
    body: () =>
      bodies.chat({ tools: bodies.toolWith(`{"type":"object","properties":{"a":{"default":${text}}}}`) }),
  }),
  "a tool's examples": (text) => ({
    path: chatPath,
    body: () => bodies.chat({ tools: bodies.toolWith(`{"type":"object","examples":[${text}]}`) }),
  }),
  "a tool's $defs": (text) => ({
    path: chatPath,
    body: () => bodies.chat({ tools: bodies.toolWith(`{"type":"object","$defs":{"x":${text}}}`) }),
  }),
  "a tool of /apply-template": (text) => ({
    path: "/apply-template",
    body: () =>
      bodies.object({
        model: '"tools"',
        messages: '[{"role":"user","content":"hi"}]',
        tools: bodies.toolWith(`{"type":"object","default":${text}}`),
      }),
  }),
  "a schema's const": (text) => ({
    path: chatPath,
    body: () =>
      bodies.chat({ response_format: bodies.schemaWith(bodies.propertiesWith(`{"const":${text}}`)) }),
  }),
  "a schema of /v1/responses": (text) => ({
    path: "/v1/responses",
    body: () =>
      bodies.object({
        model: '"recall"',
        input: '"hi"',
        text: `{"format":{"type":"json_schema","name":"s","schema":{"type":"object","default":${text}}}}`,
      }),
  }),
  metadata: (text) => ({ path: chatPath, body: () => bodies.chat({ metadata: `{"a":${text}}` }) }),
  "an unknown field": (text) => ({ path: chatPath, body: () => bodies.chat({ somebodys_own: text }) }),
  "a message's content": (text) => ({
    path: chatPath,
    body: () => bodies.chat({ messages: `[{"role":"user","content":${text}}]` }),
  }),
  "a message's parsed": (text) => ({
    path: chatPath,
    body: () =>
      bodies.chat({
        messages: `[{"role":"assistant","content":"x","parsed":${text}},{"role":"user","content":"x"}]`,
      }),
  }),
  fusion: (text) => ({ path: chatPath, body: () => bodies.chat({ fusion: text }) }),
  "a prompt": (text) => ({
    path: "/v1/completions",
    body: () => bodies.object({ model: '"recall"', prompt: text, max_tokens: "1" }),
  }),
  "rows to solve": (text) => ({
    path: "/v1/fusion/solve",
    body: () => bodies.object({ base: text, reference: text, experts: `{"a":${text}}` }),
  }),
};
const place = fc.constantFrom(...Object.keys(places));

const deep = fc
  .record({
    where: place,
    depth: logarithmic(65, 400_000),
    form: fc.constantFrom("array" as const, "object" as const, "both" as const),
  })
  .map(({ where, depth, form }): Drawn => ({
    name: `${where}, ${form} ${depth} deep`,
    ...lazily(where, () => bodies.nested(depth, form)),
  }));

function lazily(where: string, text: () => string): Omit<Drawn, "name"> {
  const { path } = places[where]!("0");
  return { path, body: () => places[where]!(text()).body() };
}

const targets: { path: string; schema: z.ZodObject; rest: Record<string, string> }[] = [
  {
    path: chatPath,
    schema: chatSchema,
    rest: { model: '"recall"', messages: '[{"role":"user","content":"hi"}]' },
  },
  {
    path: "/v1/completions",
    schema: textSchema,
    rest: { model: '"recall"', prompt: '"hi"', max_tokens: "1" },
  },
  { path: "/v1/responses", schema: responsesSchema, rest: { model: '"recall"', input: '"hi"' } },
  {
    path: "/v1/fusion/explain",
    schema: explainSchema,
    rest: { model: '"recall"', prompt: '"hi"', completion: '"x"' },
  },
  {
    path: "/v1/fusion/judge",
    schema: judgeSchema,
    rest: { model: '"recall"', prompt: '"hi"', candidates: '["x","y"]' },
  },
  {
    path: "/v1/fusion/solve",
    schema: solveSchema,
    rest: { base: "[0,1]", reference: "[1,0]", experts: '{"a":[0,2]}' },
  },
  { path: "/tokenize", schema: tokenizeSchema, rest: { model: '"recall"', content: '"hi"' } },
  { path: "/detokenize", schema: detokenizeSchema, rest: { model: '"recall"', tokens: "[1]" } },
  {
    path: "/apply-template",
    schema: applyTemplateSchema,
    rest: { model: '"recall"', messages: '[{"role":"user","content":"hi"}]' },
  },
];

const part = '{"type":"text","text":""}';
const call = '{"id":"","type":"function","function":{"name":"","arguments":""}}';
/** What lists are made of: elements that are right somewhere, and such that are wrong in many ways each. */
const elements = [
  "{}",
  "0",
  "-1",
  '""',
  "[]",
  "null",
  "[{}]",
  '{"role":"user"}',
  part,
  call,
  "[0]",
  '"a"',
  "[-1]",
];
/** Lists inside of lists, by the field that holds them; `@` is where the long one stands. */
const within: Record<string, string[]> = {
  messages: [
    '[{"role":"user","content":@}]',
    '[{"role":"assistant","tool_calls":@}]',
    '[{"role":"user","content":"hi","annotations":@}]',
  ],
  tools: [
    '[{"type":"function","function":{"name":"f","parameters":{"required":@}}}]',
    '[{"type":"function","function":{"name":"f","parameters":{"properties":{"a":{"enum":@}}}}}]',
  ],
  response_format: ['{"type":"json_schema","json_schema":{"name":"s","schema":{"anyOf":@}}}'],
  fusion: [
    '{"weights":@}',
    '{"continue":@}',
    '{"bounds":@}',
    '{"prior":{"shares":@}}',
    '{"strategy":{"components":@}}',
  ],
  input: ['[{"role":"user","content":@}]', '[{"type":"message","role":"user","content":@}]'],
  experts: ['{"a":@}', '{"a":[0,1],"b":@}'],
  prompt: ["[@]", "[[1],@]"],
};

/** A body with one field, or one list inside of it, as long as a body may be. */
function longField(
  path: string,
  rest: Record<string, string>,
  field: string,
  form: string,
  element: string,
): Drawn {
  const isRecord = element.startsWith("#");
  const filler = isRecord ? element.slice(1) : element;
  return {
    name: `${path} ${field} = ${form.replace("@", isRecord ? `{"0":${filler}, …}` : `[${filler}, …]`)}`,
    path,
    body: () => {
      const long = isRecord ? bodies.recordOf(filler) : bodies.listOf(filler);
      return bodies.object({ ...rest, [field]: form.replace("@", () => long) });
    },
  };
}

const formsOf = (field: string) => ["@", ...(within[field] ?? [])];
const fillers = [...elements, ...["0", "{}", "[0,1]"].map((element) => `#${element}`)];

const long = fc
  .constantFrom(...targets)
  .chain(({ path, schema, rest }) =>
    fc
      .constantFrom(...Object.keys(schema.shape))
      .chain((field) =>
        fc
          .tuple(fc.constantFrom(...formsOf(field)), fc.constantFrom(...fillers))
          .map(([form, filler]) => longField(path, rest, field, form, filler)),
      ),
  );

/** Each many times wrong, or many times something to keep. */
const costliest = ["{}", "-1", '""', "#0"];

/** Each field of each schema with each kind of list and record in it, at the body's limit. */
export function everyLongField(): Attack[] {
  return targets.flatMap(({ path, schema, rest }) =>
    Object.keys(schema.shape).flatMap((field) =>
      formsOf(field).flatMap((form) =>
        costliest.map((filler) => attackOf("lists", longField(path, rest, field, form, filler))),
      ),
    ),
  );
}

const members: Record<string, (index: number) => string> = {
  constant: (index) => `{"const":${index}}`,
  "text constant": (index) => `{"const":"t${index}"}`,
  "object constant": (index) => `{"const":{"a":${index}}}`,
  range: (index) => `{"type":"integer","minimum":${index},"maximum":${index * 97 + 13}}`,
  length: (index) => `{"type":"string","minLength":${index % 50},"maxLength":${50 + (index % 50)}}`,
  object: (index) =>
    `{"type":"object","properties":{"k":{"const":${index}},"v":{}},"required":["k"],"additionalProperties":false}`,
  list: (index) => `{"type":"array","items":{"const":${index}},"maxItems":${1 + (index % 9)}}`,
  reference: (index) => `{"$ref":"#/$defs/d${index + 1}"}`,
  format: () => '{"type":"string","format":"date-time"}',
  pattern: (index) =>
    `{"type":"string","pattern":"${index % 2 ? "^" : ""}(a|b)*a(a|b){${index % 14}}c${index}"}`,
  multiple: (index) => `{"type":"number","multipleOf":${(index % 997) / 100 + 0.01},"minimum":${index}}`,
};
const combined: Record<string, (members: string[]) => string> = {
  oneOf: (list) => `{"oneOf":[${list.join(",")}]}`,
  anyOf: (list) => `{"anyOf":[${list.join(",")}]}`,
  allOf: (list) => `{"allOf":[${list.join(",")}]}`,
  prefixItems: (list) => `{"type":"array","prefixItems":[${list.join(",")}]}`,
  properties: (list) =>
    `{"type":"object","properties":{${list.map((text, at) => `"p${at}":${text}`).join(",")}}}`,
  "required properties": (list) =>
    `{"type":"object","properties":{${list.map((text, at) => `"p${at}":${text}`).join(",")}},"required":[${list.map((_, at) => `"p${at}"`).join(",")}]}`,
  $defs: (list) =>
    `{"$ref":"#/$defs/d0","$defs":{${list.map((text, at) => `"d${at}":${text}`).join(",")},"d${list.length}":{}}}`,
  "oneOf of oneOf": (list) => `{"oneOf":[{"oneOf":[${list.join(",")}]},{"oneOf":[${list.join(",")}]}]}`,
};

const schemas = fc
  .record({
    how: fc.constantFrom(...Object.keys(combined)),
    of: fc.constantFrom(...Object.keys(members)),
    count: logarithmic(200, 40_000),
    isTool: fc.boolean(),
    n: fc.constantFrom(1, 16),
  })
  .map(({ how, of, count, isTool, n }): Drawn => ({
    name: `${isTool ? "a tool" : "a schema"}: ${how} of ${count} ${of}s, ${n} answers`,
    path: chatPath,
    body: () => {
      const schema = combined[how]!(Array.from({ length: count }, (_, index) => members[of]!(index)));
      const fields = isTool
        ? { tools: bodies.toolWith(how === "$defs" ? schema : bodies.propertiesWith(schema)) }
        : { response_format: bodies.schemaWith(schema) };
      return bodies.chat({ ...fields, n: String(n) }).slice(0, bodies.longestBody);
    },
  }));

const grammars = fc
  .record({
    bytes: logarithmic(2000, 65_000),
    from: fc.constantFrom(0x80, 0x400, 0x3000, 0x4e00, 0x10000),
    step: fc.constantFrom(1, 2, 3, 16),
    escaped: fc.boolean(),
    negated: fc.boolean(),
    form: fc.constantFrom(
      "one class",
      "many classes",
      "alternatives",
      "repetitions",
      "nested rules",
      "ambiguous",
    ),
  })
  .map(({ bytes, from, step, escaped, negated, form }): Drawn => ({
    name: `a grammar of ${form}, ${bytes} bytes, from ${from} by ${step}${escaped ? ", escaped" : ""}${negated ? ", negated" : ""}`,
    path: chatPath,
    body: () => {
      const sign = negated ? "^\\x00-\\x7f" : "";
      const run = (length: number, at: number = from) =>
        bodies.characterRun(length, { from: at, step, escaped });
      const grammarOf: Record<typeof form, () => string> = {
        "one class": () => `root ::= [${sign}${run(bytes - 60)}]{20}`,
        "many classes": () => {
          const count = Math.min(60, Math.floor(bytes / 600));
          const rules = Array.from(
            { length: Math.max(1, count) },
            (_, at) => `c${at} ::= [${sign}${run(500, from + at)}]`,
          );
          return `root ::= (${rules.map((_, at) => `c${at}`).join(" | ")})+\n${rules.join("\n")}`;
        },
        alternatives: () =>
          `root ::= (${bodies.mapped(Math.floor(bytes / 12), (at) => `"${at}"`).replaceAll(",", " | ")})+`,
        repetitions: () =>
          `root ::= ${Array(Math.floor(bytes / 20))
            .fill("([a-z]{0,50}){0,50}")
            .join(" ")}`,
        "nested rules": () =>
          `root ::= r0\n${Array.from({ length: Math.floor(bytes / 26) }, (_, at) => `r${at} ::= r${at + 1} | "x"`).join("\n")}\nr${Math.floor(bytes / 26)} ::= "y"`,
        ambiguous: () =>
          `root ::= (${Array(Math.floor(bytes / 8))
            .fill("[a-z]+")
            .join(" | ")})+`,
      };
      return bodies.chat({ grammar: JSON.stringify(grammarOf[form]()), max_tokens: "16" });
    },
  }));

const units = [
  "a",
  "Z",
  "é",
  "ß",
  "я",
  "漢",
  "ع",
  "ก",
  "1",
  "٣",
  " ",
  "\t",
  "\n",
  "\r\n",
  "'",
  "'s",
  ".",
  "!",
  "𝟙",
  "😀",
];
const tokenizers = fc
  .record({
    unit: fc.oneof(
      fc.constantFrom(...units),
      fc.tuple(fc.constantFrom(...units), fc.constantFrom(...units)).map(([a, b]) => a + b),
    ),
    length: logarithmic(300, 262_144),
    before: fc.constantFrom("", "one two ", "\n", "1"),
    model: fc.constantFrom("gpt4o", "tekken", "recall"),
    where: fc.constantFrom("/tokenize", "/v1/completions", chatPath),
  })
  .map(({ unit, length, before, model, where }): Drawn => ({
    name: `${where} of ${model}: ${JSON.stringify(before)} and ${length} characters of ${JSON.stringify(unit)}`,
    path: where,
    body: () => {
      const text = JSON.stringify(
        before + unit.repeat(Math.ceil(length / unit.length)).slice(0, length - before.length),
      );
      if (where === "/tokenize") return bodies.object({ model: JSON.stringify(model), content: text });
      if (where === chatPath) return bodies.chat({ messages: `[{"role":"user","content":${text}}]` }, model);
      return bodies.object({ model: JSON.stringify(model), prompt: text, max_tokens: "1" });
    },
  }));

const messageForms: Record<string, string> = {
  "empty of a user": '{"role":"user","content":""}',
  "of one letter": '{"role":"user","content":"a"}',
  "empty of the system": '{"role":"system","content":""}',
  "empty answer": '{"role":"assistant","content":""}',
  "of empty parts": '{"role":"user","content":[{"type":"text","text":""},{"type":"text","text":""}]}',
  "tool's": '{"role":"tool","content":"","tool_call_id":""}',
  "of a call": `{"role":"assistant","tool_calls":[${call}]}`,
  "of two calls": `{"role":"assistant","tool_calls":[${call},${call}]}`,
};
const manyMessages = fc
  .record({
    form: fc.constantFrom(...Object.keys(messageForms)),
    count: logarithmic(300, 70_000),
    n: fc.constantFrom(1, 4, 16),
    model: fc.constantFrom("recall", "tools"),
    path: fc.constantFrom(chatPath, "/apply-template"),
  })
  .map(({ form, count, n, model, path }): Drawn => ({
    name: `${path} of ${model}: ${count} messages, each ${form}, ${n} answers`,
    path,
    body: () => {
      const message = messageForms[form]!;
      const fits = Math.min(count, Math.floor((bodies.longestBody - 2000) / (message.length + 1)));
      const list = bodies.messages(message, fits);
      return path === chatPath
        ? bodies.chat({ messages: list, n: String(n), max_tokens: "1" }, model)
        : bodies.object({ model: JSON.stringify(model), messages: list });
    },
  }));

const generators: Partial<Record<AttackKind, fc.Arbitrary<Drawn>>> = {
  json: deep,
  lists: long,
  schema: schemas,
  grammar: grammars,
  tokenizer: tokenizers,
  messages: manyMessages,
};

function attackOf(kind: AttackKind, { name, path, body }: Drawn): Attack {
  return { kind, name, send: async (target) => [await post(target, path, body())] };
}

/** `count` drawn attacks of each kind; the same seed draws the same. */
export function siblings(seed: number, count: number): Attack[] {
  return Object.entries(generators).flatMap(([kind, generator]) =>
    fc.sample(generator, { seed, numRuns: count }).map((drawn) => attackOf(kind as AttackKind, drawn)),
  );
}
