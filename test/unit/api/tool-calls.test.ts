import fc from "fast-check";
import { expect, test } from "vitest";
import {
  readAnswer,
  ToolCallReader,
  writeCall,
  type ToolCallDelta,
} from "../../../src/api/openai/tool-calls.js";

const calls = fc.array(
  fc.tuple(fc.stringMatching(/^[\w-]{1,12}$/), fc.dictionary(fc.string(), fc.jsonValue())),
  {
    minLength: 1,
    maxLength: 4,
  },
);

test("calls come out as they went in, however the text is cut", () => {
  fc.assert(
    fc.property(calls, fc.array(fc.nat()), (given, cuts) => {
      const text = given.map(([name, args]) => writeCall(name, JSON.stringify(args))).join("\n");
      const places = [0, ...cuts.map((cut) => cut % text.length), text.length].sort((a, b) => a - b);
      const reader = new ToolCallReader();
      const read: { name: string | undefined; arguments: string }[] = [];
      const take = ({ index, function: piece }: ToolCallDelta) => {
        const call = (read[index] ??= { name: piece.name, arguments: "" });
        call.arguments += piece.arguments;
      };
      for (const [index, place] of places.slice(1).entries()) {
        const { content, toolCalls } = reader.push(text.slice(places[index], place));
        expect(content).toBe("");
        toolCalls.forEach(take);
      }
      expect(reader.finish().content).toBe("");
      expect(read.map((call) => [call.name, JSON.parse(call.arguments) as unknown])).toEqual(
        given.map(([name, args]) => [name, JSON.parse(JSON.stringify(args)) as unknown]),
      );
    }),
  );
});

test("text that is no call is text, also where it begins like one", () => {
  fc.assert(
    fc.property(
      fc.constantFrom("", "<", "<tool_", "<tool_call "),
      fc.string(),
      fc.nat(),
      (start, rest, cut) => {
        const text = start + rest;
        fc.pre(!text.startsWith("<tool_call>"));
        const reader = new ToolCallReader();
        const at = cut % (text.length + 1);
        const shown = reader.push(text.slice(0, at)).content + reader.push(text.slice(at)).content;
        expect(shown + reader.finish().content).toBe(text);
        expect(readAnswer(text)).toEqual({ content: text, toolCalls: [] });
      },
    ),
  );
});
