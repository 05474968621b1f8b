import { createHash } from "node:crypto";
import { answerAfter } from "./thinking-form.js";
import { plainStyle, type StyledRenderer, type TurnStyle } from "./turn-style.js";
import {
  toolIdMark,
  toolIndexMark,
  type ArgumentTags,
  type ChatTurn,
  type ThinkingForm,
  type Tool,
  type ToolForm,
} from "./types.js";

/** Reads off a template how it writes calls of functions, by rendering some whose parts are known. */

export interface ToolSupport {
  form: ToolForm;
  style: Pick<TurnStyle, "argumentsAs" | "callIds">;
}

const names = ["shoulders_one", "shoulders_two"] as const;
/** Nine letters or digits, as Mistral's templates ask. */
const ids = ["shoulder1", "shoulder2"] as const;
const result = "shoulders-result";
const keys = ["shoulders_a", "shoulders_b"] as const;
/** A quote, a line break and a bracket tell ways to write texts apart. */
const values = ['shoulders-v"1\n<', 'shoulders-v"2\n<'] as const;
const answer = "shoulders-answer";

const question: ChatTurn = { role: "user", content: "shoulders-question" };
const tools = names.map((name): Tool => ({
  name,
  description: name,
  parameters: {
    type: "object",
    properties: Object.fromEntries(keys.map((key) => [key, { type: "string" }])),
  },
}));

/** An id of nine letters or digits for any id, the same for the same one; or the name with a number. */
export function callId(id: string, style: TurnStyle["callIds"], name: string, index: number): string {
  if (style === "indexed") return /^functions\..+:\d+$/.test(id) ? id : `functions.${name}:${index}`;
  return /^[a-zA-Z0-9]{9}$/.test(id) ? id : createHash("sha256").update(id).digest("hex").slice(0, 9);
}

const styles = (["short", "indexed"] as const).flatMap((callIds) =>
  (["object", "text"] as const).map((argumentsAs) => ({ argumentsAs, callIds })),
);

/** @returns null when the template says nothing of functions, or writes calls in no form that is known. */
export function findToolSupport(render: StyledRenderer, thinking: ThinkingForm | null): ToolSupport | null {
  for (const style of styles) {
    try {
      const form = new Finder(render, { ...plainStyle, ...style }, thinking).find();
      if (form) return { form, style };
    } catch {
      // A template that joins arguments to a text takes no object; some refuse what another takes.
    }
  }
  return null;
}

type Arguments = Record<string, unknown>;

/** A call as it is written: what stands around its name, and around its arguments. */
class Finder {
  readonly #render: StyledRenderer;
  readonly #style: TurnStyle;
  readonly #thinking: ThinkingForm | null;
  readonly #prompt: string;
  readonly #turnEnd: string;

  constructor(render: StyledRenderer, style: TurnStyle, thinking: ThinkingForm | null) {
    this.#render = render;
    this.#style = style;
    this.#thinking = thinking;
    this.#prompt = render([question], { addGenerationPrompt: true, tools }, style);
    const plain = this.#text([question, { role: "assistant", content: answer }]);
    this.#turnEnd = plain.slice(plain.lastIndexOf(answer) + answer.length);
  }

  find(): ToolForm | null {
    if (!this.#prompt.includes(names[0])) return null;
    const back: ChatTurn = { role: "tool", content: result, toolCallId: ids[0] };
    if (!this.#text([question, turnWith([{}]), back]).includes(result)) return null;
    return this.#jsonForm() ?? this.#taggedForm();
  }

  #text(turns: readonly ChatTurn[]): string {
    return this.#render(turns, { addGenerationPrompt: false, tools }, this.#style);
  }

  /** What an answer with these calls is, without what was thought and white space before it. */
  #written(...given: readonly Arguments[]): string {
    const text = answerAfter(this.#prompt, this.#text([question, turnWith(given)]));
    const unmarked = withoutIds(text).trimStart();
    if (this.#thinking === null) return unmarked;
    const { opening, closing, answer: mark } = this.#thinking;
    const isThought = unmarked.startsWith(opening) || unmarked.startsWith(closing);
    const spoken = isThought
      ? unmarked.slice(unmarked.indexOf(closing) + closing.length).trimStart()
      : unmarked;
    return mark !== "" && spoken.startsWith(mark) ? spoken.slice(mark.length) : spoken;
  }

  /** Leaves out what a plain answer ends with too, from where a token or white space begins: it ends the turn. */
  #ending(text: string): string {
    const end = this.#turnEnd;
    let length = 0;
    while (length < Math.min(text.length, end.length) && text.at(-1 - length) === end.at(-1 - length))
      length++;
    while (length > 0 && length < end.length && !/[<[\s]/.test(text.at(-length) ?? "")) length--;
    return text.slice(0, text.length - length);
  }

  /** Arguments are a JSON object. */
  #jsonForm(): ToolForm | null {
    const given = { [keys[0]]: "shoulders_value" };
    const json = String.raw`\{\s*"shoulders_a":\s*"shoulders_value"\s*\}`;
    const one = partsOf(this.#written(given), [names[0], json]);
    if (one === null) return null;
    const [opening = "", middle = "", after = ""] = one;
    if (!areMarks(opening, middle)) return null;
    const two = this.#try(() => partsOf(this.#written(given, given), [names[0], json, names[1], json]));
    const [first, ofFirst, between, ofSecond, last] = two ?? [];
    const isSame = first === opening && ofFirst === middle && ofSecond === middle && last === after;
    return { opening, middle, between: isSame ? (between ?? null) : null, ending: this.#ending(after) };
  }

  /** Each argument stands for itself. */
  #taggedForm(): ToolForm | null {
    const [firstKey, secondKey] = keys;
    const both = { [firstKey]: values[0], [secondKey]: values[1] };
    for (const strings of ["json", "python", "raw"] as const) {
      const [one, two] = values.map((value) => escapePattern(asText(value, strings))) as [string, string];
      const found = partsOf(this.#written(both), [names[0], firstKey, one, secondKey, two]);
      if (found === null) continue;
      const [opening = "", middle = "", value = "", next = "", valueAgain = "", after = ""] = found;
      return this.#tagsOf({ opening, middle, value, next, valueAgain, after, strings });
    }
    return null;
  }

  #tagsOf(found: {
    opening: string;
    middle: string;
    value: string;
    next: string;
    valueAgain: string;
    after: string;
    strings: ArgumentTags["strings"];
  }): ToolForm | null {
    const { opening, middle, value, next, after, strings } = found;
    if (!areMarks(opening, middle) || found.valueAgain !== value) return null;
    const key = keys[0];
    const numbers = partsOf(this.#written({ [key]: 12345, [keys[1]]: 12345 }), [
      names[0],
      key,
      "12345",
      keys[1],
      "12345",
    ]);
    const none = partsOf(this.#written({}), [names[0]]);
    if (numbers === null || none === null) return null;
    const calls = this.#try(() =>
      partsOf(this.#written({ [key]: 12345 }, { [key]: 12345 }), [
        names[0],
        key,
        "12345",
        names[1],
        key,
        "12345",
      ]),
    );
    const twoEmpty = this.#try(() => partsOf(this.#written({}, {}), [names[0], names[1]]));
    const [, , otherValue = "", otherNext = "", , last = ""] = numbers;
    const ending = this.#ending(last);
    const valueEnd = commonStart(otherNext, ending);
    const closing = next.slice(0, Math.max(0, next.length - otherNext.length));
    const isClosed = next === closing + otherNext && this.#ending(after) === closing + ending;
    if (valueEnd + closing === "" || !isClosed || none[0] !== opening) return null;
    return {
      opening,
      middle,
      between: calls?.[0] === opening ? (calls[3] ?? null) : null,
      ending,
      tags: {
        value,
        otherValue,
        closing,
        next: otherNext,
        valueEnd,
        noneBetween: twoEmpty?.[1] ?? null,
        noneEnding: this.#ending(none[1] ?? ""),
        strings,
        literals: this.#literals(key),
      },
    };
  }

  /** How values that are no texts are written. */
  #literals(key: string): ArgumentTags["literals"] {
    const written = this.#written({ [key]: [true, null, { inner: "q" }] });
    if (/\[\s*true,\s*null,\s*\{\s*"inner":\s*"q"\s*\}\s*\]/.test(written)) return "json";
    return written.includes("True") ? "python" : "bare";
  }

  #try<Result>(find: () => Result): Result | null {
    try {
      return find();
    } catch {
      return null;
    }
  }
}

/** Without them calls could not be told from text, or a name from what follows. */
function areMarks(opening: string, middle: string): boolean {
  return opening.trim().length >= 1 && /^[^\w-]/.test(middle);
}

function turnWith(given: readonly Arguments[]): ChatTurn {
  const toolCalls = given.map((args, index) => ({
    id: ids[index] as string,
    name: names[index] as string,
    arguments: JSON.stringify(args),
  }));
  return { role: "assistant", content: "", toolCalls };
}

/** Ids and numbers of calls by their marks. */
function withoutIds(text: string): string {
  const unnumbered = text.replaceAll(/(?<=[:"])[012](?=["<])/g, toolIndexMark);
  return ids.reduce((all, id) => all.replaceAll(id, toolIdMark), unnumbered);
}

/** The texts around these patterns, each of which must be there once and in this order; null: they are not. */
function partsOf(text: string, patterns: readonly string[]): string[] | null {
  const found = new RegExp(`^([^]*?)${patterns.join("([^]*?)")}([^]*)$`).exec(text);
  const parts = found?.slice(1) ?? [];
  return found === null || parts.some((part) => part.includes("shoulders")) ? null : parts;
}

const escapePattern = (text: string) => text.replaceAll(/[\\^$.*+?()[\]{}|/]/g, "\\$&");

/** A text as an argument. */
function asText(value: string, style: ArgumentTags["strings"]): string {
  if (style === "raw") return value;
  const json = JSON.stringify(value);
  return style === "json" ? json : `'${json.slice(1, -1).replaceAll('\\"', '"')}'`;
}

function commonStart(one: string, other: string): string {
  let length = 0;
  while (length < one.length && one[length] === other[length]) length++;
  return one.slice(0, length);
}
