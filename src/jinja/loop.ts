import { isEqual, Namespace, type Callable, type Value } from "./values.js";

/**
 * What a template can ask of the loop it is in.
 *
 * @param recur how the loop calls itself; null: it does not
 */
export function loopOver(
  items: readonly Value[],
  depth: number,
  recur: Callable | null,
): { at(index: number): Namespace } {
  const length = items.length;
  let last: readonly Value[] | null = null;
  const changed: Callable = ({ positional }) => {
    const isSame = last !== null && isEqual([...last], [...positional]);
    last = positional;
    return !isSame;
  };
  return {
    at: (index) => {
      const cycle: Callable = ({ positional }) => positional[index % positional.length];
      const fields = new Map<string, Value>([
        ["index", index + 1],
        ["index0", index],
        ["revindex", length - index],
        ["revindex0", length - index - 1],
        ["first", index === 0],
        ["last", index === length - 1],
        ["length", length],
        ["depth", depth + 1],
        ["depth0", depth],
        ["previtem", items[index - 1]],
        ["nextitem", items[index + 1]],
        ["cycle", cycle],
        ["changed", changed],
      ]);
      return new Namespace(fields, true, recur);
    },
  };
}
