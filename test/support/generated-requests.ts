import fc from "fast-check";
import type { z } from "zod";
import { countTokensSchema, messagesSchema } from "../../src/api/anthropic/messages-schema.js";
import { llamaBodySchema } from "../../src/api/llama-cpp/completion.js";
import { aliasNames } from "../../src/api/openai/aliases.js";
import { foreignFields } from "../../src/api/openai/other-fields.js";
import { responsesSchema } from "../../src/api/openai/responses-schema.js";
import { chatSchema, textSchema } from "../../src/api/openai/schemas.js";
import { explainSchema } from "../../src/api/fusion/explain.js";
import { judgeSchema } from "../../src/api/fusion/judge.js";
import { solveSchema } from "../../src/api/fusion/solve.js";
import { applyTemplateSchema, detokenizeSchema, tokenizeSchema } from "../../src/api/vocabulary.js";

/**
 * Requests drawn around the schemas: a good body with one to three fields made wrong, under names of other servers too,
 * and conversations as clients send them back.
 */

export interface GeneratedRequest {
  path: string;
  /** JSON text: it can hold 1e999, which a value cannot. */
  body: string;
}

const messages = [{ role: "user", content: "hi" }];

interface Target {
  paths: string[];
  schema: z.ZodObject;
  /** Names of fields besides the schema's. */
  others?: readonly string[];
  good: (model: string) => Record<string, unknown>;
}

const otherNames = [...aliasNames, ...aliasNames, ...foreignFields];

const targets: Target[] = [
  {
    paths: ["/v1/chat/completions", "/chat/completions"],
    schema: chatSchema,
    others: otherNames,
    good: (model) => ({ model, messages, max_tokens: 2 }),
  },
  {
    paths: ["/v1/completions", "/completions"],
    schema: textSchema,
    others: otherNames,
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
    paths: ["/v1/fusion/judge"],
    schema: judgeSchema,
    good: (model) => ({ model, messages, candidates: ["x", "y"] }),
  },
  {
    paths: ["/v1/fusion/solve"],
    schema: solveSchema,
    good: () => ({ base: [0, 1], reference: [1, 0], experts: { a: [0, 2] } }),
  },
  {
    paths: ["/v1/messages", "/messages"],
    schema: messagesSchema,
    good: (model) => ({ model, messages, max_tokens: 2 }),
  },
  {
    paths: ["/v1/responses/input_tokens"],
    schema: responsesSchema,
    good: (model) => ({ model, input: "hi" }),
  },
  {
    paths: ["/v1/messages/count_tokens"],
    schema: countTokensSchema,
    good: (model) => ({ model, messages }),
  },
  {
    paths: ["/completion"],
    schema: llamaBodySchema,
    others: [...Object.keys(textSchema.shape), ...otherNames],
    good: (model) => ({ model, prompt: "hi", n_predict: 2 }),
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
/** What a client that echoes an answer adds to it, right and wrong. */
const echoedCall = fc.record(
  {
    id: fc.oneof(fc.constant("call_1"), badText),
    type: fc.oneof(fc.constant("function"), badText),
    index: badNumber,
    function: fc.oneof(
      fc.record(
        {
          name: fc.oneof(fc.constant("look_up"), badText),
          arguments: fc.oneof(fc.constant('{"a":1}'), badText, badShape),
          parsed_arguments: badShape,
        },
        { requiredKeys: ["name"] },
      ),
      badShape,
    ),
    cache_control: badShape,
  },
  { requiredKeys: ["function"] },
);
const echoedMessages = fc
  .record(
    {
      content: fc.oneof(fc.constantFrom("Yes?", null, ""), badShape),
      refusal: fc.oneof(fc.constant(null), badText),
      reasoning_content: fc.oneof(fc.constant("Hm."), badText),
      reasoning: badShape,
      tool_calls: fc.oneof(fc.array(echoedCall, { maxLength: 2 }), badShape),
      annotations: fc.constant([]),
      audio: fc.constant(null),
      function_call: fc.constant(null),
      parsed: badShape,
      provider_specific_fields: badShape,
    },
    { requiredKeys: [] },
  )
  .map((answer) => [
    ...messages,
    { role: "assistant", ...answer },
    ...(Array.isArray(answer.tool_calls)
      ? [{ role: "tool", tool_call_id: "call_1", content: "found", name: "look_up" }]
      : []),
    ...messages,
  ]);
/** The same as items of a response, and as blocks of a message. */
const echoedItems = fc
  .array(
    fc.record(
      {
        type: fc.oneof(
          fc.constantFrom("message", "reasoning", "function_call", "function_call_output", "item_reference"),
          badText,
        ),
        id: fc.oneof(fc.constant("msg_1"), badText),
        role: fc.oneof(fc.constantFrom("user", "assistant"), badText),
        status: fc.oneof(fc.constant("completed"), badShape),
        content: fc.oneof(
          fc.constantFrom("Yes?", [{ type: "output_text", text: "Yes?", annotations: [] }]),
          badShape,
        ),
        summary: fc.oneof(fc.constant([]), badShape),
        encrypted_content: badText,
        call_id: fc.oneof(fc.constant("call_1"), badText),
        name: fc.oneof(fc.constant("look_up"), badText),
        arguments: fc.oneof(fc.constant("{}"), badShape),
        output: fc.oneof(fc.constant("found"), badShape),
      },
      { requiredKeys: ["type", "role", "content", "summary", "call_id", "name", "arguments", "output"] },
    ),
    { maxLength: 3 },
  )
  .map((items) => [...messages, ...items]);
const echoedBlocks = fc
  .array(
    fc.record(
      {
        type: fc.oneof(
          fc.constantFrom("text", "thinking", "redacted_thinking", "tool_use", "tool_result", "image"),
          badText,
        ),
        text: fc.oneof(fc.constant("Yes?"), badText),
        thinking: fc.oneof(fc.constant("Hm."), badText),
        signature: badText,
        id: fc.oneof(fc.constant("call_1"), badText),
        name: fc.oneof(fc.constant("look_up"), badText),
        input: badShape,
        tool_use_id: fc.oneof(fc.constant("call_1"), badText),
        content: fc.oneof(fc.constant("found"), badShape),
        cache_control: badShape,
      },
      { requiredKeys: ["type", "text"] },
    ),
    { maxLength: 3 },
  )
  .map((blocks) => [...messages, { role: "assistant", content: blocks }, ...messages]);
/** Field to what is echoed in it. */
const echoes: Record<string, fc.Arbitrary<unknown>> = {
  messages: fc.oneof(echoedMessages, echoedBlocks),
  input: echoedItems,
};
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
    logprobs: fc.oneof(fc.constantFrom("fused", "processed", "unrestricted"), badText),
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

/** A conversation that is sent back, where a body has a place for one. */
function echoed(schema: z.ZodObject): fc.Arbitrary<[string, unknown][]> {
  const [field, arbitrary] = Object.entries(echoes).find(([name]) => name in schema.shape) ?? [];
  if (field === undefined || arbitrary === undefined) return fc.constant([]);
  return arbitrary.map((value) => [[field, value]]);
}

/** @param models ids of configs; most requests name one of them. */
export function generatedRequests(models: string[]): fc.Arbitrary<GeneratedRequest> {
  const around = targets.map(({ paths, schema, others = [], good }) =>
    fc
      .tuple(
        fc.constantFrom(...paths),
        fc.constantFrom(...models),
        fc.array(wrongField([...Object.keys(schema.shape), ...others]), { minLength: 1, maxLength: 3 }),
        fc.option(echoed(schema), { freq: 2 }),
      )
      .map(([path, model, wrong, conversation]): GeneratedRequest => {
        const entries = [...Object.entries(good(model)), ...(conversation ?? []), ...wrong];
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
