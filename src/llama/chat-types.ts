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
 * middle and arguments, then the ending. Marks in these texts stand for what differs: `toolIdMark` for nine letters or
 * digits, `toolIndexMark` for the number of the call, `toolNameMark` for its name once more.
 */
export interface ToolForm {
  /** "": the prompt leads to the name. */
  opening: string;
  middle: string;
  /** null: an answer has at most one call. */
  between: string | null;
  ending: string;
  /** Other ways in which the first call begins; `isAfterText`: the opening ends what was said before. */
  others?: { opening: string; middle: string; isAfterText: boolean }[];
  /** Every answer begins with whom it is for: the opening stands at its beginning alone. Default: false. */
  isLeading?: boolean;
  /** Arguments are no JSON object, but each stands for itself: `middle` leads to the first one's name. */
  tags?: ArgumentTags;
}

/** What a template with a form tells of functions by itself; the rest has to be written into the turns. */
export interface ToolTelling {
  /** Which functions there are. */
  functions: boolean;
  /** Calls that were made. */
  calls: boolean;
}

export const tellsAll: ToolTelling = { functions: true, calls: true };

/**
 * How arguments stand in a call, one by one: name, before, value, after, and `next` before the next name. In texts after
 * values `toolKeyMark` stands for the name once more.
 */
export interface ArgumentTags {
  /** In place of `middle` and arguments where there are none. */
  none: string;
  next: string;
  /** After the last argument. */
  last: string;
  /**
   * Around a text, which stands as it is up to `after`; optional: a short one may stand as other values do. null: texts
   * are written as all values are.
   */
  text: { before: string; after: string; isOptional: boolean } | null;
  /** Around other values; `toolTypeMark` stands for the JSON name of their type. */
  value: { before: string; after: string };
  /** How those are written; bare: names without quotes, texts between `<|"|>`. */
  literals: "json" | "python" | "bare" | "elements";
  /** What stands before every tag, and the name of the tags around a list's items. Only where literals are elements. */
  elements?: { mark: string; item: string };
  /** Arguments come by their names' order. */
  isSorted: boolean;
}

/** Around texts in bare literals. */
export const bareQuote = '<|"|>';

export const toolIdMark = "\u{f8ff}";
export const toolIndexMark = "\u{f8fe}";
export const toolTypeMark = "\u{f8fd}";
export const toolNameMark = "\u{f8fc}";
export const toolKeyMark = "\u{f8fb}";

/** How a template marks what a model thinks before it answers. */
export interface ThinkingForm {
  /** "": nothing is thought, answers have a mark of their own alone. */
  opening: string;
  closing: string;
  /** A mark of its own before an answer; "": none. */
  answer: string;
  /** Another before what is said ahead of calls. */
  preamble?: string;
}

/** All its marks. */
export function marksOf(form: ThinkingForm | null): string[] {
  return form === null ? [] : [form.opening, form.closing, form.answer, form.preamble ?? ""];
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
