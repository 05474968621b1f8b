import { randomUUID } from "node:crypto";
import { toolIdMark, type ToolForm } from "../../protocol/protocol.js";
import type { ToolCallDelta } from "../../wire/completion.js";

/** How calls stand in an answer is the models' own form; the grammar holds them to it, so nothing is guessed. */

export interface AnswerDelta {
  content: string;
  toolCalls: ToolCallDelta[];
}

/** Whether calls may come after text: what begins like plain JSON would be taken for a call in the middle of it. */
export function mayFollowText({ opening }: ToolForm): boolean {
  return !opening.startsWith("{");
}

/** Takes an answer apart as it comes: text, then calls. Arguments are passed on as they come. */
export class ToolCallReader {
  readonly #form: ToolForm;
  /** What stands between two calls. */
  readonly #between: RegExp | null;
  readonly #newId: () => string;
  #state: "text" | "plain" | "name" | "arguments" | "end" = "text";
  #held = "";
  #numCalls = 0;
  /** Within arguments: open brackets, and whether the next character is in a string or escaped in one. */
  #depth = 0;
  #isInString = false;
  #isEscaped = false;

  constructor(form: ToolForm, newId = () => `call_${randomUUID().replaceAll("-", "").slice(0, 24)}`) {
    this.#form = form;
    this.#between = form.between === null ? null : patternOf(form.between);
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

  /** Calls whose arguments have come to their end. */
  get numWhole(): number {
    return this.#numCalls - (this.#state === "arguments" ? 1 : 0);
  }

  /** No more text: what may have become a call and did not is text; but what was cut short may be one. */
  finish(isCut: boolean): AnswerDelta {
    const hasNoName = this.#state === "name" && this.#numCalls === 0;
    if (isCut || !(this.#state === "text" || hasNoName)) return { content: "", toolCalls: [] };
    const content = (hasNoName ? this.#form.opening : "") + this.#take(this.#held.length);
    return { content, toolCalls: [] };
  }

  /** @returns whether there may be more to read in what is held. */
  #advance(delta: AnswerDelta): boolean {
    switch (this.#state) {
      case "text":
        return this.#readText(delta);
      case "plain":
        delta.content += this.#take(this.#held.length);
        return false;
      case "name":
        return this.#readName(delta);
      case "arguments":
        return this.#readArguments(delta);
      case "end": {
        const found = this.#between?.exec(this.#held);
        if (!found) return false;
        this.#take(found[0].length);
        this.#state = "name";
        return true;
      }
    }
  }

  /** Shows what cannot be the beginning of a call. */
  #readText(delta: AnswerDelta): boolean {
    const { opening } = this.#form;
    const at = this.#held.indexOf(opening);
    if (at === 0 || (at > 0 && mayFollowText(this.#form))) {
      delta.content += this.#take(at);
      this.#take(opening.length);
      this.#state = "name";
      return true;
    }
    if (mayFollowText(this.#form))
      delta.content += this.#take(this.#held.length - heldLength(this.#held, opening));
    else if (!opening.startsWith(this.#held)) this.#state = "plain";
    return this.#state === "plain";
  }

  #readName(delta: AnswerDelta): boolean {
    const { middle } = this.#form;
    const end = this.#held.indexOf(middle);
    if (end < 0) return false;
    const name = this.#take(end);
    this.#take(middle.length);
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

/** The length of the longest end of a text that is a beginning of another. */
function heldLength(text: string, beginning: string): number {
  let length = Math.min(text.length, beginning.length - 1);
  while (!text.endsWith(beginning.slice(0, length))) length--;
  return length;
}

function patternOf(text: string): RegExp {
  const parts = text.split(toolIdMark).map((part) => part.replaceAll(/[\\^$.*+?()[\]{}|/]/g, "\\$&"));
  return new RegExp(`^${parts.join("[a-zA-Z0-9]{9}")}`);
}

function addArguments(delta: AnswerDelta, index: number, piece: string): void {
  const last = delta.toolCalls.at(-1);
  if (last?.index === index) last.function.arguments += piece;
  else delta.toolCalls.push({ index, function: { arguments: piece } });
}

/** A whole answer, taken apart: each call is in one piece, and one that was cut is none. */
export function readAnswer(text: string, form: ToolForm, isCut: boolean): AnswerDelta {
  const reader = new ToolCallReader(form);
  const { content, toolCalls } = reader.push(text);
  const whole = toolCalls.filter(({ index }) => index < reader.numWhole);
  return { content: content + reader.finish(isCut).content, toolCalls: whole };
}
