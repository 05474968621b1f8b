import { expect, it } from "vitest";
import { deepestJson, jsonExcess, mostJsonParts, mostJsonValues } from "../../../src/config/json-size.js";

const excess = (text: string) => jsonExcess(Buffer.from(text));
const nested = (depth: number, open: string, close: string) => `${open.repeat(depth)}1${close.repeat(depth)}`;

it.each([
  ["[", "]"],
  ['{"a":', "}"],
  ['[{"a":', "}]"],
])("depth of %s", (open, close) => {
  const levels = open.length === 6 ? 2 : 1;
  expect(excess(nested(deepestJson / levels, open, close))).toBeNull();
  expect(excess(nested(deepestJson / levels + 1, open, close))).toContain(`deeper than ${deepestJson}`);
});

it("values, and objects, lists and keys", () => {
  const list = (count: number, element: string) => `[${Array(count).fill(element).join()}]`;
  expect(excess(list(mostJsonValues - 1, "1"))).toBeNull();
  expect(excess(list(mostJsonValues, "1"))).toContain(String(mostJsonValues));
  expect(excess(list(mostJsonParts - 1, "{}"))).toBeNull();
  expect(excess(list(mostJsonParts, "{}"))).toContain(String(mostJsonParts));
  const keys = (count: number) => `{${Array.from({ length: count }, (_, key) => `"${key}":1`).join()}}`;
  expect(excess(keys(mostJsonParts - 1))).toBeNull();
  expect(excess(keys(mostJsonParts))).toContain(String(mostJsonParts));
});

it("what stands in a text does not count", () => {
  const text = JSON.stringify({ a: `${"[".repeat(100)}"\\${"{,:".repeat(mostJsonValues)}\\` });
  expect(excess(text)).toBeNull();
  // A text that ends nowhere, and an escape at the very end.
  expect(excess(`["${"[".repeat(100)}`)).toBeNull();
  expect(excess('["\\')).toBeNull();
});

it("what closes more than was opened does not make room", () => {
  expect(excess(`${"]".repeat(200)}${"[".repeat(deepestJson)}`)).toBeNull();
  expect(excess(`${"]".repeat(200)}${"[".repeat(deepestJson + 1)}`)).toContain("deeper");
});
