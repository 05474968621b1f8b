import type { ArgumentKind } from "../../grammar/call-grammar.js";
import { present } from "../../errors.js";
import { formPattern, ofArgument } from "../../grammar/form-marks.js";
import type { JsonSchema } from "../../grammar/json/json-schema.js";
import type { ArgumentTags, ToolForm } from "../../protocol/protocol.js";
import { ElementEnd, ElementReader } from "./elements.js";
import { LiteralEnd, literalToJson } from "./literals.js";

/** What could be read of arguments that each stand for themselves. */
export interface ReadPart {
  /** A piece of the JSON object that they make. */
  json: string;
  /** What is left of the text. */
  rest: string;
}

/** Reads arguments that each stand for themselves, as they come, and writes them as one JSON object. */
export class TaggedArguments {
  readonly #tags: ArgumentTags;
  /** What may stand after the last argument. */
  readonly #ends: string[];
  /** What ends the text that is being read. */
  #textEnd = "";
  readonly #kindOf: (name: string) => ArgumentKind;
  /** Of values that are elements. */
  readonly #elements: ElementReader | null;
  #state: "name" | "text" | "value" | "either" | "element" | "after" | "end" = "name";
  #numRead = 0;
  #literal: LiteralEnd | ElementEnd | null = null;
  /** Of the argument that is being read. */
  #name = "";

  /**
   * @param kindOf what an argument is, where the form does not tell
   * @param schema of all of them
   */
  constructor(
    { between, ending }: ToolForm,
    tags: ArgumentTags,
    { kindOf, schema }: { kindOf: (name: string) => ArgumentKind; schema: JsonSchema },
  ) {
    this.#tags = tags;
    this.#kindOf = kindOf;
    this.#elements = tags.elements ? new ElementReader(tags.elements, schema) : null;
    this.#ends = [ending, ...(between === null ? [] : [between])].map((text) => tags.last + text);
  }

  get isOver(): boolean {
    return this.#state === "end";
  }

  read(text: string): ReadPart {
    let json = "";
    let rest = text;
    for (;;) {
      const state = this.#state;
      const read = this.#step(rest);
      if (read === null) return { json, rest };
      json += read.json;
      rest = read.rest;
      if (this.isOver || (state === this.#state && read.json === "")) return { json, rest };
    }
  }

  /** @returns null: more text is needed */
  #step(text: string): ReadPart | null {
    switch (this.#state) {
      case "name":
        return this.#readName(text);
      case "text":
        return this.#readText(text);
      case "value":
        return this.#readValue(text);
      case "either":
        return this.#readEither(text);
      case "element":
        return this.#readElement(text);
      case "after":
        return this.#readAfter(text);
      case "end":
        return null;
    }
  }

  #readName(text: string): ReadPart | null {
    const { text: around, value } = this.#tags;
    const find = (before: string) => new RegExp(formPattern(before)).exec(text);
    const asText = around && find(around.before);
    const asValue = find(value.before);
    const found = asText && asText.index <= (asValue?.index ?? Infinity) ? asText : asValue;
    // What comes may make a text of what looks like another value.
    const isOpen =
      around?.before.startsWith(value.before) && text.length < around.before.length + (found?.index ?? 0);
    if (found === null || isOpen) return null;
    const name = text.slice(0, found.index);
    const isText = around !== null && found === asText;
    const kind = around === null ? "value" : this.#kindHere(name, around, isText);
    this.#state = kind !== "text" && this.#elements !== null ? "element" : kind;
    this.#name = name;
    this.#textEnd = ofArgument(isText ? around.after : value.after, name);
    const opening = this.#numRead++ === 0 ? "{" : ",";
    return {
      json: `${opening}${JSON.stringify(name)}:${kind === "text" ? '"' : ""}`,
      rest: text.slice(found.index + found[0].length),
    };
  }

  #kindHere(name: string, text: NonNullable<ArgumentTags["text"]>, isText: boolean): ArgumentKind {
    if (text.before === this.#tags.value.before) return this.#kindOf(name);
    if (isText) return "text";
    return text.isOptional ? this.#kindOf(name) : "value";
  }

  /** As it comes, but for what may be the beginning of its end. */
  #readText(text: string): ReadPart {
    const after = this.#textEnd;
    const at = text.indexOf(after);
    const length = at < 0 ? text.length - heldLength(text, after) : at;
    const json = JSON.stringify(text.slice(0, length)).slice(1, -1);
    if (at < 0) return { json, rest: text.slice(length) };
    this.#state = "after";
    return { json: `${json}"`, rest: text.slice(at + after.length) };
  }

  #readValue(text: string): ReadPart | null {
    const { next, value } = this.#tags;
    this.#literal ??= new LiteralEnd(value.after === "" ? [next, ...this.#ends] : [value.after]);
    const end = this.#literal.find(text);
    return end === null ? null : this.#converted(text.slice(0, end), text.slice(end + value.after.length));
  }

  #readEither(text: string): ReadPart | null {
    const after = this.#textEnd;
    const at = text.indexOf(after);
    return at < 0 ? null : this.#converted(text.slice(0, at), text.slice(at + after.length));
  }

  #readElement(text: string): ReadPart | null {
    const end = (this.#literal ??= new ElementEnd(present(this.#tags.elements, "marks"))).find(text);
    if (end === null || text.length < end + this.#textEnd.length) return null;
    return this.#converted(text.slice(0, end), text.slice(end + this.#textEnd.length));
  }

  #converted(written: string, rest: string): ReadPart {
    this.#state = "after";
    this.#literal = null;
    const json = this.#elements?.argumentToJson(this.#name, written) ?? literalToJson(written);
    return { json: json ?? JSON.stringify(written), rest };
  }

  #readAfter(text: string): ReadPart | null {
    const { next, last } = this.#tags;
    if (this.#ends.some((end) => text.startsWith(end))) {
      this.#state = "end";
      return { json: "}", rest: text.slice(last.length) };
    }
    // An end may begin as the next argument does.
    if (!text.startsWith(next) || this.#ends.some((end) => end.startsWith(text))) return null;
    this.#state = "name";
    return { json: "", rest: text.slice(next.length) };
  }
}

/** The length of the longest end of a text that is a beginning of another. */
export function heldLength(text: string, beginning: string): number {
  let length = Math.min(text.length, beginning.length - 1);
  while (!text.endsWith(beginning.slice(0, length))) length--;
  return length;
}
