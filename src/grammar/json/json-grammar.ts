import { areDisjoint } from "./disjoint-schemas.js";
import { literal, type GrammarBuilder } from "./grammar-builder.js";
import { integer, number, string } from "./json-scalars.js";
import {
  checkTypes,
  countsOf,
  isObject,
  keywordsOf,
  objectAt,
  refuse,
  refuseOthers,
  typesOf,
  type JsonSchema,
  type TypeName,
} from "./json-schema.js";

/**
 * GBNF of the JSON that a schema allows. What is written is compact, with at most one space after a colon or a
 * comma, so that no model can fill an answer with white space; properties come in the schema's order. What the
 * grammar would not enforce is refused, with its path.
 */

const deepest = 64;

const json = (value: unknown) => literal(JSON.stringify(value));

export interface SchemaOptions {
  /** Path of the schema in the request. */
  param: string;
  /** What cannot be held to is refused; else it is left out, and told in `builder.ignored`. */
  isStrict: boolean;
}

/**
 * @returns the name of a rule: what the schema allows
 * @throws ShouldersError `unsupported_field` with the path of what cannot be enforced
 */
export function addSchema(builder: GrammarBuilder, schema: unknown, { param }: SchemaOptions): string {
  return new SchemaWriter(builder, schema, param).write();
}

function nameIn(pointer: string, path: string): string {
  try {
    return decodeURIComponent(pointer).replaceAll("~1", "/").replaceAll("~0", "~");
  } catch {
    throw refuse(path, "its escapes (%) are not UTF-8");
  }
}

class SchemaWriter {
  readonly #builder: GrammarBuilder;
  readonly #root: unknown;
  readonly #param: string;
  /** Pointer to the rule of what it refers to. */
  readonly #ruleOf = new Map<string, string>();
  #depth = 0;

  constructor(builder: GrammarBuilder, root: unknown, param: string) {
    this.#builder = builder;
    this.#root = root;
    this.#param = param;
  }

  write(): string {
    return this.#reference("#", this.#param);
  }

  #visit(schema: unknown, path: string): string {
    if (schema === true) return "value";
    if (!isObject(schema)) throw refuse(path, "expected a schema");
    if (++this.#depth > deepest) throw refuse(path, `schemas may be nested ${deepest} deep`);
    const body = this.#body(schema, path);
    this.#depth--;
    return this.#builder.rule(body);
  }

  #body(schema: JsonSchema, path: string): string {
    const only = (...keywords: string[]) => refuseOthers(schema, keywords, path);
    if (schema["$ref"] !== undefined) {
      only("$ref");
      return this.#reference(schema["$ref"], `${path}.$ref`);
    }
    for (const keyword of ["anyOf", "oneOf", "allOf"] as const) {
      const branches = schema[keyword];
      if (branches === undefined) continue;
      only(keyword);
      return this.#branches(keyword, branches, `${path}.${keyword}`);
    }
    if (schema["const"] !== undefined) {
      only("const", "type");
      checkTypes([schema["const"]], schema, path);
      return json(schema["const"]);
    }
    if (schema["enum"] !== undefined) {
      only("enum", "type");
      const values = schema["enum"];
      if (!Array.isArray(values) || values.length === 0)
        throw refuse(`${path}.enum`, "expected a list of values");
      checkTypes(values, schema, path);
      return values.map(json).join(" | ");
    }
    const types = typesOf(schema, path);
    if (types === null) {
      only();
      return "value";
    }
    only("type", ...types.flatMap((type) => keywordsOf[type]));
    return types.map((type) => `(${this.#typed(type, schema, path)})`).join(" | ");
  }

  #typed(type: TypeName, schema: JsonSchema, path: string): string {
    switch (type) {
      case "boolean":
        return `"true" | "false"`;
      case "null":
        return `"null"`;
      case "string":
        return string(schema, path);
      case "number":
        return number(schema, path);
      case "integer":
        return integer(schema, path);
      case "array":
        return this.#array(schema, path);
      case "object":
        return this.#object(schema, path);
    }
  }

  #reference(pointer: unknown, path: string): string {
    if (typeof pointer !== "string" || !/^#(\/(\$defs|definitions)\/[^/]+)?$/.test(pointer))
      throw refuse(path, `expected "#", "#/$defs/name" or "#/definitions/name"`);
    const known = this.#ruleOf.get(pointer);
    if (known !== undefined) return known;
    const [, list = "", encoded] = pointer.split("/");
    const name = encoded === undefined ? null : nameIn(encoded, path);
    const target = name === null ? this.#root : this.#definition(list, name);
    if (target === undefined) throw refuse(path, "it points to nothing");
    const { name: rule, define } = this.#builder.reserve();
    this.#ruleOf.set(pointer, rule);
    define(this.#visit(target, name === null ? this.#param : `${this.#param}.${list}.${name}`));
    return rule;
  }

  #definition(list: string, name: string): unknown {
    const definitions = isObject(this.#root) ? this.#root[list] : undefined;
    return isObject(definitions) && Object.hasOwn(definitions, name) ? definitions[name] : undefined;
  }

  #branches(keyword: "anyOf" | "oneOf" | "allOf", branches: unknown, path: string): string {
    if (!Array.isArray(branches) || branches.length === 0) throw refuse(path, "expected a list of schemas");
    if (keyword === "allOf" && branches.length > 1) throw refuse(path, "only one schema can be enforced");
    if (keyword === "oneOf" && !areDisjoint(branches as unknown[], this.#builder))
      throw refuse(
        path,
        "branches may overlap; use anyOf, or types or constant properties that tell them apart",
      );
    return branches.map((branch, index) => this.#visit(branch, `${path}.${index}`)).join(" | ");
  }

  #array(schema: JsonSchema, path: string): string {
    const item = schema["items"] === undefined ? "value" : this.#visit(schema["items"], `${path}.items`);
    const { least, most } = countsOf(schema, "minItems", "maxItems", path);
    if (most === 0) return `"[]"`;
    const rest = `("," space ${item}){${Math.max(0, least - 1)},${most === null ? "" : most - 1}}`;
    const items = `${item} ${most === 1 ? "" : rest}`;
    return `"[" ${least === 0 ? `(${items})?` : items} "]"`;
  }

  #object(schema: JsonSchema, path: string): string {
    const properties = objectAt(schema["properties"] ?? {}, `${path}.properties`);
    const names = Object.keys(properties);
    const required = schema["required"] ?? [];
    if (!Array.isArray(required)) throw refuse(`${path}.required`, "expected a list of names");
    required.forEach((name, index) => {
      if (typeof name !== "string" || !Object.hasOwn(properties, name))
        throw refuse(`${path}.required.${index}`, "it is not among the properties");
    });
    const isRequired = new Set<unknown>(required);
    const keys = schema["propertyNames"];
    if (keys !== undefined && JSON.stringify(keys) !== `{"type":"string"}`)
      throw refuse(`${path}.propertyNames`, `only {"type": "string"} can be enforced`);
    const others = schema["additionalProperties"] ?? true;
    // Others are never written beside named ones: one of the same name could contradict its schema.
    if (names.length === 0)
      return others === false ? `"{}"` : this.#map(others, `${path}.additionalProperties`);
    const members = names.map((name) => ({
      isRequired: isRequired.has(name),
      text: `${json(name)} ":" space ${this.#visit(properties[name], `${path}.properties.${name}`)}`,
    }));
    return `"{" ${this.#members(members)} "}"`;
  }

  #map(values: unknown, path: string): string {
    const member = `string ":" space ${this.#visit(values, path)}`;
    return `"{" (${member} ("," space ${member})*)? "}"`;
  }

  /** Members in order; the first that is there has no comma before it. */
  #members(members: readonly { isRequired: boolean; text: string }[]): string {
    // What may follow each member, from the last one on.
    const tails = [""];
    for (const { isRequired, text } of [...members].reverse()) {
      const next = tails.at(-1) as string;
      tails.push(
        this.#builder.rule(isRequired ? `"," space ${text} ${next}` : `("," space ${text})? ${next}`),
      );
    }
    tails.reverse();
    const firstRequired = members.findIndex(({ isRequired }) => isRequired);
    const heads = members.slice(0, firstRequired < 0 ? members.length : firstRequired + 1);
    const starts = heads.map(({ text }, index) => `${text} ${tails[index + 1] as string}`);
    return `(${starts.join(" | ")})${firstRequired < 0 ? "?" : ""}`;
  }
}
