import fc from "fast-check";
import type { z } from "zod";
import { responsesSchema } from "../../src/api/openai/responses-schema.js";
import { chatSchema, textSchema } from "../../src/api/openai/schemas.js";
import { explainSchema } from "../../src/api/fusion/explain.js";
import { solveSchema } from "../../src/api/fusion/solve.js";
import { applyTemplateSchema, detokenizeSchema, tokenizeSchema } from "../../src/api/vocabulary.js";

/** Requests drawn around the schemas: a good body with one to three fields made wrong. */

export interface GeneratedRequest {
  path: string;
  /** JSON text: it can hold 1e999, which a value cannot. */
  body: string;
}

const messages = [{ role: "user", content: "hi" }];

interface Target {
  paths: string[];
  schema: z.ZodObject;
  good: (model: string) => Record<string, unknown>;
}

const targets: Target[] = [
  {
    paths: ["/v1/chat/completions", "/chat/completions"],
    schema: chatSchema,
    good: (model) => ({ model, messages, max_tokens: 2 }),
  },
  {
    paths: ["/v1/completions", "/completions"],
    schema: textSchema,
    good: (model) => ({ model, prompt: "hi", max_tokens: 2 }),
  },
  {
    paths: ["/v1/responses"],
    schema: responsesSchema,
    good: (model) => ({ model, input: "hi", max_output_tokens: 2 }),
  },
  {
    paths: ["/v1/fusion/explain"],
    schema: explainSchema,
    good: (model) => ({ model, messages, completion: "x" }),
  },
  {
    paths: ["/v1/fusion/solve"],
    schema: solveSchema,
    good: () => ({ base: [0, 1], reference: [1, 0], experts: { a: [0, 2] } }),
  },
  { paths: ["/tokenize"], schema: tokenizeSchema, good: (model) => ({ model, content: "hi" }) },
  { paths: ["/detokenize"], schema: detokenizeSchema, good: (model) => ({ model, tokens: [1, 2] }) },
  { paths: ["/apply-template"], schema: applyTemplateSchema, good: (model) => ({ model, messages }) },
];

/** Stands in a body for what JSON.stringify cannot write. */
const raw = (text: string) => `\u0001${text}\u0001`;
const written = (body: unknown) => JSON.stringify(body).replaceAll(/"\\u0001(.*?)\\u0001"/g, "$1");

const badNumber = fc.constantFrom<unknown>(
  ...[
    -1,
    -0,
    0,
    0.5,
    1,
    2,
    16,
    17,
    20,
    21,
    128,
    1024,
    2 ** 31 - 1,
    2 ** 31,
    2 ** 53,
    -(2 ** 53),
    1e308,
    1e-320,
  ],
  ...[raw("1e999"), raw("-1e999"), raw("-0"), raw("1E400"), raw("123456789012345678901234567890")],
  ...["NaN", "Infinity", "1", true, [], null],
);
const badText = fc.constantFrom<unknown>(
  ...[
    "",
    " ",
    "x",
    "\u0000",
    "\ud800",
    "é",
    "\u2028",
    "𝟙",
    "../../etc/passwd",
    "{{7*7}}",
    "%s%n",
    "__proto__",
  ],
  ...["a".repeat(257), "é".repeat(128), "x".repeat(20_000), raw('"\\ud83d"')],
);
const badShape = fc.constantFrom<unknown>(
  ...[
    null,
    true,
    false,
    [],
    {},
    [[]],
    [null],
    [{}],
    { type: "text" },
    { type: "nonsense" },
    [1, "a"],
    [-1],
    [1e9],
  ],
  ...[
    { "0": 1 },
    { "-1": 1 },
    { "99999999": 1 },
    { a: { b: { c: {} } } },
    [[[[[[[[]]]]]]]],
    { __proto__: null },
  ],
  ...[raw('{"__proto__":1}'), raw('{"constructor":{"prototype":1}}'), Array.from({ length: 3000 }, () => 1)],
);
const badMessages = fc.array(
  fc.record(
    {
      role: fc.oneof(
        fc.constantFrom("user", "system", "assistant", "tool", "developer", "function"),
        badText,
      ),
      content: fc.oneof(
        fc.string({ unit: "binary" }),
        fc.array(fc.record({ type: fc.oneof(fc.constant("text"), badText), text: fc.string() })),
        badShape,
      ),
      tool_calls: badShape,
    },
    { requiredKeys: [] },
  ),
  { maxLength: 3 },
);
const badFusion = fc.record(
  {
    strategy: fc.oneof(
      fc.record(
        {
          type: fc.constantFrom("base", "static", "dynamic", "mixture", "x"),
          prior: fc.oneof(fc.constantFrom("card", "uniform"), badShape),
          components: badShape,
          floor: badNumber,
          weights: fc.oneof(fc.dictionary(fc.constantFrom("trivia", "sums", "x"), fc.double()), badShape),
          solver: fc.oneof(fc.constantFrom("exact", "grid"), badText),
          plausibility: fc.oneof(fc.record({ ratio: badNumber, of: badText }), badShape),
        },
        { requiredKeys: [] },
      ),
      badShape,
    ),
    weights: fc.oneof(
      fc.dictionary(fc.constantFrom("trivia", "sums", "x", "__proto__"), badNumber),
      badShape,
    ),
    bounds: fc.oneof(
      fc.tuple(badNumber, badNumber),
      fc.dictionary(fc.constantFrom("trivia", "x", "__proto__"), fc.tuple(badNumber, badNumber)),
      badShape,
    ),
    trace: fc.oneof(fc.constantFrom("off", "weights", "full"), badText),
    logprobs: fc.oneof(fc.constantFrom("fused", "processed"), badText),
    continue: fc.oneof(badText, fc.array(badNumber)),
    prior: fc.oneof(
      fc.record(
        {
          shares: fc.oneof(fc.dictionary(fc.constantFrom("trivia", "base", "x"), badNumber), badText),
          bias: fc.oneof(fc.dictionary(fc.constantFrom("trivia", "base", "x"), badNumber), badShape),
          pinned: badShape,
        },
        { requiredKeys: [] },
      ),
      badShape,
    ),
    budget: fc.oneof(
      fc.record({ token_nats: badNumber, reply_nats: badNumber }, { requiredKeys: [] }),
      badShape,
    ),
  },
  { requiredKeys: [] },
);
const badValue = fc.oneof(
  badNumber,
  badText,
  badShape,
  badMessages,
  badFusion,
  fc.jsonValue({ maxDepth: 3 }),
);

const wrongField = (names: string[]) =>
  fc.tuple(
    fc.oneof({ weight: 9, arbitrary: fc.constantFrom(...names) }, fc.string()),
    fc.oneof(
      { weight: 9, arbitrary: badValue },
      // Missing: JSON.stringify leaves it out.
      { weight: 1, arbitrary: fc.constant(undefined) },
    ),
  );

/** @param models ids of configs; most requests name one of them. */
export function generatedRequests(models: string[]): fc.Arbitrary<GeneratedRequest> {
  const around = targets.map(({ paths, schema, good }) =>
    fc
      .tuple(
        fc.constantFrom(...paths),
        fc.constantFrom(...models),
        fc.array(wrongField(Object.keys(schema.shape)), { minLength: 1, maxLength: 3 }),
      )
      .map(([path, model, wrong]): GeneratedRequest => {
        const entries = [...Object.entries(good(model)), ...wrong];
        return { path, body: written(Object.fromEntries(entries)) };
      }),
  );
  const anywhere = fc.constantFrom(...targets.flatMap(({ paths }) => paths));
  const noObject = fc
    .tuple(anywhere, fc.oneof(badValue.map(written), fc.string()))
    .map(([path, body]): GeneratedRequest => ({ path, body }));
  return fc.oneof(
    { weight: 6, arbitrary: around[0]! },
    { weight: 4, arbitrary: around[1]! },
    ...around.slice(2).map((arbitrary) => ({ weight: 2, arbitrary })),
    { weight: 1, arbitrary: noObject },
  );
}
