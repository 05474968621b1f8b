/** Chats as templates render them, and how calls of functions and thoughts stand in their answers. */

export interface ChatTurn {
  /** `tool`: what a function gave back. */
  role: "system" | "user" | "assistant" | "tool";
  content: string;
  /** What the assistant thought before it. */
  reasoning?: string;
  /** Calls of functions that the assistant made. */
  toolCalls?: ToolCall[];
  /** Which call a tool's turn answers. */
  toolCallId?: string;
}

export interface ToolCall {
  id: string;
  name: string;
  /** JSON text. */
  arguments: string;
}

/** A function that an answer may call. */
export interface Tool {
  name: string;
  description: string;
  /** JSON schema of its arguments. */
  parameters: object;
}

/**
 * How calls stand in an answer: opening, name, middle, arguments as JSON, for each further call between, name,
 * middle and arguments, then the ending. `toolIdMark` in these texts stands for nine letters or digits,
 * `toolIndexMark` for the number of the call.
 */
export interface ToolForm {
  opening: string;
  middle: string;
  /** null: an answer has at most one call. */
  between: string | null;
  ending: string;
  /** Arguments are no JSON object, but each stands for itself: `middle` leads to the first one's key. */
  tags?: ArgumentTags;
}

/** How arguments stand in a call, one by one. */
export interface ArgumentTags {
  /** Between a key and a text; with the quote before it. */
  value: string;
  /** Between a key and what is no text. */
  otherValue: string;
  /** The quote after a text; "": none. */
  closing: string;
  /** Between a value and the next key. */
  next: string;
  /** What ends every value: the beginning of `next` and of the form's ending. */
  valueEnd: string;
  /** After the name of a call without arguments: to the next call's name, and at the end. */
  noneBetween: string | null;
  noneEnding: string;
  /** raw: texts stand as they are, up to `closing` and `valueEnd`. */
  strings: "raw" | "json" | "python";
  /** Of values that are no texts; bare: keys without quotes, texts between `<|"|>`. */
  literals: "json" | "python" | "bare";
}

export const toolIdMark = "\u{f8ff}";
/** Stands for the number of a call. */
export const toolIndexMark = "\u{f8fe}";

/** How a template marks what a model thinks before it answers. */
export interface ThinkingForm {
  opening: string;
  closing: string;
  /** A mark of its own before an answer; "": none. */
  answer: string;
}

export type ChatEnding = "answer" | "continue" | "none";

export interface ChatOptions {
  /** Where the prompt ends. Default: answer. */
  ending?: ChatEnding;
  /** Told by the template; only where it has a form for their calls. */
  tools?: readonly Tool[];
  /** Whether the model is to think before it answers; null: as the template has it. */
  isThinking?: boolean | null;
  /** How much, as OpenAI names it; null: as the template has it. */
  effort?: string | null;
  /** What else a template may ask for, by name. */
  variables?: Readonly<Record<string, unknown>>;
}
