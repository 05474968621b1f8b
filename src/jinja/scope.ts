import { textOf, type Budget, type Value } from "./values.js";

/** Where names are looked up; what is set in a loop or a macro does not leave it. */
export class Scope {
  readonly #names = new Map<string, Value>();
  readonly #parent: Scope | null;
  readonly budget: Budget;

  constructor(budget: Budget, parent: Scope | null = null) {
    this.budget = budget;
    this.#parent = parent;
  }

  inner(): Scope {
    return new Scope(this.budget, this);
  }

  get(name: string): Value {
    return this.#names.has(name) ? this.#names.get(name) : this.#parent?.get(name);
  }

  set(name: string, value: Value): void {
    this.#names.set(name, value);
  }

  print(value: Value): string {
    const text = textOf(value);
    this.budget.make(text.length);
    return text;
  }
}

export type Expression = (scope: Scope) => Value;

/** Writes into `out`. @returns what the loop around it is to do */
export type Statement = (scope: Scope, out: string[]) => "break" | "continue" | undefined;

/** Characters of a text, or items of a list, that cost a step when an expression makes them. */
export const madePerStep = 512;

/** Every expression that is evaluated costs a step, and more when what it makes is long. */
export function counted(evaluate: Expression): Expression {
  return (scope) => {
    scope.budget.spend(1);
    const value = evaluate(scope);
    if (typeof value === "string") scope.budget.make(value.length);
    return value;
  };
}

/** What makes no value, and only names one that is there. */
export function named(evaluate: Expression): Expression {
  return (scope) => {
    scope.budget.spend(1);
    return evaluate(scope);
  };
}
