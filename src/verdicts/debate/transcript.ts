import { fieldError } from "../../errors.js";
import type { DebateSettings } from "../../config/debate.js";
import type { TextualPrompt } from "../answer-tokens.js";
import type { Quote } from "./document.js";

/** What an advocate said in its turn. */
export interface Argument {
  /** From 1. */
  turn: number;
  /** Index of the candidate that it is for. */
  candidate: number;
  text: string;
  /** The same without quotes that could not be verified: what opponent and panel get. */
  heard: string;
  quotes: Quote[];
  /** The answer in which it was written, or read; null: it had nothing to say. */
  traceId: string | null;
}

/** A template with its places filled at once, so that nothing that is filled in can hold a place. */
export function filled(template: string, parts: Record<string, string>): string {
  return template.replaceAll(/\{(\w+)\}/g, (place, name: string) => parts[name] ?? place);
}

/** What was said so far, as everybody reads it; empty where nothing was heard. */
export function transcriptText(
  said: readonly Pick<Argument, "candidate" | "heard">[],
  candidates: readonly string[],
  { templates }: Pick<DebateSettings, "templates">,
): string {
  return said
    .filter(({ heard }) => heard !== "")
    .map(({ heard, candidate }) =>
      filled(templates.argument, { argument: heard, candidate: candidates[candidate] ?? "" }),
    )
    .join("")
    .trimEnd();
}

/** What is asked: the last message, or the whole of a plain text. @throws ShouldersError: there is nothing asked */
export function questionOf(prompt: TextualPrompt): string {
  if (prompt.type === "text") return prompt.text;
  const last = prompt.messages.at(-1);
  if (last?.role === "user") return last.content;
  throw fieldError("messages", "a debate is about a question: let the last message be the user's");
}

/** The prompt with another question in place of its own. */
export function withQuestion(prompt: TextualPrompt, question: string): TextualPrompt {
  if (prompt.type === "text") return { type: "text", text: question };
  const { messages } = prompt;
  return { ...prompt, messages: [...messages.slice(0, -1), { role: "user", content: question }] };
}

/** What the panel reads: its own question where nothing was said. */
export function panelPrompt(
  prompt: TextualPrompt,
  transcript: string,
  { templates }: Pick<DebateSettings, "templates">,
): TextualPrompt {
  if (transcript === "") return prompt;
  return withQuestion(prompt, filled(templates.panel, { question: questionOf(prompt), transcript }));
}

/** What an advocate is asked to write; gaps of what there is not are closed. */
export function advocatePrompt(
  prompt: TextualPrompt,
  parts: { candidate: string; other: string; transcript: string; document: string },
  { templates }: Pick<DebateSettings, "templates">,
): TextualPrompt {
  const asked = filled(templates.advocate, { question: questionOf(prompt), ...parts });
  return withQuestion(prompt, asked.replaceAll(/\n{3,}/g, "\n\n"));
}
