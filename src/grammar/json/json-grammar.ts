import { NotRegular } from "../regular/expression.js";
import { arrayRule } from "./json-arrays.js";
import {
  conditionsOf,
  valuesAt,
  withoutKeywords,
  type Atom,
  type BranchSet,
  type Condition,
} from "./conditions.js";
import { areDisjoint } from "./disjoint-schemas.js";
import type { GrammarBuilder } from "./grammar-builder.js";
import { numberRule } from "./json-numbers.js";
import { bracedLayout, objectRule } from "./json-objects.js";
import { allTypes, impliedTypes, isObject, refuse, typesOf, type TypeName } from "./json-schema.js";
import { stringRule } from "./json-strings.js";
import { fits } from "./json-values.js";
import { jsonNotation, type Notation } from "./notation.js";
import { has, SchemaDocument, type Located } from "./schema-document.js";
import type { ObjectLayout, SchemaWriter } from "./schema-writer.js";
import type { Automaton } from "../regular/automaton.js";

/**
 * GBNF of JSON that a schema allows. What is written is compact, with at most one space after a colon or a comma, so
 * that no model can fill an answer with white space; properties come in the schema's order, and none that it does not
 * name. So an answer fits the schema, and not everything that fits can be an answer.
 */

const deepest = 64;

export interface SchemaOptions {
  /** Path of the schema in the request. */
  param: string;
  /** What cannot be held to is refused; else it is left out, and told in `builder.ignored`. */
  isStrict: boolean;
}

/**
 * @returns the name of a rule: what the schema allows
 * @throws ShouldersError with the path of what is no schema, or cannot be held to and has to be
 */
export function addSchema(builder: GrammarBuilder, schema: unknown, options: SchemaOptions): string {
  const document = new SchemaDocument(schema, options.param);
  const rule = new JsonSchemaWriter({ builder, document, ...options }).visit([document.root]);
  if (rule === null) throw refuse(options.param, "no value fits it");
  return rule;
}

export interface WriterParts extends Pick<SchemaOptions, "isStrict"> {
  builder: GrammarBuilder;
  document: SchemaDocument;
  /** Default: JSON. */
  notation?: Notation;
  /** Of every object that is visited. Default: between braces. */
  layout?: ObjectLayout | ((writer: SchemaWriter) => ObjectLayout);
}

export class JsonSchemaWriter implements SchemaWriter {
  readonly builder: GrammarBuilder;
  readonly document: SchemaDocument;
  readonly notation: Notation;
  readonly layout: ObjectLayout;
  readonly patterns = new Map<string, Automaton | null>();
  readonly #isStrict: boolean;
  /** Rules by the keys of what they are of; null: nothing fits. */
  readonly #ruleOf = new Map<string, string | null>();
  #depth = 0;

  constructor({ builder, document, isStrict, notation = jsonNotation, layout }: WriterParts) {
    this.builder = builder;
    this.document = document;
    this.notation = notation;
    this.layout = typeof layout === "function" ? layout(this) : (layout ?? bracedLayout(this));
    this.#isStrict = isStrict;
  }

  readonly widen = (path: string, why: string): void => {
    if (this.#isStrict) throw refuse(path, `${why}; leave it out, or strict`);
    if (!this.builder.ignored.includes(path)) this.builder.ignored.push(path);
  };

  visit(conditions: readonly Condition[]): string | null {
    this.builder.spend(conditions.length);
    const key = [...new Set(conditions.map((condition) => condition.key))].sort().join(" ");
    const known = this.#ruleOf.get(key);
    if (known !== undefined) return known;
    const [path = ""] = conditions.map((condition) => condition.path);
    if (++this.#depth > deepest) throw refuse(path, `schemas may be nested ${deepest} deep`);
    const { name, define } = this.builder.reserve();
    this.#ruleOf.set(key, name);
    const body = this.#body(conditions);
    this.#depth--;
    // What refers to it from within has its name already: a text that never ends.
    define(body ?? `"\\x00" ${name}`);
    const rule = body === null ? null : name;
    this.#ruleOf.set(key, rule);
    return rule;
  }

  fits(value: unknown, located: Located): boolean {
    try {
      const { document, patterns } = this;
      const unread = (path: string) => this.widen(path, "it cannot be read");
      return fits(value, located, { document, patterns, spend: this.builder.spendOnTexts, unread, depth: 0 });
    } catch (thrown) {
      if (thrown instanceof NotRegular) throw refuse(located.path, thrown.message);
      throw thrown;
    }
  }

  #body(given: readonly Condition[]): string | null {
    const { atoms, branchSets, isNever } = conditionsOf(given, this.document, this.widen);
    if (isNever) return null;
    const named = this.#namedValues(atoms, branchSets);
    if (named !== null)
      return named.length === 0 ? null : named.map((value) => this.notation.constant(value)).join(" | ");
    const [first, ...others] = branchSets;
    if (first !== undefined)
      return this.#branches(first, [...atoms.map((atom) => withoutKeywords(atom)), ...others]);
    return this.#typed(atoms);
  }

  /** The values that are named and fit everything; null: none are named. */
  #namedValues(atoms: readonly Atom[], branchSets: readonly BranchSet[]): unknown[] | null {
    const lists = [
      ...valuesAt(atoms, "const").map(({ value }) => [value]),
      ...valuesAt(atoms, "enum").map(({ value, path }) => {
        if (!Array.isArray(value) || value.length === 0) throw refuse(path, "expected a list of values");
        return value as unknown[];
      }),
    ];
    const [values] = lists;
    if (values === undefined) return null;
    this.builder.spend(values.length * atoms.length);
    const fitsBranches =
      (value: unknown) =>
      ({ keyword, branches }: BranchSet) => {
        const { length } = branches.filter((branch) => this.fits(value, branch));
        return keyword === "oneOf" ? length === 1 : length > 0;
      };
    return values.filter(
      (value) => atoms.every((atom) => this.fits(value, atom)) && branchSets.every(fitsBranches(value)),
    );
  }

  #branches({ keyword, branches, path }: BranchSet, rest: readonly Condition[]): string | null {
    if (keyword === "oneOf" && branches.length > 1) {
      const told = branches.map((branch) => this.#followed(branch));
      if (!areDisjoint(told, this.builder))
        this.widen(
          path,
          "its branches may overlap; use anyOf, or types or constant properties that tell them apart",
        );
    }
    const rules = branches.flatMap((branch) => this.visit([...rest, branch]) ?? []);
    return rules.length === 0 ? null : rules.join(" | ");
  }

  #followed(branch: Located): unknown {
    let at = branch;
    for (let step = 0; step < deepest && has(at, "$ref"); step++) {
      const next = this.document.find(String((at.schema as Record<string, unknown>)["$ref"]), at);
      if (next === null) break;
      at = next;
    }
    return at.schema;
  }

  #typed(atoms: readonly Atom[]): string | null {
    if (atoms.some(({ schema: { not } }) => not === true || (isObject(not) && Object.keys(not).length === 0)))
      return null;
    this.#widenLogic(atoms);
    const types = this.#types(atoms);
    if (types === null) return this.notation.value;
    const isNamed = atoms.some(({ schema }) => schema["type"] !== undefined);
    // Of the types that are meant, no value may fit; then any of the others does.
    const others = isNamed ? [] : allTypes.filter((type) => type !== "integer" && !types.includes(type));
    const rules = this.#typeRules(types, atoms) ?? this.#typeRules(others, atoms);
    return rules && rules.join(" | ");
  }

  /** null: no value of these types fits. */
  #typeRules(types: readonly TypeName[], atoms: readonly Atom[]): string[] | null {
    const bodies = types.flatMap((type) => {
      const body = this.#typeRule(type, atoms);
      if (body === null) return [];
      return [type === "string" ? `(${body})` : `(${body})${this.notation.end}`];
    });
    return bodies.length === 0 ? null : bodies;
  }

  /** The types that all atoms allow; null: any, and nothing is said of any of them. */
  #types(atoms: readonly Atom[]): TypeName[] | null {
    const given = atoms.flatMap(({ schema, path }) => typesOf(schema, path) ?? []);
    const lists = atoms.flatMap(({ schema, path }) => {
      const types = typesOf(schema, path);
      return types === null ? [] : [types];
    });
    if (given.length === 0) return impliedTypes(atoms.map(({ schema }) => schema));
    const isIn = (type: TypeName, types: readonly TypeName[]) =>
      types.includes(type) || (type === "integer" && types.includes("number"));
    const common = allTypes.filter((type) => lists.every((types) => isIn(type, types)));
    // Every integer is a number.
    return common.filter((type) => type !== "integer" || !common.includes("number"));
  }

  #typeRule(type: TypeName, atoms: readonly Atom[]): string | null {
    switch (type) {
      case "boolean":
        return this.notation.boolean;
      case "null":
        return this.notation.nothing;
      case "string":
        return stringRule(atoms, this);
      case "number":
      case "integer":
        return numberRule(atoms, type === "integer", this);
      case "array":
        return arrayRule(atoms, this);
      case "object":
        return objectRule(atoms, this);
    }
  }

  /** What says which values do not fit, or which fit where others do. */
  #widenLogic(atoms: readonly Atom[]): void {
    for (const atom of atoms) {
      if (has(atom, "not") && atom.schema["not"] !== false)
        this.widen(`${atom.path}.not`, "an answer cannot be held to what it is not");
      if (has(atom, "if") && (has(atom, "then") || has(atom, "else")))
        this.widen(`${atom.path}.if`, "an answer cannot be held to conditions; use anyOf");
    }
  }
}
