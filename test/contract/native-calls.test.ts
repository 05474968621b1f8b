import { readFileSync } from "node:fs";
import { describe, expect, it } from "vitest";
import {
  addTools,
  callForm,
  customNames,
  planTools,
  toolsSchema,
  type ToolPlan,
} from "../../src/api/openai/tools.js";
import { pieceOf, readAnswer, ToolCallReader, type CallForm } from "../../src/api/openai/tool-calls.js";
import { AnswerStream } from "../../src/engine/answer-stream.js";
import { writeCalls } from "../../src/engine/written-calls.js";
import { compileGrammar } from "../../src/grammar/gbnf.js";
import { GrammarBuilder } from "../../src/grammar/json/grammar-builder.js";
import { GrammarMachine } from "../../src/grammar/machine.js";
import { createChatTemplate, opensThought, type ChatTemplate } from "../../src/llama/chat-template.js";
import { answerAfter } from "../../src/llama/thinking-form.js";
import type { ChatTurn, ToolCall } from "../../src/llama/types.js";
import type { ToolCallDelta } from "../../src/wire/completion.js";
import { isValid } from "../support/json-schemas.js";
import { chatTemplates } from "../support/template-vectors.js";

/** Tool lists of public MCP servers. */
const servers = JSON.parse(
  readFileSync(new URL("../data/mcp/tools.json", import.meta.url), "utf8"),
) as Record<string, { name: string; description?: string; inputSchema: object }[]>;

/** Calls in the form of every template: written by it, held to the grammar, and read back. */

const parameters = {
  type: "object",
  properties: {
    town: { type: "string" },
    days: { type: "integer" },
    scale: { type: "string", enum: ["K", "C"] },
    flag: { type: "boolean" },
    maybe: { type: ["string", "null"] },
    tags: { type: "array", items: { type: "string" } },
    place: {
      type: "object",
      properties: { x: { type: "number" }, name: { type: "string" } },
      required: ["x"],
      additionalProperties: false,
    },
  },
  required: ["town"],
  additionalProperties: false,
};
const tools = toolsSchema
  .parse([
    {
      type: "function",
      function: { name: "get_weather", description: "How it is.", parameters, strict: true },
    },
    { type: "function", function: { name: "now", description: "The time." } },
  ])!
  .flatMap((tool) => (tool.type === "hosted" ? [] : [tool]));

const planOf = (form: CallForm, isRequired = true): ToolPlan =>
  planTools({ tools, tool_choice: isRequired ? "required" : "auto" }, form)!;

function grammarOf(plan: ToolPlan): { machine: GrammarMachine; form: CallForm } {
  const builder = new GrammarBuilder("tools");
  const { root, kinds } = addTools(builder, plan, null);
  const form = callForm(plan, kinds);
  return { machine: new GrammarMachine(compileGrammar(builder.build(root))), form };
}

function allows(machine: GrammarMachine, text: string): boolean {
  let state = machine.start();
  for (const byte of Buffer.from(text)) {
    state = machine.follow(machine.tidy(state), Uint8Array.of(byte));
    if (state < 0) return false;
  }
  return machine.accepts(state);
}

const create = (text: string): ChatTemplate =>
  createChatTemplate({
    text,
    bosText: "<s>",
    eosText: "</s>",
    architecture: "llama",
    modelName: "model",
    fileName: "model.gguf",
  });

const question: ChatTurn = { role: "user", content: "How is it in Bern?" };

/** What the template writes where a model would answer with these calls, without what is thought. */
function answerWith(template: ChatTemplate, calls: readonly ToolCall[], content = ""): string {
  // Some templates have no words for schemas with more to them.
  const told = tools.map(({ function: { name } }) => ({
    name,
    description: name,
    parameters: { type: "object", properties: {} },
  }));
  const prompt = template.render([question], { tools: told });
  const turn: ChatTurn = { role: "assistant", content, toolCalls: [...calls] };
  const whole = template.render([question, turn], { ending: "none", tools: told });
  const answer = answerAfter(prompt, whole);
  const { thinking } = template;
  // Some prompts open a thought that the template leaves out of what was said.
  const isOpen = opensThought(prompt, thinking) && answer.includes(thinking?.closing ?? "");
  const stream = new AnswerStream<number>([], thinking, isOpen);
  const pushed = stream.push(0, Buffer.from(answer));
  return pushed.text + stream.finish().text;
}

const call = (name: string, args: object, id = "a1B2c3D4e"): ToolCall => ({
  id,
  name,
  arguments: JSON.stringify(args),
});
const full = {
  town: 'Bern "old" <b>\n & new',
  days: 12,
  scale: "C",
  flag: true,
  maybe: null,
  tags: ["a", "b<c", ""],
  place: { x: -1.5, name: "x y" },
};
const cases: [string, ToolCall[]][] = [
  ["one argument", [call("get_weather", { town: "Bern" })]],
  ["all kinds of arguments", [call("get_weather", full)]],
  ["no arguments", [call("now", {})]],
  ["an empty text", [call("get_weather", { town: "" })]],
  ["two calls", [call("get_weather", { town: "Bern", days: 1 }), call("now", {}, "shoulder2")]],
  ["two calls, the second with arguments", [call("now", {}), call("get_weather", full, "shoulder2")]],
];

/** Some bytes at random, then the shortest way to an end. */
function writtenAtRandom(machine: GrammarMachine, seed: number): string {
  let random = seed + 1;
  const draw = (below: number) => {
    random = (Math.imul(random, 1664525) + 1013904223) >>> 0;
    return Math.floor((random / 2 ** 32) * below);
  };
  const bytes: number[] = [];
  let state = machine.start();
  for (let count = 40 + draw(120); count > 0 && !machine.isComplete(state); count--) {
    const allowed = Array.from({ length: 256 }, (_, byte) => byte).filter(
      (byte) => machine.step(state, byte) >= 0,
    );
    const byte = allowed[draw(allowed.length)]!;
    bytes.push(byte);
    state = machine.tidy(machine.step(state, byte));
  }
  return Buffer.concat([Buffer.from(bytes), machine.shortestText(state)]).toString();
}

const parsed = (args: string) => JSON.parse(args) as Record<string, unknown>;
const shown = (calls: readonly { name: string; arguments: string }[]) =>
  calls.map(({ name, arguments: args }) => ({ name, arguments: parsed(args) }));
const readCalls = (text: string, form: CallForm) =>
  shown(
    readAnswer(text, form, false).toolCalls.map((call) => {
      const { name = "", text: args } = pieceOf(call);
      return { name, arguments: args };
    }),
  );

/** In pieces of one character, as a stream might bring it. */
function readStreamed(text: string, form: CallForm) {
  const reader = new ToolCallReader(form);
  const calls: { name: string; arguments: string }[] = [];
  let content = "";
  const take = (pieces: readonly ToolCallDelta[]) => {
    for (const piece of pieces) {
      const { name = "", text: args } = pieceOf(piece);
      const known = (calls[piece.index] ??= { name, arguments: "" });
      known.arguments += args;
    }
  };
  for (const character of text) {
    const delta = reader.push(character);
    content += delta.content;
    take(delta.toolCalls);
  }
  return { content: content + reader.finish(false).content, calls: shown(calls) };
}

const native = chatTemplates
  .map(([name, text]) => ({ name, template: create(text) }))
  .filter(({ template }) => template.toolForm !== null);

it("is found for every template but those that know no functions", () => {
  const found = new Set(native.map(({ name }) => name));
  const knowNone = [
    "HuggingFaceTB-SmolLM3-3B",
    "google-gemma-2-2b-it",
    "llama-cpp-rwkv-world",
    "microsoft-Phi-3.5-mini-instruct",
  ];
  const missing = chatTemplates.map(([name]) => name).filter((name) => !found.has(name));
  expect(missing.sort()).toEqual(knowNone);
});

describe.each(native)("$name", ({ template }) => {
  const { machine, form } = grammarOf(planOf(template.toolForm!));
  const { calls: writesCalls } = template.toolTelling;
  const written = (calls: ToolCall[]) =>
    writesCalls ? answerWith(template, calls) : writeCalls(calls, template.toolForm!);

  it.each(cases)("what the template writes is read: %s", (_name, calls) => {
    if (calls.length > 1 && form.between === null) return;
    const text = written(calls);
    // Elements have no way to write that there is none: the template leaves them out.
    const said = shown(calls).map(({ name, arguments: args }) => {
      const told = Object.entries(args).filter(([, value]) => value !== null || !form.tags?.elements);
      return { name, arguments: Object.fromEntries(told) };
    });
    expect(readCalls(text, form), text).toEqual(said);
    expect(readStreamed(text, form).calls, text).toEqual(said);
  });

  it("what we write of a call is what the grammar allows, and is read", () => {
    for (const [, calls] of cases) {
      if (calls.length > 1 && form.between === null) continue;
      const text = writeCalls(calls, template.toolForm!);
      expect(readCalls(text, form), text).toEqual(shown(calls));
      expect(allows(machine, text), text).toBe(true);
    }
  });

  it("whatever the grammar allows is read, and fits", () => {
    for (let seed = 0; seed < 12; seed++) {
      const text = writtenAtRandom(machine, seed);
      const { content, calls } = readStreamed(text, form);
      expect(content.trim(), text).toBe("");
      expect(calls.length, text).toBeGreaterThan(0);
      for (const { name, arguments: args } of calls)
        expect(
          name === "now" ? Object.keys(args).length === 0 : isValid(parameters, JSON.stringify(args)),
          `${text}: ${JSON.stringify(args)}`,
        ).toBe(true);
    }
  });

  it("the input of a custom tool is of its grammar, and read as it stands", () => {
    const definition = 'start: line+ "end"\nline: "+" /[a-z "<é]{0,9}/ "\\n"';
    const format = { type: "grammar", grammar: { syntax: "lark", definition } };
    const custom = toolsSchema.parse([{ type: "custom", custom: { name: "patch", format } }]);
    const plan = planTools({ tools: custom, tool_choice: "required" }, template.toolForm!)!;
    const held = grammarOf({ ...plan, mayBeSeveral: false });
    const customs = customNames(plan);
    for (let seed = 0; seed < 6; seed++) {
      const text = writtenAtRandom(held.machine, seed);
      const { toolCalls } = readAnswer(text, { ...held.form, customs }, false);
      expect(toolCalls, text).toMatchObject([{ type: "custom", custom: { name: "patch" } }]);
      expect(pieceOf(toolCalls[0]!).text, text).toMatch(/^(?:\+[a-z "<é]{0,9}\n)+end$/);
    }
  });

  it("auto: text stays text, and calls may come after it", () => {
    const auto = grammarOf(planOf(template.toolForm!, false));
    expect(allows(auto.machine, "Just <some> [text].")).toBe(true);
    expect(readStreamed("Just <some> [text].", auto.form)).toEqual({
      content: "Just <some> [text].",
      calls: [],
    });
    if (form.opening.startsWith("{")) return;
    const written = writeCalls([call("now", {})], template.toolForm!);
    const [after] = form.isLeading ? form.others! : [];
    const following = after ? after.opening + written.slice(form.opening.length) : written;
    const text = `Let me see.\n${following}`;
    expect(allows(auto.machine, text), text).toBe(true);
    expect(readStreamed(text, auto.form)).toEqual({
      content: "Let me see.\n",
      calls: [{ name: "now", arguments: {} }],
    });
  });
});

const tagged = native.filter(({ template }) => template.toolForm?.tags !== undefined);
describe.each([
  "Qwen3-Coder",
  "GLM-4.6",
  "google-gemma-4-31B-it",
  "LFM2.5-8B-A1B",
  "Kimi-K3",
  "MiniMax-M3",
  "muse-glimmer",
])("the tools of MCP servers in the form of %s", (form) => {
  const { template } = tagged.find(({ name }) => name === form)!;

  it.each(Object.entries(servers))("%s", (_server, list) => {
    const asked = toolsSchema.parse(
      list.map(({ name, description, inputSchema }) => ({
        type: "function",
        function: { name, description, parameters: inputSchema },
      })),
    )!;
    const builder = new GrammarBuilder("tools");
    const plan = planTools({ tools: asked, tool_choice: "auto" }, template.toolForm!)!;
    const { root, kinds } = addTools(builder, plan, null);
    expect([...kinds.keys()]).toEqual(list.map(({ name }) => name));
    expect(() => compileGrammar(builder.build(root))).not.toThrow();
  });
});
