import type { Expression, Scope } from "./scope.js";
import type { TokenStream } from "./token-stream.js";
import { isMap, itemsOf, textOf, type Arguments, type Value } from "./values.js";

/** What stands in parentheses. */
export function readArguments(
  tokens: TokenStream,
  expression: () => Expression,
): (scope: Scope) => Arguments {
  tokens.expect("(");
  const plain: { isSpread: boolean; value: Expression }[] = [];
  const named: { name: string | null; value: Expression }[] = [];
  readList(tokens, ")", () => {
    if (tokens.skip("**")) named.push({ name: null, value: expression() });
    else if (tokens.skip("*")) plain.push({ isSpread: true, value: expression() });
    else if (tokens.current.type === "name" && tokens.next.value === "=" && tokens.next.type === "operator") {
      const name = tokens.take().value;
      tokens.expect("=");
      named.push({ name, value: expression() });
    } else plain.push({ isSpread: false, value: expression() });
  });
  return (scope) => ({
    positional: plain.flatMap(({ isSpread, value }) => (isSpread ? itemsOf(value(scope)) : [value(scope)])),
    named: new Map(named.flatMap(({ name, value }) => namedOf(name, value(scope)))),
  });
}

/** With commas between them. */
export function readList<Item>(tokens: TokenStream, end: string, item: () => Item): Item[] {
  const items: Item[] = [];
  while (!tokens.skip(end)) {
    if (items.length > 0) tokens.expect(",");
    if (tokens.skip(end)) break;
    items.push(item());
  }
  return items;
}

function namedOf(name: string | null, value: Value): [string, Value][] {
  if (name !== null) return [[name, value]];
  if (!isMap(value)) throw new TypeError("what follows ** must be a dict");
  return [...value].map(([key, item]) => [textOf(key), item]);
}
