import { createHash } from "node:crypto";
import { answerAfter } from "./thinking-form.js";
import { plainStyle, type StyledRenderer, type TurnStyle } from "./turn-style.js";
import { taggedForm, type Found } from "./tagged-form.js";
import {
  toolIdMark,
  toolIndexMark,
  toolKeyMark,
  toolNameMark,
  toolTypeMark,
  type ChatTurn,
  type ThinkingForm,
  type Tool,
  type ToolForm,
  type ToolTelling,
} from "./types.js";

/** Reads off a template how it writes calls of functions, by rendering some whose parts are known. */

export interface ToolSupport {
  form: ToolForm;
  telling: ToolTelling;
  style: Pick<TurnStyle, "argumentsAs" | "callIds" | "emptyAs">;
  /** What an answer without calls begins with; "": nothing. */
  answerMark: string;
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
    // Some templates write descriptions without asking whether there are any.
    properties: Object.fromEntries(keys.map((key) => [key, { type: "string", description: key }])),
  },
}));

/** An id of nine letters or digits for any id, the same for the same one; or the name with a number. */
export function callId(id: string, style: TurnStyle["callIds"], name: string, index: number): string {
  if (style === "indexed") return /^functions\..+:\d+$/.test(id) ? id : `functions.${name}:${index}`;
  return /^[a-zA-Z0-9]{9}$/.test(id) ? id : createHash("sha256").update(id).digest("hex").slice(0, 9);
}

/** Forms of templates that leave calls to those who write the turns, by what they say when they tell functions. */
const knownForms: readonly { mark: string; form: ToolForm }[] = [
  // LFM2: https://docs.liquid.ai/lfm/key-concepts/tool-use
  {
    mark: "List of tools: ",
    form: {
      opening: "<|tool_call_start|>[",
      middle: "(",
      between: ", ",
      ending: "]<|tool_call_end|>",
      tags: {
        none: "()",
        next: ", ",
        last: ")",
        text: null,
        value: { before: "=", after: "" },
        literals: "python",
        isSorted: false,
      },
    },
  },
  // Granite 3
  {
    mark: "<|tool_call|> followed by a JSON list",
    form: {
      opening: '<|tool_call|>[{"name": "',
      middle: '", "arguments": ',
      between: '}, {"name": "',
      ending: "}]",
    },
  },
];

/** Harmony's models say to whom they speak after the channel, its template before; they may speak to the user first. */
function withOtherStarts(form: ToolForm, thinking: ThinkingForm | null): ToolForm {
  const [, recipient] = /^(to=[\w.]+)$/.exec(form.opening) ?? [];
  const [, channel, type] = /^(<\|channel\|>\w+) (\w+)<\|message\|>$/.exec(form.middle) ?? [];
  if (recipient === undefined || channel === undefined || type === undefined) return form;
  const own = { opening: `${channel} ${recipient}`, middle: ` <|constrain|>${type}<|message|>` };
  const ended = [own, { opening: ` ${recipient}`, middle: form.middle }].map(({ opening, middle }) => ({
    opening: (thinking?.closing ?? "") + opening,
    middle,
    isAfterText: true,
  }));
  return { ...form, others: [{ ...own, isAfterText: false }, ...(thinking === null ? [] : ended)] };
}

const styles = (["text", "null"] as const).flatMap((emptyAs) =>
  (["short", "indexed"] as const).flatMap((callIds) =>
    (["object", "text"] as const).map((argumentsAs) => ({ argumentsAs, callIds, emptyAs })),
  ),
);

/** @returns null when the template says nothing of functions, or writes calls in no form that is known. */
export function findToolSupport(render: StyledRenderer, thinking: ThinkingForm | null): ToolSupport | null {
  for (const style of styles) {
    try {
      const found = new Finder(render, { ...plainStyle, ...style }, thinking).find();
      if (found) return { ...found, style };
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
  /** What an answer without calls begins with. */
  readonly #answerMark: string;

  constructor(render: StyledRenderer, style: TurnStyle, thinking: ThinkingForm | null) {
    this.#render = render;
    this.#style = style;
    this.#thinking = thinking;
    this.#prompt = render([question], { addGenerationPrompt: true, tools }, style);
    const plain = this.#text([question, { role: "assistant", content: answer }]);
    this.#turnEnd = plain.slice(plain.lastIndexOf(answer) + answer.length);
    const said = answerAfter(this.#prompt, plain);
    this.#answerMark = said.slice(0, Math.max(0, said.indexOf(answer))).trimStart();
  }

  find(): Omit<ToolSupport, "style"> | null {
    const functions = this.#prompt.includes(names[0]);
    const back: ChatTurn = { role: "tool", content: result, toolCallId: ids[0] };
    if (!this.#text([question, turnWith([{}]), back]).includes(result)) return null;
    const found = this.#jsonForm() ?? this.#taggedForm();
    const form = found && (this.#ledForm(found) ?? withOtherStarts(found, this.#thinking));
    if (form !== null) {
      const answerMark = form.isLeading ? this.#answerMark : "";
      // Only where answers say whom they are for, the name of a function can come first.
      return form.opening === "" && answerMark === ""
        ? null
        : { form, telling: { functions, calls: true }, answerMark };
    }
    const known = functions && knownForms.find(({ mark }) => this.#prompt.includes(mark));
    return known ? { form: known.form, telling: { functions, calls: false }, answerMark: "" } : null;
  }

  /** The same, where every answer begins with whom it is for: the user or a function. null: it does not. */
  #ledForm(form: ToolForm): ToolForm | null {
    const { opening, middle, between, ending } = form;
    const isTold = this.#answerMark.trim() !== "" && this.#answerMark.startsWith(opening);
    if (!isTold || between?.startsWith(ending) !== true || !between.endsWith(opening)) return null;
    const next = between.slice(ending.length);
    return next.trim() === ""
      ? null
      : { ...form, isLeading: true, others: [{ opening: next, middle, isAfterText: true }] };
  }

  #text(turns: readonly ChatTurn[]): string {
    return this.#render(turns, { addGenerationPrompt: false, tools }, this.#style);
  }

  /** What an answer with these calls is, without what was thought and white space before it. */
  #written(...given: readonly Arguments[]): string {
    const text = answerAfter(this.#prompt, this.#text([question, turnWith(given)]));
    const unmarked = withoutIds(withNamesOnce(withKeysOnce(text))).trimStart();
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
    if (!areMarks(opening || this.#answerMark, middle)) return null;
    const two = this.#try(() => partsOf(this.#written(given, given), [names[0], json, names[1], json]));
    const [first, ofFirst, between, ofSecond, last] = two ?? [];
    const isSame = first === opening && ofFirst === middle && ofSecond === middle && last === after;
    return { opening, middle, between: isSame ? (between ?? null) : null, ending: this.#ending(after) };
  }

  /** Each argument stands for itself. */
  #taggedForm(): ToolForm | null {
    const [one, other] = keys;
    const both = { [one]: values[0], [other]: values[1] };
    for (const strings of ["json", "python", "raw"] as const) {
      const [first, second] = values.map((value) => escapePattern(asText(value, strings))) as [
        string,
        string,
      ];
      const found = partsOf(this.#written(both), [names[0], one, first, other, second]);
      if (found !== null) return this.#tagsOf(found, strings !== "raw");
    }
    return null;
  }

  /** @param found what stands around name, keys and two texts */
  #tagsOf(found: readonly string[], hasQuotes: boolean): ToolForm | null {
    const [opening = "", middle = "", before = "", next = "", beforeAgain, after = ""] = found;
    const [one, other] = keys;
    const number = "12345";
    const given = { [one]: Number(number) };
    const parts = (patterns: readonly string[], ...calls: readonly Arguments[]) =>
      this.#try(() => partsOf(this.#written(...calls), patterns));
    const numbers = parts([names[0], one, number, other, number], { ...given, [other]: Number(number) });
    const none = parts([names[0]], {});
    if (!areMarks(opening, middle) || beforeAgain !== before || numbers === null || none?.[0] !== opening)
      return null;
    const calls = parts([names[0], one, number, names[1], one, number], given, given);
    const noneTwice = parts([names[0], names[1]], {}, {});
    const [, , otherBefore = "", otherNext = "", , last = ""] = numbers;
    const closing = next.slice(0, Math.max(0, next.length - otherNext.length));
    const ending = this.#ending(last);
    if (next !== closing + otherNext || this.#ending(after) !== closing + ending) return null;
    const isWhole = calls?.[0] === opening;
    return taggedForm({
      opening,
      middle,
      text: { before, closing, isOptional: this.#isOptional(one, otherBefore) },
      value: { before: this.#typedBefore(otherBefore), next: otherNext },
      args: { between: isWhole ? (calls[3] ?? null) : null, ending },
      none: { between: noneTwice?.[1] ?? null, ending: this.#ending(none[1] ?? "") },
      hasQuotes,
      ...this.#literals(one),
      isSorted: this.#isSorted(),
    });
  }

  /** How values that are no texts are written. */
  #literals(key: string): Pick<Found, "literals" | "elements"> {
    const list = this.#written({ [key]: [true, null, { inner: "q" }] });
    const [, mark = "", item = ""] = new RegExp(`${key}>([^]*?)<(\\w+)>true\\1</\\2>`).exec(list) ?? [];
    if (mark !== "" && list.includes(`${mark}<inner>q${mark}</inner>`))
      return { literals: "elements", elements: { mark, item } };
    const written = list + this.#written({ [key]: true });
    return { literals: /\b(True|None)\b/.test(written) ? "python" : "json", elements: null };
  }

  /** With a mark for the name of the value's type, where that is told. */
  #typedBefore(before: string): string {
    const typed = (type: string) => before.replace("number", type);
    const isTyped =
      before.includes("number") && this.#written({ [keys[0]]: true }).includes(`${typed("boolean")}true`);
    return isTyped ? typed(toolTypeMark) : before;
  }

  /** Whether a short text stands as other values do. */
  #isOptional(key: string, before: string): boolean {
    return this.#written({ [key]: "shoulders_value" }).includes(`${key}${before}shoulders_value`);
  }

  #isSorted(): boolean {
    const text = this.#written({ [keys[1]]: 1, [keys[0]]: 1 });
    return text.indexOf(keys[0]) < text.indexOf(keys[1]);
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

/** An argument's name in the tag that closes it, by its mark. */
function withKeysOnce(text: string): string {
  return keys.reduce((all, key) => all.replaceAll(`</${key}>`, `</${toolKeyMark}>`), text);
}

/** A name that stands twice in its call, by its mark the second time. */
function withNamesOnce(text: string): string {
  return names.reduce((all, name) => {
    const after = all.indexOf(name) + name.length;
    return all.slice(0, after) + all.slice(after).replaceAll(name, toolNameMark);
  }, text);
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
function asText(value: string, style: "raw" | "json" | "python"): string {
  if (style === "raw") return value;
  const json = JSON.stringify(value);
  return style === "json" ? json : `'${json.slice(1, -1).replaceAll('\\"', '"')}'`;
}
