import type { Automaton } from "../regular/automaton.js";
import type { Condition } from "./conditions.js";
import type { GrammarBuilder } from "./grammar-builder.js";
import type { Notation } from "./notation.js";
import type { Located, SchemaDocument } from "./schema-document.js";

/** How an object is laid out; all but `member` and `other` are GBNF. */
export interface ObjectLayout {
  opening: string;
  comma: string;
  closing: string;
  /** An object without members. */
  empty: string;
  /** Members come by their names' order, whatever the schema's. */
  isSorted?: boolean;
  /**
   * A property of this name.
   *
   * @param conditions what its value has to fit
   * @returns null: no value fits
   */
  member(name: string, conditions: readonly Located[]): string | null;
  /** Properties of any name that fits. @returns the ways to write one */
  other(names: readonly Located[], conditions: readonly Located[]): string[];
}

/** What the rules of arrays and objects need of the one who writes a schema's grammar. */
export interface SchemaWriter {
  readonly builder: GrammarBuilder;
  readonly document: SchemaDocument;
  readonly notation: Notation;
  /** How objects are laid out. */
  readonly layout: ObjectLayout;
  readonly patterns: Map<string, Automaton | null>;
  /** Tells that a keyword is not held to; refuses it where it has to be. */
  readonly widen: (path: string, why: string) => void;
  /** The rule of what fits all of these; null: nothing does. */
  visit(conditions: readonly Condition[]): string | null;
  /** Whether a value of the schema itself fits all that is said of it. */
  fits(value: unknown, located: Located): boolean;
}
