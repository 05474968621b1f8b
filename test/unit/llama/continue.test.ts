import { describe, expect, it } from "vitest";
import { createChatTemplate } from "../../../src/llama/chat-template.js";
import { chatTemplates, templateVectors } from "../../support/template-vectors.js";

const specials = { bosText: "<s>", eosText: "</s>", architecture: "x", modelName: "m", fileName: "m.gguf" };

/** Those that refuse any answer, or all chats without more input, for jinja2 too. */
const isRefused = (name: string) => templateVectors.rendered[name]!["last is the assistant's"] === null;
const own = chatTemplates.filter(([name]) => !isRefused(name));

/** Texts that stand in templates' own marks too, and white space. */
const texts = ["", "e", "<", "|", "end", "s", "assistant", "def f():\n    ", "a\n\n", " b", "</", "im_end"];

describe("a message that is continued", () => {
  it.each(own)("%s", (_name, text) => {
    const { render, source } = createChatTemplate({ text, ...specials });
    expect(source).toBe("file");
    const question = { role: "user" as const, content: "Shoulders?" };
    const rendered = (content: string) =>
      render([question, { role: "assistant", content }], { ending: "continue" });
    // Where the content stands: the same whatever it is.
    const head = rendered("#").slice(0, -1);
    expect(head).toContain("Shoulders?");
    for (const content of texts) {
      const continued = rendered(content);
      const kept = [content, content.trim(), content.trimStart(), content.trimEnd()];
      expect(kept, JSON.stringify([content, continued.slice(-60)])).toContain(continued.slice(head.length));
      expect(continued.startsWith(head), content).toBe(true);
    }
  });
});
