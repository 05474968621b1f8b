import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { AnswerStream } from "../../../src/engine/answer-stream.js";
import type { ThinkingForm } from "../../../src/llama/types.js";

const think: ThinkingForm = { opening: "<think>", closing: "</think>", answer: "" };
const harmony: ThinkingForm = {
  opening: "<|channel|>analysis<|message|>",
  closing: "<|end|><|start|>assistant",
  answer: "<|channel|>final<|message|>",
};

/** All that is shown of a text that comes in pieces, and the numbers of the tokens of each kind. */
function read(
  text: string,
  cuts: readonly number[],
  form: ThinkingForm | null,
  isOpen = false,
  stops: string[] = [],
) {
  const stream = new AnswerStream<number>(stops, form, isOpen);
  const bytes = Buffer.from(text);
  const places = [0, ...cuts.map((cut) => cut % (bytes.length + 1)), bytes.length].sort((a, b) => a - b);
  const all = { reasoning: "", text: "", thoughts: [] as number[], tokens: [] as number[] };
  const take = (parts: typeof all) => {
    all.reasoning += parts.reasoning;
    all.text += parts.text;
    all.thoughts.push(...parts.thoughts);
    all.tokens.push(...parts.tokens);
  };
  for (const [index, place] of places.slice(1).entries()) {
    take(stream.push(index, bytes.subarray(places[index], place)));
    if (stream.stopFound !== null) break;
  }
  if (stream.stopFound === null) take(stream.finish());
  return { ...all, hidden: stream.takeHidden(), numTokens: places.length - 1 };
}

describe("an answer, however it is cut into tokens", () => {
  it.each([
    [
      "a thought and an answer",
      "<think>\nHm. </\n</think>\n\nYes: 😀 </think>",
      think,
      false,
      "Hm. </",
      "Yes: 😀 </think>",
    ],
    ["a thought that the prompt begins", "Hm, é.</think>Yes", think, true, "Hm, é.", "Yes"],
    ["an answer alone", " <thin Yes\n", think, false, "", " <thin Yes\n"],
    ["a thought alone", "<think>Hm", think, false, "Hm", ""],
    ["nothing", "", think, false, "", ""],
    ["white space", " \n", think, false, "", " \n"],
    ["an empty thought", "<think>\n\n</think>\n\nYes", think, false, "", "Yes"],
    ["a mark in the middle of an answer", "Yes <think>no</think>", think, false, "", "Yes <think>no</think>"],
    [
      "channels",
      "<|channel|>analysis<|message|>A<|end|><|start|>assistant<|channel|>analysis<|message|>B<|end|>" +
        "<|start|>assistant<|channel|>final<|message|>Yes",
      harmony,
      false,
      "AB",
      "Yes",
    ],
    [
      "a call after a channel",
      "<|channel|>analysis<|message|>A<|end|><|start|>assistant<|channel|>commentary to=f",
      harmony,
      false,
      "A",
      "<|channel|>commentary to=f",
    ],
    ["a final channel alone", "<|channel|>final<|message|> Yes", harmony, false, "", " Yes"],
  ] as const)("%s", (_name, text, form, isOpen, reasoning, said) => {
    fc.assert(
      fc.property(fc.array(fc.nat(), { maxLength: 12 }), (cuts) => {
        const answer = read(text, cuts, form, isOpen);
        expect(answer).toMatchObject({ reasoning, text: said });
        const seen = [...answer.thoughts, ...answer.tokens, ...answer.hidden].sort((a, b) => a - b);
        expect(seen).toEqual(Array.from({ length: answer.numTokens }, (_, index) => index));
      }),
    );
  });

  it("a stop string ends what is said, not what is thought", () => {
    const answer = read("<think>a STOP b</think>c STOP d", [3, 9, 20, 27], think, false, ["STOP"]);
    expect(answer).toMatchObject({ reasoning: "a STOP b", text: "c " });
  });

  it("without a form all is said", () => {
    expect(read("<think>a</think>b", [4], null)).toMatchObject({ reasoning: "", text: "<think>a</think>b" });
  });
});
