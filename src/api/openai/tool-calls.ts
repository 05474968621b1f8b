import { randomUUID } from "node:crypto";

/**
 * How a call stands in an answer: `<tool_call>{"name": "f", "arguments": {…}}</tool_call>`, as many open models
 * write it. The grammar holds the models to it, so that it can be read without guessing.
 */
export const callOpening = "<tool_call>";
export const callStart = `${callOpening}{"name": `;
export const callMiddle = `, "arguments": `;
export const callEnd = `}</tool_call>`;

export function writeCall(name: string, argumentsJson: string): string {
  return callStart + JSON.stringify(name) + callMiddle + argumentsJson + callEnd;
}

/** A tool call, or a piece of one: id and name come with its first. */
export interface ToolCallDelta {
  index: number;
  id?: string;
  type?: "function";
  function: { name?: string; arguments: string };
}

export interface AnswerDelta {
  content: string;
  toolCalls: ToolCallDelta[];
}

/**
 * Takes an answer apart as it comes: either text, or tool calls and nothing else. Arguments are passed on as
 * they come.
 */
export class ToolCallReader {
  readonly #newId: () => string;
  #state: "start" | "text" | "head" | "arguments" | "end" = "start";
  #held = "";
  #numCalls = 0;
  /** Within arguments: open brackets, and whether the next character is in a string or escaped in one. */
  #depth = 0;
  #isInString = false;
  #isEscaped = false;

  constructor(newId = () => `call_${randomUUID().replaceAll("-", "").slice(0, 24)}`) {
    this.#newId = newId;
  }

  get numCalls(): number {
    return this.#numCalls;
  }

  push(text: string): AnswerDelta {
    this.#held += text;
    const delta: AnswerDelta = { content: "", toolCalls: [] };
    while (this.#advance(delta));
    return delta;
  }

  /** No more text: what may have become a call and did not is text. */
  finish(): AnswerDelta {
    const content = this.#state === "start" ? this.#take(this.#held.length) : "";
    return { content, toolCalls: [] };
  }

  /** @returns whether there may be more to read in what is held. */
  #advance(delta: AnswerDelta): boolean {
    switch (this.#state) {
      case "start":
        if (callOpening.startsWith(this.#held)) return false;
        this.#state = this.#held.startsWith(callOpening) ? "head" : "text";
        return true;
      case "text":
        delta.content += this.#take(this.#held.length);
        return false;
      case "head":
        return this.#readHead(delta);
      case "arguments":
        return this.#readArguments(delta);
      case "end": {
        const next = this.#held.indexOf(callOpening);
        if (next >= 0) {
          this.#take(next);
          this.#state = "head";
        }
        return next >= 0;
      }
    }
  }

  #readHead(delta: AnswerDelta): boolean {
    const end = this.#held.indexOf(callMiddle, callStart.length);
    if (end < 0) return false;
    const name = JSON.parse(this.#held.slice(callStart.length, end)) as string;
    this.#take(end + callMiddle.length);
    const index = this.#numCalls++;
    delta.toolCalls.push({ index, id: this.#newId(), type: "function", function: { name, arguments: "" } });
    this.#state = "arguments";
    return true;
  }

  /** Up to the bracket that closes the first. */
  #readArguments(delta: AnswerDelta): boolean {
    const isOver = () => this.#state === "end";
    let length = 0;
    while (length < this.#held.length && !isOver()) this.#readCharacter(this.#held[length++] as string);
    if (length > 0) addArguments(delta, this.#numCalls - 1, this.#take(length));
    return isOver();
  }

  #readCharacter(character: string): void {
    if (this.#isEscaped) this.#isEscaped = false;
    else if (this.#isInString) {
      if (character === "\\") this.#isEscaped = true;
      else if (character === '"') this.#isInString = false;
    } else if (character === '"') this.#isInString = true;
    else if (character === "{" || character === "[") this.#depth++;
    else if ((character === "}" || character === "]") && --this.#depth === 0) this.#state = "end";
  }

  #take(length: number): string {
    const taken = this.#held.slice(0, length);
    this.#held = this.#held.slice(length);
    return taken;
  }
}

function addArguments(delta: AnswerDelta, index: number, piece: string): void {
  const last = delta.toolCalls.at(-1);
  if (last?.index === index) last.function.arguments += piece;
  else delta.toolCalls.push({ index, function: { arguments: piece } });
}

/** A whole answer, taken apart: each call is in one piece. */
export function readAnswer(text: string): AnswerDelta {
  const reader = new ToolCallReader();
  const { content, toolCalls } = reader.push(text);
  return { content: content + reader.finish().content, toolCalls };
}
