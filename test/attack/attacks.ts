import { doublingSchema } from "../support/doubling-schema.js";
import * as bodies from "./bodies.js";
import { atOnce, leftEarly, pause, post, refusals, type AskOptions, type Reply } from "./requests.js";
import { siblings } from "./siblings.js";
import { connectionAttacks } from "./connections.js";
import { traceAttacks } from "./trace-attacks.js";
import type { Target } from "./target.js";

/**
 * Every way by which a client was seen to end the server, to hold others up, or to take memory that was not his, and
 * what is like it. The tests and the bench run this table against one running server, with a canary beside it.
 */

export const attackKinds = [
  ...["json", "lists", "schema", "grammar", "tokenizer", "messages", "choices", "queries", "flood"],
  ...["sockets", "pipelining", "traces"],
] as const;
export type AttackKind =
  | "json"
  | "lists"
  | "schema"
  | "grammar"
  | "tokenizer"
  | "messages"
  | "choices"
  | "queries"
  | "flood"
  | "sockets"
  | "pipelining"
  | "traces";

export interface Attack {
  kind: AttackKind;
  name: string;
  /** What its requests may be answered. Default: 200, or a refusal. */
  allowed?: readonly number[];
  /** Takes longer than a test may: only the bench runs it. */
  isLong?: true;
  /** Throws where something else than statuses is to be seen of it. */
  send: (target: Target) => Promise<readonly Reply[]>;
}

const chatPath = "/v1/chat/completions";
const textPath = "/v1/completions";

/** The same body so many times at once; the body is made when it is sent. */
function sending(path: string, body: () => string, count = 1, options: AskOptions = {}): Attack["send"] {
  return (target) => {
    const text = body();
    return atOnce(count, () => post(target, path, text, options));
  };
}

const json: Attack[] = [
  ...([1900, 1960, 2100, 20_000, 300_000] as const).flatMap((depth) =>
    (["object", "array", "both"] as const).map((form): Attack => ({
      kind: "json",
      name: `a tool's default, ${form} ${depth} deep`,
      send: sending(chatPath, () => {
        const text = bodies.nested(depth, form);
        return bodies.chat({
          tools: bodies.toolWith(`{"type":"object","properties":{},"default":${text}}`),
        });
      }),
    })),
  ),
  {
    kind: "json",
    name: "a schema 10,000 deep",
    send: sending(chatPath, () =>
      bodies.chat({
        response_format: bodies.schemaWith('{"anyOf":['.repeat(10_000) + "{}" + "]}".repeat(10_000)),
      }),
    ),
  },
  {
    kind: "json",
    name: "metadata 200,000 deep, which nobody reads",
    send: sending(chatPath, () => bodies.chat({ metadata: `{"a":${bodies.nested(200_000, "array")}}` })),
  },
  {
    kind: "json",
    name: "only brackets, never closed",
    send: sending(chatPath, () => "[".repeat(bodies.longestBody)),
  },
  {
    kind: "json",
    name: "2 MiB of one number's digits",
    send: sending(chatPath, () => bodies.chat({ max_tokens: "9".repeat(bodies.longestBody - 2000) })),
  },
];

const lists: Attack[] = [
  {
    kind: "lists",
    name: "input of 700,000 empty objects",
    send: sending("/v1/responses", () => bodies.object({ model: '"recall"', input: bodies.listOf("{}") })),
  },
  {
    kind: "lists",
    name: "a prompt of 130,000 wrong ids",
    send: sending(textPath, () =>
      bodies.object({ model: '"recall"', prompt: `[${bodies.listOf("-1", 400_000)}]` }),
    ),
  },
  {
    kind: "lists",
    name: "three prompts of 2 MiB of wrong ids at once",
    send: sending(textPath, () => bodies.object({ model: '"recall"', prompt: bodies.listOf("-1") }), 3),
  },
];

const constsOf = (count: number) => `{"oneOf":[${bodies.mapped(count, (index) => `{"const":${index}}`)}]}`;

/** Schemas of which little is written and much has to be looked at. */
const hardToRead = {
  "a value that fits none of 2^40 ways": doublingSchema,
  "500 patterns of many states": {
    type: "object",
    properties: Object.fromEntries(
      Array.from({ length: 500 }, (_, index) => [
        `p${index}`,
        { type: "string", pattern: `a.{12}c${index}` },
      ]),
    ),
  },
  "500 multiples": {
    type: "object",
    properties: Object.fromEntries(
      Array.from({ length: 500 }, (_, index) => [
        `p${index}`,
        { type: "integer", multipleOf: 991, minimum: index, maximum: 1e9 },
      ]),
    ),
  },
};

const linesOf = (count: number, make: (index: number) => string): string =>
  Array.from({ length: count }, (_, index) => make(index)).join("\n");

/** Grammars of custom tools, of which the same holds. */
const hardGrammars = {
  "patterns of many states": "start: /(?:.*a.{12}){8}/",
  "long repetitions": `start: "a"\n${linesOf(30, (index) => ` | /[a-z]{1,${900 + index}}x/`)}`,
  "rules 4,000 deep": `start: a0\n${linesOf(4000, (index) => `a${index}: a${index + 1}`)}\na4000: "x"`,
  "repetitions of repetitions": `start: a0\n${linesOf(45, (index) => `a${index}: a${index + 1}~1000`)}\na45: "x"`,
};

const schema: Attack[] = [
  ...Object.entries(hardGrammars).map(([name, definition]): Attack => ({
    kind: "schema",
    name: `custom tools with grammars: ${name}`,
    send: sending(chatPath, () => {
      const grammar = { syntax: "lark", definition };
      const numTools = Math.min(128, Math.floor(200_000 / definition.length));
      const tools = Array.from({ length: numTools }, (_, index) => ({
        type: "custom",
        custom: { name: `t${index}`, format: { type: "grammar", grammar } },
      }));
      return bodies.chat({ tools: JSON.stringify(tools), tool_choice: '"required"' });
    }),
  })),
  ...[10_000, 130_000].map((count): Attack => ({
    kind: "schema",
    name: `a tool with one of ${count} constants`,
    send: sending(chatPath, () =>
      bodies.chat({ tools: bodies.toolWith(bodies.propertiesWith(constsOf(count))) }),
    ),
  })),
  {
    kind: "schema",
    name: "one of 4,000 constants within 64 KiB of schema",
    send: sending(chatPath, () => bodies.chat({ response_format: bodies.schemaWith(constsOf(4000)) })),
  },
  {
    kind: "schema",
    name: "128 tools with one of 1,000 constants each",
    send: sending(chatPath, () => {
      const tools = bodies.mapped(
        128,
        (index) =>
          `{"type":"function","function":{"name":"f${index}","parameters":${bodies.propertiesWith(constsOf(1000))}}}`,
      );
      return bodies.chat({ tools: `[${tools}]` });
    }),
  },
  {
    kind: "schema",
    name: "60,000 properties, all required",
    send: sending(chatPath, () => {
      const properties = bodies.mapped(60_000, (index) => `"p${index}":{}`);
      const required = bodies.mapped(60_000, (index) => `"p${59_999 - index}"`);
      return bodies.chat({
        tools: bodies.toolWith(`{"type":"object","properties":{${properties}},"required":[${required}]}`),
      });
    }),
  },
  {
    kind: "schema",
    name: "an enum of 200,000 texts",
    send: sending(chatPath, () =>
      bodies.chat({
        tools: bodies.toolWith(
          bodies.propertiesWith(`{"enum":[${bodies.mapped(180_000, (index) => `"t${index}"`)}]}`),
        ),
      }),
    ),
  },
  ...[
    '{"$ref":"#/$defs/%E0%A4%A"}',
    '{"oneOf":[null,1]}',
    '{"oneOf":[{"const":1},null]}',
    '{"$ref":"#"}',
  ].map((text): Attack => ({
    kind: "schema",
    name: text,
    send: sending(chatPath, () =>
      bodies.chat({ response_format: bodies.schemaWith(bodies.propertiesWith(text)) }),
    ),
  })),
  ...Object.entries(hardToRead).map(([name, schema]): Attack => ({
    kind: "schema",
    name,
    send: sending(chatPath, () =>
      bodies.chat({ response_format: bodies.schemaWith(JSON.stringify(schema)) }),
    ),
  })),
  {
    kind: "schema",
    name: "34,000 integer ranges, 16 answers",
    send: sending(chatPath, () =>
      bodies.chat({
        n: "16",
        tools: bodies.toolWith(
          `{"type":"object","properties":{${bodies.mapped(34_000, (index) => `"p${index}":{"type":"integer","minimum":${index},"maximum":9${index}}`)}}}`,
        ),
      }),
    ),
  },
];

const classGrammar = (members: string, comment = "") =>
  JSON.stringify(`${comment}root ::= c{40}\nc ::= [^\\x00-\\x7f${members}]`);

const grammar: Attack[] = [
  ...[8, 64].map((kib): Attack => ({
    kind: "grammar",
    name: `a class without adjacent characters, ${kib} KiB`,
    send: sending(chatPath, () =>
      bodies.chat({ grammar: classGrammar(bodies.characterRun(kib * 1024 - 600)), max_tokens: "16" }),
    ),
  })),
  {
    kind: "grammar",
    name: "three such classes at once",
    send: (target) =>
      atOnce(3, (index) =>
        post(
          target,
          chatPath,
          bodies.chat({
            grammar: classGrammar(bodies.characterRun(64_900), `# ${index}\n`),
            max_tokens: "16",
          }),
        ),
      ),
  },
  {
    kind: "grammar",
    name: "a class with every second character, in both senses",
    send: (target) =>
      atOnce(2, (index) => {
        const members = bodies.characterRun(60_000, { step: 2 });
        return post(
          target,
          chatPath,
          bodies.chat({
            grammar: JSON.stringify(`root ::= c+\nc ::= [${index === 0 ? "" : "^"}${members}]`),
            max_tokens: "16",
          }),
        );
      }),
  },
];

const run = (text: string, length: number) => JSON.stringify(text.repeat(length));
const splitters = ["gpt4o", "tekken"] as const;

const tokenizer: Attack[] = splitters.flatMap((model): Attack[] => [
  {
    kind: "tokenizer",
    name: `${model}: a run of 400 letters at the end of 9 KB`,
    // The prompt is read at everybody's pace: what becomes of its letters is known long before.
    send: sending(
      textPath,
      () =>
        bodies.object({
          model: JSON.stringify(model),
          prompt: JSON.stringify("one two ".repeat(1100) + "a".repeat(400)),
          max_tokens: "1",
        }),
      1,
      { hangUpMs: 4_000 },
    ),
  },
  {
    kind: "tokenizer",
    name: `${model}: 6,000 letters at once`,
    send: sending("/tokenize", () =>
      bodies.object({ model: JSON.stringify(model), content: run("a", 6000) }),
    ),
  },
  ...["a", "1", " ", "\n", "'", "é", "漢", "\u0300", "."].map((letter): Attack => ({
    kind: "tokenizer",
    name: `${model}: a run of 262,144 of ${JSON.stringify(letter)}`,
    send: sending("/tokenize", () =>
      bodies.object({ model: JSON.stringify(model), content: run(letter, 262_144) }),
    ),
  })),
  {
    kind: "tokenizer",
    name: `${model}: a run in the answer's given beginning`,
    send: sending(chatPath, () => bodies.chat({ fusion: `{"continue":${run("a", 7000)}}` }, model), 1, {
      hangUpMs: 4_000,
    }),
  },
]);

const empty = '{"role":"user","content":""}';
const toolMessage = '{"role":"tool","content":"","tool_call_id":""}';
const answerMessage = '{"role":"assistant","content":""}';

const messages: Attack[] = [
  ...[1, 4].map((count): Attack => ({
    kind: "messages",
    name: `70,000 empty messages, 16 answers, ${count} at once`,
    send: sending(chatPath, () => bodies.chat({ messages: bodies.messages(empty, 70_000), n: "16" }), count),
  })),
  {
    kind: "messages",
    name: "60,000 empty answers, 16 answers",
    send: sending(chatPath, () => bodies.chat({ messages: bodies.messages(answerMessage, 60_000), n: "16" })),
  },
  {
    kind: "messages",
    name: "an assistant's text of 2 MB, 16 answers",
    send: sending(chatPath, () =>
      bodies.chat({
        messages: `[{"role":"assistant","content":${run("word ", 400_000)}},{"role":"user","content":"hi"}]`,
        n: "16",
      }),
    ),
  },
  ...[5000, 24_000].map((count): Attack => ({
    kind: "messages",
    name: `${count} results of tools for a template that has a place for them`,
    send: sending(chatPath, () =>
      bodies.chat({ messages: bodies.messages(toolMessage, count), max_tokens: "1" }, "tools"),
    ),
  })),
  {
    kind: "messages",
    name: "128 calls in each of 200 messages, and a result for each",
    send: sending(chatPath, () => {
      const calls = bodies.mapped(
        128,
        (index) => `{"id":"c${index}","type":"function","function":{"name":"f","arguments":"{}"}}`,
      );
      const results = bodies.mapped(
        128,
        (index) => `{"role":"tool","content":"","tool_call_id":"c${index}"}`,
      );
      const turn = `{"role":"assistant","content":"","tool_calls":[${calls}]},${results}`;
      return bodies.chat({ messages: `[${Array(100).fill(turn).join(",")}]` }, "tools");
    }),
  },
];

const choices: Attack[] = [
  {
    kind: "choices",
    name: "128 prompts with full traces",
    send: sending(textPath, () =>
      bodies.object({
        model: '"recall"',
        prompt: `[${bodies.mapped(128, (index) => `"Where does ${index} live?"`)}]`,
        max_tokens: "480",
        logit_bias: '{"0":-100,"1":-100,"2":-100,"3":-100}',
        fusion: '{"trace":"full"}',
      }),
    ),
  },
  {
    kind: "choices",
    name: "128 prompts streamed, left after 5 s",
    allowed: [200, leftEarly, ...refusals],
    send: sending(
      textPath,
      () =>
        bodies.object({
          model: '"long"',
          prompt: `[${bodies.mapped(128, (index) => `"${index}"`)}]`,
          max_tokens: "8000",
          stream: "true",
          fusion: '{"trace":"off"}',
        }),
      1,
      { hangUpMs: 5000 },
    ),
  },
  ...[120, 480].map((tokens): Attack => ({
    kind: "choices",
    name: `16 answers with 20 alternatives to each of ${tokens} tokens, four times`,
    ...(tokens > 120 && { isLong: true }),
    send: sending(
      chatPath,
      () =>
        bodies.chat({
          n: "16",
          max_tokens: String(tokens),
          logprobs: "true",
          top_logprobs: "20",
          logit_bias: '{"0":-100,"1":-100,"2":-100,"3":-100}',
        }),
      4,
    ),
  })),
];

const queries: Attack[] = [
  {
    kind: "queries",
    name: "400 long texts to /tokenize, each left after 5 ms",
    allowed: [200, leftEarly, 0, ...refusals],
    send: (target) => {
      const body = bodies.object({ model: '"recall"', content: run("a", 262_144) });
      return atOnce(400, async (index) => {
        await pause(5 * index);
        return post(target, "/tokenize", body, { hangUpMs: 5 });
      });
    },
  },
  {
    kind: "queries",
    name: "100 long texts to /tokenize at once",
    send: sending(
      "/tokenize",
      () => bodies.object({ model: '"recall"', content: run("word ", 52_000) }),
      100,
    ),
  },
  {
    kind: "queries",
    name: "/apply-template of 70,000 empty messages",
    send: sending("/apply-template", () =>
      bodies.object({ model: '"recall"', messages: bodies.messages(empty, 70_000) }),
    ),
  },
  {
    kind: "queries",
    name: "/apply-template of a message of 2 MB, four times",
    send: sending(
      "/apply-template",
      () =>
        bodies.object({
          model: '"recall"',
          messages: `[{"role":"user","content":${run("word ", 400_000)}}]`,
        }),
      4,
    ),
  },
  {
    kind: "queries",
    name: "/detokenize of 262,144 ids, 50 times",
    send: sending(
      "/detokenize",
      () => bodies.object({ model: '"recall"', tokens: bodies.listOf("300", 1_000_000) }),
      50,
    ),
  },
  {
    kind: "queries",
    name: "30 solves at their bound",
    send: sending(
      "/v1/fusion/solve",
      () => {
        const row = `[${bodies.mapped(80_000, (index) => String((index * 7919) % 31))}]`;
        return bodies.object({ base: row, reference: row, experts: `{"a":${row}}` });
      },
      30,
    ),
  },
];

const flood: Attack[] = [
  {
    kind: "flood",
    name: "600 requests of one key for 5 s",
    send: async (target) => {
      const until = performance.now() + 5000;
      const body = bodies.chat({ max_tokens: "16" });
      const statuses = await atOnce(600, async () => {
        const seen = new Set<number>();
        while (performance.now() < until) {
          const { status } = await post(target, chatPath, body);
          seen.add(status);
          // Whoever is refused comes again, as a greedy client does.
          if (status !== 200) await pause(250);
        }
        return seen;
      });
      return statuses.flatMap((seen) => [...seen].map((status) => ({ status, text: "" })));
    },
  },
  {
    kind: "flood",
    name: "600 prompts of the longest kind",
    send: sending(
      textPath,
      () => bodies.object({ model: '"recall"', prompt: run("word ", 400), max_tokens: "1" }),
      600,
    ),
  },
];

/** Everything in the table, and `numSiblings` drawn cases of each kind of body. */
export function allAttacks(seed: number, numSiblings: number): Attack[] {
  const table = [json, lists, schema, grammar, tokenizer, messages, choices, queries, flood].flat();
  return [...table, ...siblings(seed, numSiblings), ...traceAttacks, ...connectionAttacks];
}
