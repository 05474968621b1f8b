import { readdirSync, readFileSync } from "node:fs";
import path from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { createChatTemplate } from "../../src/llama/chat-template.js";
import type { ChatTurn, Tool } from "../../src/llama/types.js";
import { temporaryDirectory } from "../support/temporary-directory.js";
import { checkOutVocabularies } from "../support/vocabularies.js";

/** The chat templates of well-known models that the package's llama.cpp keeps: the bound of steps refuses none. */

const sources = temporaryDirectory();
let templates: Map<string, string>;
beforeAll(async () => {
  const directory = path.join(await checkOutVocabularies(sources.path), "templates");
  const names = readdirSync(directory).filter((name) => name.endsWith(".jinja"));
  templates = new Map(names.map((name) => [name, readFileSync(path.join(directory, name), "utf8")]));
  expect(templates.size).toBeGreaterThanOrEqual(60);
}, 120_000);
afterAll(() => sources.remove());

const create = (text: string) =>
  createChatTemplate({
    text,
    bosText: "<s>",
    eosText: "</s>",
    architecture: "llama",
    modelName: "model",
    fileName: "model.gguf",
  });

/** 100 tools with 20 parameters each, some of them nested: 250 kB of JSON. */
const tools: Tool[] = Array.from({ length: 100 }, (_, index) => ({
  name: `function_${index}`,
  description: "Looks something up that somebody wants to know. ".repeat(4),
  parameters: {
    type: "object",
    properties: Object.fromEntries(
      Array.from({ length: 20 }, (__, at) => [
        `parameter_${at}`,
        at % 4 === 0
          ? {
              type: "object",
              properties: { inner: { type: ["string", "null"], description: "What is inside." } },
            }
          : { type: "string", description: "One of its parameters.", enum: ["one", "two", "three"] },
      ]),
    ),
    required: ["parameter_0", "parameter_1"],
  },
}));

const plain = (numTurns: number, text: string): ChatTurn[] =>
  Array.from({ length: numTurns }, (_, index) => ({
    role: index % 2 === 0 ? "user" : "assistant",
    content: `${index}: ${text}`,
  }));

/** Question, two calls, their results, answer; and again. */
const withCalls = (numTurns: number): ChatTurn[] =>
  Array.from({ length: Math.floor(numTurns / 5) }, (_, index): ChatTurn[] => {
    const call = (name: string, at: number) => ({
      id: `call-${index}-${at}`,
      name,
      arguments: JSON.stringify({
        parameter_0: { inner: "x".repeat(50) },
        parameter_1: "two",
        list: [1, 2, 3],
      }),
    });
    const calls = [call("function_1", 0), call("function_2", 1)];
    return [
      { role: "user", content: `What is ${index}?` },
      { role: "assistant", content: "", toolCalls: calls },
      ...calls.map(({ id }): ChatTurn => ({ role: "tool", content: '{"found": [1, 2, 3]}', toolCallId: id })),
      { role: "assistant", content: `It is ${index}.` },
    ];
  })
    .flat()
    .concat({ role: "user", content: "And now?" });

/** How many templates write a chat, and what those say that take too many steps: others refuse such turns by themselves. */
function renderAll(
  turns: readonly ChatTurn[],
  given: readonly Tool[],
): { numWritten: number; refused: string[] } {
  const found = { numWritten: 0, refused: [] as string[] };
  for (const [name, text] of templates) {
    const template = create(text);
    if (template.source !== "file" || (template.toolForm === null && given.length > 0)) continue;
    try {
      template.render(turns, { tools: given });
      found.numWritten++;
    } catch (error) {
      const { message } = error as Error;
      if (/steps/.test(message)) found.refused.push(`${name}: ${message}`);
    }
  }
  return found;
}

describe("no template of a well-known model takes more steps than any may", () => {
  it("to be taken for one that works", () => {
    const problems = [...templates].flatMap(([name, text]) => {
      const { problem } = create(text);
      return problem !== null && /steps/.test(problem) ? [`${name}: ${problem}`] : [];
    });
    expect(problems).toEqual([]);
  });

  it.each<[string, ChatTurn[], Tool[], number]>([
    ["a chat of 200 turns", plain(201, "a few words"), [], 60],
    ["long texts", plain(21, "many words ".repeat(2000)), [], 60],
    ["a question with 100 tools", plain(1, "a few words"), tools, 20],
    ["a chat of 200 turns with calls, and 100 tools", withCalls(200), tools, 20],
  ])("for %s", (_name, turns, given, fewest) => {
    const { numWritten, refused } = renderAll(turns, given);
    expect(refused).toEqual([]);
    expect(numWritten).toBeGreaterThanOrEqual(fewest);
  });
});
