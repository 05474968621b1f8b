import { plainPrompts } from "../routing/plain-prompts.js";
import type { Example } from "./ask.js";

/** They are given in the form in which most examples are: plain text or a conversation. */
export function backgroundPrompts(examples: readonly Pick<Example, "prompt">[]): Example["prompt"][] {
  const numChats = examples.filter(({ prompt }) => prompt.type === "chat").length;
  return plainPrompts.map((text) =>
    2 * numChats < examples.length
      ? { type: "text", text }
      : { type: "chat", messages: [{ role: "user", content: text }] },
  );
}
