import { expect, test } from "vitest";
import { traceToCsv } from "../../../src/trace/csv.js";
import { tokenOf } from "../../support/fake-engine.js";

test("a mixture's shares have a column each, empty where a token has none", () => {
  const { record } = tokenOf("a");
  const lines = traceToCsv([record, { ...record, shares: { base: 0.25, trivia: 0.75 } }])
    .trim()
    .split("\r\n")
    .map((line) => line.split(","));
  const valuesOf = (name: string) => lines.slice(1).map((line) => line[lines[0]!.indexOf(name)]);
  expect(valuesOf("shares.base")).toEqual(["", "0.25"]);
  expect(valuesOf("shares.trivia")).toEqual(["", "0.75"]);
});
