import { randomUUID } from "node:crypto";
import { leads, type ArgumentKinds } from "../../grammar/call-grammar.js";
import { beforeMarks, formPattern, ofFunction } from "../../grammar/form-marks.js";
import type { ArgumentTags, CallOpening, ToolForm } from "../../protocol/protocol.js";
import type { JsonSchema } from "../../grammar/json/json-schema.js";
import type { ToolCallDelta } from "../../wire/completion.js";
import { CustomInput } from "./custom-input.js";
import { heldLength, TaggedArguments } from "./tagged-arguments.js";

/** How calls stand in an answer is the models' own form; the grammar holds them to it, so nothing is guessed. */

/** A form, and what its arguments are where it does not tell. */
export type CallForm = ToolForm & {
  kinds?: ArgumentKinds;
  /** Schemas of arguments by function. */
  schemas?: ReadonlyMap<string, JsonSchema>;
  /** Names of those that take a text: their one argument is unwrapped. */
  customs?: ReadonlySet<string>;
  /** Calls are told as `function_call`, as programs from before tools want them. */
  isOld?: boolean;
};

export interface AnswerDelta {
  content: string;
  toolCalls: ToolCallDelta[];
}

/** What an answer may begin calls with. */
export function openingsOf(form: CallForm): CallOpening {
  const starts = startsOf(form);
  const textsOf = (ways: readonly Start[]) => ways.map(({ text }) => text);
  return {
    texts: textsOf(starts.filter(({ isLeading }) => !isLeading)),
    leading: textsOf(starts.filter(({ isLeading }) => isLeading)),
  };
}

/** A way in which the first call begins. */
interface Start {
  /** What tells it. */
  text: string;
  /** How much of that stands before the name. */
  length: number;
  /** It counts only where the answer begins with it. */
  isLeading: boolean;
  /** What the form has after that and before the name. */
  rest: RegExp;
  middle: string;
}

function startsOf(form: CallForm): Start[] {
  const ways = [{ ...form, isLeading: leads(form) }, ...(form.others ?? [])];
  return ways.flatMap((way): Start[] => {
    const { opening, middle } = way;
    const isLeading = "isLeading" in way && way.isLeading;
    if (opening === "")
      return [...(form.kinds?.keys() ?? [])].map((name) => {
        const text = name + beforeMarks(ofFunction(middle, name));
        return { text, length: 0, isLeading, rest: patternOf(""), middle };
      });
    const text = beforeMarks(opening);
    const rest = patternOf(opening.slice(text.length));
    return [{ text, length: text.length, isLeading, rest, middle }];
  });
}

/** Takes an answer apart as it comes: text, then calls. Arguments are passed on as they come. */
export class ToolCallReader {
  readonly #form: CallForm;
  readonly #starts: readonly Start[];
  /** What stands between two calls. */
  readonly #between: RegExp | null;
  readonly #newId: () => string;
  #state: "text" | "plain" | "opening" | "name" | "arguments" | "end" = "text";
  #start: Start | null = null;
  /** Something was said. */
  #hasText = false;
  /** The text before the first name. */
  #opened = "";
  #held = "";
  #numCalls = 0;
  /** Within arguments: open brackets, and whether the next character is in a string or escaped in one. */
  #depth = 0;
  #isInString = false;
  #isEscaped = false;
  #tagged: TaggedArguments | null = null;
  /** Of a call that takes a text. */
  #input: CustomInput | null = null;

  constructor(form: CallForm, newId = () => `call_${randomUUID().replaceAll("-", "").slice(0, 24)}`) {
    this.#form = form;
    this.#starts = startsOf(form);
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

  /** Calls, and the end of them: nothing that a cap has cut is missing. */
  get isWhole(): boolean {
    return this.#state === "end" && patternOf(this.#form.ending).test(this.#held);
  }

  /** No more text: what may have become a call and did not is text; but what was cut short may be one. */
  finish(isCut: boolean): AnswerDelta {
    const hasNoName = (this.#state === "opening" || this.#state === "name") && this.#numCalls === 0;
    if (isCut || !(this.#state === "text" || hasNoName)) return { content: "", toolCalls: [] };
    const content = (hasNoName ? this.#opened : "") + this.#take(this.#held.length);
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
      case "opening":
        return this.#passToName(this.#start?.rest ?? null);
      case "name":
        return this.#form.tags ? this.#readTaggedName(delta, this.#form.tags) : this.#readName(delta);
      case "arguments":
        return this.#tagged ? this.#readTagged(delta, this.#tagged) : this.#readArguments(delta);
      case "end":
        return this.#passToName(this.#between);
    }
  }

  /** Passes over what the form has before a name, once it is whole. */
  #passToName(pattern: RegExp | null): boolean {
    const found = pattern?.exec(this.#held) ?? null;
    if (found === null) return false;
    this.#opened += this.#take(found[0].length);
    this.#state = "name";
    return true;
  }

  /** Shows what cannot be the beginning of a call. */
  #readText(delta: AnswerDelta): boolean {
    const found = this.#findStart();
    if (found !== null) {
      delta.content += this.#take(found.at);
      this.#opened = this.#take(found.start.length);
      this.#start = found.start;
      this.#state = "opening";
      return true;
    }
    const isBeginning = this.#starts.some(
      (start) => this.#isHere(start) && start.text.startsWith(this.#held),
    );
    if (isBeginning) return false;
    const others = this.#starts.filter(({ isLeading }) => !isLeading);
    if (others.length === 0) this.#state = "plain";
    const held = Math.max(0, ...others.map(({ text }) => numHeld(this.#held, text)));
    const said = this.#take(this.#held.length - held);
    this.#hasText ||= said !== "";
    delta.content += said;
    return this.#state === "plain";
  }

  /** Whether it counts, as what is held is the beginning of the answer. */
  #isHere({ isLeading }: Start): boolean {
    return isLeading && !this.#hasText;
  }

  /** The first way to begin; of two at one place the longer. */
  #findStart(): { at: number; start: Start } | null {
    const found = this.#starts
      .map((start) => ({ at: this.#held.indexOf(start.text), start }))
      .filter(({ at, start }) => (start.isLeading ? at === 0 && this.#isHere(start) : at >= 0))
      .sort((a, b) => a.at - b.at || b.start.text.length - a.start.text.length);
    return found[0] ?? null;
  }

  #readName(delta: AnswerDelta): boolean {
    const first = this.#numCalls === 0 ? this.#start?.middle : undefined;
    const middle = new RegExp(formPattern(first ?? this.#form.middle));
    const found = middle.exec(this.#held);
    if (found === null) return false;
    const name = this.#take(found.index);
    this.#take(found[0].length);
    this.#begin(name, delta);
    return true;
  }

  /** A name, and whether any arguments come after it. */
  #readTaggedName(delta: AnswerDelta, tags: ArgumentTags): boolean {
    const { middle, ending, between, kinds } = this.#form;
    // What leads to arguments and what stands in their place may begin alike.
    const shared = commonStart(middle, tags.none);
    const found = new RegExp(`^([\\w-]+)${formPattern(shared)}`).exec(this.#held);
    if (found === null) return false;
    const [{ length }, name = ""] = found;
    const after = this.#held.slice(length);
    const ends = [ending, ...(between === null ? [] : [between])];
    const without = ends.map((end) => tags.none.slice(shared.length) + end);
    const rest = middle.slice(shared.length);
    if (without.some((text) => after.startsWith(text))) {
      this.#take(length + tags.none.length - shared.length);
      this.#begin(name, delta);
      this.#addArguments(delta, "{}");
      this.#state = "end";
      return true;
    }
    if (!after.startsWith(rest) || without.some((text) => text.startsWith(after))) return false;
    this.#take(length + rest.length);
    this.#begin(name, delta);
    const ofCall = kinds?.get(name);
    this.#tagged = new TaggedArguments(this.#form, tags, {
      kindOf: (argument) => ofCall?.get(argument) ?? "either",
      schema: this.#form.schemas?.get(name) ?? {},
    });
    return true;
  }

  #begin(name: string, delta: AnswerDelta): void {
    const place = { index: this.#numCalls++, id: this.#newId() };
    const isCustom = this.#form.customs?.has(name) === true;
    this.#input = isCustom ? new CustomInput() : null;
    delta.toolCalls.push(
      isCustom
        ? { ...place, type: "custom", custom: { name, input: "" } }
        : { ...place, type: "function", function: { name, arguments: "" } },
    );
    this.#state = "arguments";
  }

  /** @param json a piece of the arguments */
  #addArguments(delta: AnswerDelta, json: string): void {
    const index = this.#numCalls - 1;
    const last = delta.toolCalls.at(-1);
    const open = last?.index === index ? last : null;
    if (this.#input !== null) {
      const input = this.#input.read(json);
      if (open && "custom" in open) open.custom.input += input;
      else if (input !== "") delta.toolCalls.push({ index, custom: { input } });
    } else if (open && "function" in open) open.function.arguments += json;
    else delta.toolCalls.push({ index, function: { arguments: json } });
  }

  #readTagged(delta: AnswerDelta, tagged: TaggedArguments): boolean {
    const { json, rest } = tagged.read(this.#held);
    this.#held = rest;
    if (json !== "") this.#addArguments(delta, json);
    if (!tagged.isOver) return false;
    this.#tagged = null;
    this.#state = "end";
    return true;
  }

  /** Up to the bracket that closes the first. */
  #readArguments(delta: AnswerDelta): boolean {
    const isOver = () => this.#state === "end";
    let length = 0;
    while (length < this.#held.length && !isOver()) this.#readCharacter(this.#held[length++] as string);
    if (length > 0) this.#addArguments(delta, this.#take(length));
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

const patternOf = (text: string): RegExp => new RegExp(`^${formPattern(text)}`);

/** How much of a text's end may begin a mark: also where it was cut within a character, of which U+FFFD is left. */
function numHeld(text: string, mark: string): number {
  const whole = text.endsWith("\uFFFD") ? text.slice(0, -1) : text;
  const held = heldLength(whole, mark);
  return held === 0 ? 0 : held + text.length - whole.length;
}

function commonStart(one: string, other: string): string {
  let length = 0;
  while (length < one.length && one[length] === other[length]) length++;
  return one.slice(0, length);
}

/** A piece of a call, whichever it is of. */
export function pieceOf(call: ToolCallDelta): { name?: string | undefined; text: string } {
  return "custom" in call
    ? { name: call.custom.name, text: call.custom.input }
    : { name: call.function.name, text: call.function.arguments };
}

/**
 * A whole answer, taken apart: each call is in one piece, and one that was cut is none. `isWhole`: nothing of its calls
 * is missing.
 */
export function readAnswer(text: string, form: CallForm, isCut: boolean): AnswerDelta & { isWhole: boolean } {
  const reader = new ToolCallReader(form);
  const { content, toolCalls } = reader.push(text);
  const whole = toolCalls.filter(({ index }) => index < reader.numWhole);
  return {
    content: content + reader.finish(isCut).content,
    toolCalls: whole,
    isWhole: reader.isWhole,
  };
}
