import { fieldError, type ShouldersError } from "../errors.js";
import type { CharacterClass } from "./characters.js";

/** What grammars are made of. */

export type Item = { type: "characters"; characters: CharacterClass } | { type: "rule"; rule: number };

/** `end`: of an alternative. */
export type Element = Item | { type: "end" };

/** Rules as flat lists. */
export interface FlatGrammar {
  elements: readonly Element[];
  /** Where in `elements` the alternatives of each rule begin. */
  rules: readonly (readonly number[])[];
  root: number;
}

export function refuseGrammar(message: string): ShouldersError {
  return fieldError("grammar", message);
}
