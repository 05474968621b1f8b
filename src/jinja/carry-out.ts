import type { Expression, Scope, Statement } from "./scope.js";
import { itemsOf, Tuple, type Arguments, type Value } from "./values.js";

/** What tags do. */

/** Names in the places of a tuple, a name, or a field of a namespace. */
export type Target = (scope: Scope, value: Value) => void;

export interface Parameter {
  name: string;
  value: Expression | null;
}

export function write(value: Expression): Statement {
  return (scope, out) => {
    const text = scope.print(value(scope));
    if (text !== "") out.push(text);
    return undefined;
  };
}

export function rendered(body: Statement, scope: Scope): string {
  const out: string[] = [];
  body(scope, out);
  scope.budget.make(out.reduce((sum, { length }) => sum + length, 0));
  return out.join("");
}

export function unpack(targets: readonly Target[]): Target {
  return (scope, value) => {
    const items = itemsOf(value);
    if (items.length !== targets.length)
      throw new TypeError(`expected ${targets.length} values to unpack, got ${items.length}`);
    for (const [index, target] of targets.entries()) target(scope, items[index]);
  };
}

export function bindMacro(
  scope: Scope,
  parameters: readonly Parameter[],
  { positional, named }: Arguments,
  reads: ReadonlySet<string>,
): void {
  const rest = new Map(named);
  for (const [index, { name, value }] of parameters.entries()) {
    const isGiven = index < positional.length || rest.has(name);
    const given = index < positional.length ? positional[index] : rest.get(name);
    rest.delete(name);
    scope.set(name, isGiven ? given : value?.(scope));
  }
  if (rest.has("caller")) scope.set("caller", rest.get("caller"));
  rest.delete("caller");
  if (reads.has("varargs")) scope.set("varargs", new Tuple(positional.slice(parameters.length)));
  else if (positional.length > parameters.length)
    throw new TypeError(`a macro takes not more than ${parameters.length} arguments`);
  if (reads.has("kwargs")) scope.set("kwargs", rest);
  else if (rest.size > 0)
    throw new TypeError(`a macro takes no keyword argument '${[...rest.keys()].join()}'`);
}
