import type { ChatTurn, Tool } from "./types.js";

/** What templates are given, and how each takes it. */

export interface RenderOptions {
  addGenerationPrompt: boolean;
  tools: readonly Tool[];
  /** What else the template may ask for, by name. */
  variables?: Readonly<Record<string, unknown>>;
}

export type Renderer = (turns: readonly ChatTurn[], options: RenderOptions) => string;

/** How a template takes what is no text. */
export interface TurnStyle {
  /** A call's arguments: most take an object, some its JSON text. */
  argumentsAs: "object" | "text";
  /** The ids of calls; `indexed`: `functions.name:0`. */
  callIds: "short" | "indexed";
  /** The content of a turn that has calls and nothing else. */
  emptyAs: "text" | "null";
  /** The field of a message for what was thought before it; null: none. */
  reasoningAs: ReasoningAs | null;
}

export const reasoningFields = ["reasoning_content", "reasoning", "thinking", "part"] as const;
/** `part`: a part of the content. */
export type ReasoningAs = (typeof reasoningFields)[number];

export type StyledRenderer = (turns: readonly ChatTurn[], options: RenderOptions, style: TurnStyle) => string;

export const plainStyle: TurnStyle = {
  argumentsAs: "object",
  callIds: "short",
  emptyAs: "text",
  reasoningAs: null,
};
