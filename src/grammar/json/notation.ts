import { bareQuote, type ArgumentTags } from "../../llama/types.js";
import { jsonWriting, plainWriting, pythonWriting, type Writing } from "../regular/write-automaton.js";
import { throughText } from "../through-text.js";
import { literal, type GrammarBuilder } from "./grammar-builder.js";
import { isObject } from "./json-schema.js";

type Elements = NonNullable<ArgumentTags["elements"]>;

/** How values are written down: as JSON, or as templates write the arguments of a call. */
export interface Notation {
  readonly boolean: string;
  readonly nothing: string;
  /** Any value, and the name of any property with what stands behind it. */
  readonly value: string;
  readonly anyName: string;
  readonly comma: string;
  /** Around the items of a list, and each of them. */
  readonly list: { opening: string; closing: string; item: (rule: string) => string };
  /** Behind any value but a text; "": nothing. */
  readonly end: string;
  /** Behind the name of a property. */
  readonly colon: string;
  /** The ways to write a text. */
  readonly texts: readonly TextNotation[];
  /** The names of properties are texts; else they stand as they are. */
  readonly hasQuotedNames: boolean;
  /** A value that the schema names. */
  constant(value: unknown): string;
}

export interface TextNotation {
  opening: string;
  closing: string;
  /** Rule of one of its characters; null: they stand as they are, up to the first `closing`. */
  character: string | null;
  writing: Writing;
}

const choice = (texts: readonly string[]) => [...new Set(texts)].map(literal).join(" | ");

export const jsonNotation: Notation = {
  boolean: `"true" | "false"`,
  nothing: `"null"`,
  value: "value",
  anyName: `string ":" space`,
  comma: `"," space`,
  list: { opening: `"["`, closing: `"]"`, item: (rule) => rule },
  end: "",
  colon: `":" space`,
  texts: [{ opening: '"', closing: '"', character: "char", writing: jsonWriting }],
  hasQuotedNames: true,
  constant: (value) => literal(JSON.stringify(value)),
};

/** Texts as they stand, up to a mark. Nothing else is written so. */
export function rawTexts(mark: string): Notation {
  return {
    ...jsonNotation,
    texts: [{ opening: "", closing: mark, character: null, writing: plainWriting }],
    constant: (value) => literal(String(value) + mark),
  };
}

/** Python's literals, and JSON's: models write both where their template writes some values each way. */
export function pythonNotation(builder: GrammarBuilder): Notation {
  const value = builder.reserve();
  const character = builder.rule(`[^'\\\\\\x00-\\x1F\\x7F] | "\\\\" ['"\\\\/bfnrt]`);
  const text = builder.rule(`string | "'" ${character}* "'"`);
  const [boolean, nothing] = [`"True" | "False" | "true" | "false"`, `"None" | "null"`];
  const entry = `${text} ":" space ${value.name}`;
  value.define(
    `${text} | "-"? number | ${boolean} | ${nothing} | "{" (${entry} ("," space ${entry})*)? "}" | ` +
      `"[" (${value.name} ("," space ${value.name})*)? "]"`,
  );
  return {
    ...jsonNotation,
    boolean,
    nothing,
    value: value.name,
    anyName: `${text} ":" space`,
    texts: [...jsonNotation.texts, { opening: "'", closing: "'", character, writing: pythonWriting }],
    constant: (constant) => choice([JSON.stringify(constant), pythonLiteral(constant)]),
  };
}

/** As Python writes a value. */
export function pythonLiteral(value: unknown): string {
  if (typeof value === "string")
    return `'${JSON.stringify(value).slice(1, -1).replaceAll('\\"', '"').replaceAll("'", "\\'")}'`;
  if (Array.isArray(value)) return `[${value.map(pythonLiteral).join(", ")}]`;
  if (isObject(value))
    return `{${Object.entries(value)
      .map(([name, one]) => `${pythonLiteral(name)}: ${pythonLiteral(one)}`)
      .join(", ")}}`;
  if (typeof value === "boolean") return value ? "True" : "False";
  return value === null ? "None" : JSON.stringify(value);
}

/** A name that stands without quotes. */
export const bareName = "[a-zA-Z0-9_.$-]{1,64}";

/** Gemma's: names without quotes, texts between marks of their own, no space. */
export function bareNotation(builder: GrammarBuilder): Notation {
  const value = builder.reserve();
  const text = `${literal(bareQuote)} ${throughText(builder, [{ text: bareQuote, follows: `""` }])}`;
  const entry = `${bareName} ":" ${value.name}`;
  value.define(
    `${text} | "-"? number | "true" | "false" | "null" | "None" | "{" (${entry} ("," ${entry})*)? "}" | ` +
      `"[" (${value.name} ("," ${value.name})*)? "]"`,
  );
  return {
    ...jsonNotation,
    nothing: `"null" | "None"`,
    value: value.name,
    anyName: `${bareName} ":"`,
    comma: `","`,
    colon: `":"`,
    texts: [{ opening: bareQuote, closing: bareQuote, character: null, writing: plainWriting }],
    hasQuotedNames: false,
    constant: (constant) => literal(bareLiteral(constant)),
  };
}

/** As Gemma writes a value. */
export function bareLiteral(value: unknown): string {
  if (typeof value === "string") return bareQuote + value + bareQuote;
  if (Array.isArray(value)) return `[${value.map(bareLiteral).join(",")}]`;
  if (isObject(value))
    return `{${Object.entries(value)
      .map(([name, one]) => `${name}:${bareLiteral(one)}`)
      .join(",")}}`;
  return JSON.stringify(value);
}

/** MiniMax's: lists and objects as elements within elements, a mark before every tag; it ends every value, too. */
export function elementNotation(builder: GrammarBuilder, { mark, item }: Elements): Notation {
  const value = builder.reserve();
  const inner = `${literal(`${mark}<`)} ${bareName} ">" ${value.name} "</" ${bareName} ">"`;
  const text = throughText(builder, [{ text: mark, follows: `""` }]);
  value.define(`${text} | (${inner})+ ${literal(mark)}`);
  const within = (rule: string) => `${literal(`${mark}<${item}>`)} ${rule} ${literal(`</${item}>`)}`;
  return {
    ...rawTexts(mark),
    value: value.name,
    comma: `""`,
    list: { opening: `""`, closing: `""`, item: within },
    end: literal(mark),
    constant: (constant) => literal(elementLiteral(constant, { mark, item }) + mark),
  };
}

/** As MiniMax writes what stands within an element. */
export function elementLiteral(value: unknown, elements: Elements): string {
  const { mark, item } = elements;
  const within = (name: string, one: unknown) =>
    `${mark}<${name}>${elementLiteral(one, elements)}${mark}</${name}>`;
  if (Array.isArray(value)) return value.map((one) => within(item, one)).join("");
  if (isObject(value))
    return Object.entries(value)
      .map(([name, one]) => within(name, one))
      .join("");
  return typeof value === "string" ? value : JSON.stringify(value);
}
