import { isObject, type JsonSchema } from "../../grammar/json/json-schema.js";
import { childOf, SchemaDocument, type Located } from "../../grammar/json/schema-document.js";
import type { ArgumentTags } from "../../protocol/protocol.js";
import { literalToJson } from "./literals.js";

/** Values written as elements within elements, as JSON. What a text without any stands for, only its schema tells. */

type Elements = NonNullable<ArgumentTags["elements"]>;

const deepest = 256;

/** Finds where an element ends, as it comes: before the first closing mark that closes none within it. */
export class ElementEnd {
  readonly #mark: string;
  #at = 0;
  #depth = 0;

  constructor({ mark }: Elements) {
    this.#mark = mark;
  }

  /**
   * @param text what has come since the element began
   * @returns null: more may come to it
   */
  find(text: string): number | null {
    for (;;) {
      const at = text.indexOf(this.#mark, this.#at);
      const next = at < 0 ? undefined : text[at + this.#mark.length + 1];
      if (next === undefined) return null;
      if (next === "/" && this.#depth === 0) return at;
      this.#depth += next === "/" ? -1 : 1;
      this.#at = at + this.#mark.length;
    }
  }
}

interface Child {
  name: string;
  inner: string;
}

/** Reads the arguments of one function. */
export class ElementReader {
  readonly #elements: Elements;
  readonly #document: SchemaDocument;

  /** @param schema of the arguments */
  constructor(elements: Elements, schema: JsonSchema) {
    this.#elements = elements;
    this.#document = new SchemaDocument(schema, "");
  }

  /** @returns JSON of what is written in the element of an argument */
  argumentToJson(name: string, written: string): string {
    return this.#json(written, this.#property(this.#expanded([this.#document.root]), name));
  }

  /** @param schemas what the value may fit */
  #json(written: string, schemas: readonly Located[], depth = 0): string {
    const types = typesOf(schemas);
    const may = (type: string) => types === null || types.has(type);
    const children = depth < deepest ? this.#children(written) : null;
    if (children === null) {
      if (types?.has("string") === true && types.size === 1) return JSON.stringify(written);
      if (written === "" && !may("string")) return may("array") ? "[]" : may("object") ? "{}" : "null";
      const json = written === "" ? null : literalToJson(written);
      return json ?? JSON.stringify(written);
    }
    if (may("array") && children.every(({ name }) => name === this.#elements.item))
      return `[${children
        .map(({ inner }, place) => this.#json(inner, this.#item(schemas, place), depth + 1))
        .join()}]`;
    const members = children.map(({ name, inner }) => {
      const value = this.#json(inner, this.#property(schemas, name), depth + 1);
      return `${JSON.stringify(name)}:${value}`;
    });
    return `{${members.join()}}`;
  }

  /** The elements that a text is made of; null: it has others parts, or none. */
  #children(text: string): Child[] | null {
    const { mark } = this.#elements;
    const children: Child[] = [];
    for (let at = 0; at < text.length;) {
      const end = text.indexOf(">", at + mark.length);
      if (!text.startsWith(`${mark}<`, at) || end < 0) return null;
      const name = text.slice(at + mark.length + 1, end);
      const length = new ElementEnd(this.#elements).find(text.slice(end + 1));
      const closing = `${mark}</${name}>`;
      if (length === null || !text.startsWith(closing, end + 1 + length)) return null;
      children.push({ name, inner: text.slice(end + 1, end + 1 + length) });
      at = end + 1 + length + closing.length;
    }
    return children.length > 0 ? children : null;
  }

  #property(schemas: readonly Located[], name: string): Located[] {
    const found = schemas.flatMap((located) => {
      const { properties, additionalProperties } = located.schema as JsonSchema;
      if (isObject(properties) && Object.hasOwn(properties, name))
        return [childOf(located, "properties", name)];
      return isObject(additionalProperties) ? [childOf(located, "additionalProperties")] : [];
    });
    return this.#expanded(found);
  }

  #item(schemas: readonly Located[], place: number): Located[] {
    const found = schemas.flatMap((located) => {
      const { items, prefixItems } = located.schema as JsonSchema;
      const list = Array.isArray(prefixItems) ? "prefixItems" : Array.isArray(items) ? "items" : null;
      if (list !== null && place < ((located.schema as JsonSchema)[list] as unknown[]).length)
        return [childOf(located, list, place)];
      return isObject(items) ? [childOf(located, "items")] : [];
    });
    return this.#expanded(found);
  }

  /** With what they refer to, and their branches. */
  #expanded(schemas: readonly Located[]): Located[] {
    const known = new Map<string, Located>();
    const add = (located: Located): void => {
      const { schema, key } = located;
      if (!isObject(schema) || known.has(key)) return;
      known.set(key, located);
      const reference = schema["$ref"];
      const target = typeof reference === "string" ? this.#document.find(reference, located) : null;
      if (target !== null) add(target);
      for (const keyword of ["anyOf", "oneOf", "allOf"])
        if (Array.isArray(schema[keyword]))
          for (const place of schema[keyword].keys()) add(childOf(located, keyword, place));
    };
    schemas.forEach(add);
    return [...known.values()];
  }
}

/** The types of what fits one of these, integers as numbers; null: none are named. */
function typesOf(schemas: readonly Located[]): Set<string> | null {
  const types = new Set<string>();
  for (const { schema } of schemas) {
    const { type, enum: values, const: constant } = schema as JsonSchema;
    const named = [type].flat().filter((one) => typeof one === "string");
    const given = Array.isArray(values) ? values : constant === undefined ? [] : [constant];
    // What is named is among the types.
    for (const one of given.length > 0 ? given.map(typeOf) : named)
      types.add(one === "integer" ? "number" : one);
  }
  return types.size > 0 ? types : null;
}

function typeOf(value: unknown): string {
  if (value === null) return "null";
  return Array.isArray(value) ? "array" : typeof value;
}
