import fc from "fast-check";
import { expect, it } from "vitest";
import { pieceOf, readAnswer, ToolCallReader } from "../../../src/api/openai/tool-calls.js";
import type { ToolCallDelta } from "../../../src/wire/completion.js";
import { toolIdMark, type ToolForm } from "../../../src/protocol/protocol.js";
import { plainToolForm } from "../../../src/engine/tool-prompts.js";

const mistral: ToolForm = {
  opening: `[TOOL_CALLS][{"name": "`,
  middle: `", "arguments": `,
  between: `, "id": "${toolIdMark}"}, {"name": "`,
  ending: `, "id": "${toolIdMark}"}]`,
};
const llama: ToolForm = { opening: `{"name": "`, middle: `", "parameters": `, between: null, ending: "}" };
const brackets: ToolForm = { opening: "[TOOL_CALLS]", middle: "[ARGS]", between: "[TOOL_CALLS]", ending: "" };
const forms = fc.constantFrom(plainToolForm, mistral, brackets);

function write({ opening, middle, between, ending }: ToolForm, given: readonly [string, unknown][]): string {
  const bodies = given.map(([name, args]) => name + middle + JSON.stringify(args));
  return (opening + bodies.join(between ?? "") + ending).replaceAll(toolIdMark, "a1B2c3D4e");
}

const calls = fc.array(
  fc.tuple(fc.stringMatching(/^[\w-]{1,12}$/), fc.dictionary(fc.string(), fc.jsonValue())),
  {
    minLength: 1,
    maxLength: 4,
  },
);

it("calls come out as they went in, however the text is cut", () => {
  fc.assert(
    fc.property(
      forms,
      fc.constantFrom("", "Let me see: <tool\n", "[TOOL_CALLS"),
      calls,
      fc.array(fc.nat()),
      (form, before, given, cuts) => {
        const text = before + write(form, given);
        let shown = "";
        const places = [0, ...cuts.map((cut) => cut % text.length), text.length].sort((a, b) => a - b);
        const reader = new ToolCallReader(form);
        const read: { name: string | undefined; arguments: string }[] = [];
        const take = (piece: ToolCallDelta) => {
          const { name, text: args } = pieceOf(piece);
          const call = (read[piece.index] ??= { name, arguments: "" });
          call.arguments += args;
        };
        for (const [index, place] of places.slice(1).entries()) {
          const { content, toolCalls } = reader.push(text.slice(places[index], place));
          shown += content;
          toolCalls.forEach(take);
        }
        expect(shown + reader.finish(false).content).toBe(before);
        expect(read.map((call) => [call.name, JSON.parse(call.arguments) as unknown])).toEqual(
          given.map(([name, args]) => [name, JSON.parse(JSON.stringify(args)) as unknown]),
        );
      },
    ),
  );
});

it("text that is no call is text, also where it begins like one", () => {
  fc.assert(
    fc.property(
      fc.constantFrom(plainToolForm, mistral, brackets, llama),
      fc.constantFrom("", "<", "<tool_", "<tool_call ", '{"name": "', "a<tool_call>{", "[TOOL_CALLS"),
      fc.string(),
      fc.nat(),
      (form, start, rest, cut) => {
        const text = start + rest;
        fc.pre(!text.includes(form.opening) || !text.includes(form.middle));
        const reader = new ToolCallReader(form);
        const at = cut % (text.length + 1);
        const shown = reader.push(text.slice(0, at)).content + reader.push(text.slice(at)).content;
        expect(shown + reader.finish(false).content).toBe(text);
        expect(readAnswer(text, form, false)).toEqual({ content: text, toolCalls: [], isWhole: false });
      },
    ),
  );
});

it("what looks like the beginning of a call in plain JSON is text, where the form has no mark of its own", () => {
  const text = `Here: {"name": "x", "parameters": {}}`;
  expect(readAnswer(text, llama, false)).toEqual({ content: text, toolCalls: [], isWhole: false });
  expect(readAnswer(`{"name": "x", "parameters": {}}`, llama, false).toolCalls).toMatchObject([
    { function: { name: "x", arguments: "{}" } },
  ]);
});

it("a call that was cut short is no call, and no text", () => {
  const form = { opening: '<tool_call>\n{"name": "', middle: '", "arguments": ', between: null, ending: "}\n</tool_call>" }; // prettier-ignore
  const whole = 'Well. <tool_call>\n{"name": "f", "arguments": {"a": "b"}}\n</tool_call>';
  for (let length = "Well. ".length; length < whole.length; length++) {
    const { content, toolCalls, isWhole: isAll } = readAnswer(whole.slice(0, length), form, true);
    expect(isAll).toBe(false);
    const isWhole = whole.slice(0, length).includes('"b"}');
    expect([content, toolCalls.length], whole.slice(0, length)).toEqual(["Well. ", isWhole ? 1 : 0]);
  }
  expect(readAnswer("a <", form, false).content).toBe("a <");
});

it("calls are whole once their ending has come", () => {
  const call = `[TOOL_CALLS][{"name": "f", "arguments": {}, "id": "a1B2c3D4e"}`;
  expect(readAnswer(`${call}]`, mistral, true)).toMatchObject({ isWhole: true });
  expect(readAnswer(call, mistral, true)).toMatchObject({ isWhole: false });
  expect(readAnswer(`${call}, {"name": "g"`, mistral, true)).toMatchObject({ isWhole: false });
  expect(readAnswer("[TOOL_CALLS]f[ARGS]{}", brackets, true)).toMatchObject({ isWhole: true });
});
