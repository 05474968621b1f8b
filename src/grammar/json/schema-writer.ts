import type { Automaton } from "../regular/automaton.js";
import type { Condition } from "./conditions.js";
import type { GrammarBuilder } from "./grammar-builder.js";
import type { Located, SchemaDocument } from "./schema-document.js";

/** What the rules of arrays and objects need of the one who writes a schema's grammar. */
export interface SchemaWriter {
  readonly builder: GrammarBuilder;
  readonly document: SchemaDocument;
  readonly patterns: Map<string, Automaton | null>;
  /** Tells that a keyword is not held to; refuses it where it has to be. */
  readonly widen: (path: string, why: string) => void;
  /** The rule of what fits all of these; null: nothing does. */
  visit(conditions: readonly Condition[]): string | null;
  /** Whether a value of the schema itself fits all that is said of it. */
  fits(value: unknown, located: Located): boolean;
}
