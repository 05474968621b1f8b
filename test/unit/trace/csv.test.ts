import { parse } from "csv-parse/sync";
import { expect, it } from "vitest";
import { TraceCsv } from "../../../src/trace/csv.js";
import type { TokenRecord } from "../../../src/wire/token-record.js";
import { tokenOf } from "../../support/fake-engine.js";

function linesOf(records: readonly TokenRecord[]): string[] {
  const csv = new TraceCsv();
  records.forEach((record) => csv.see(record));
  return [csv.head(), ...records.map((record) => csv.line(record))].join("").trim().split("\r\n");
}

it("a text that a spreadsheet would take for a formula is marked, a number is not", () => {
  const { record } = tokenOf("a");
  const cellsOf = (text: string) =>
    parse(linesOf([{ ...record, token: { id: 100, text } }]).join("\r\n"))[1]!.slice(1, 4);
  for (const text of ['=HYPERLINK("http://a","b")', "+1", "-1", "@SUM(A1)", "\tx", "\rx"])
    expect(cellsOf(text)).toEqual(["100", `'${text}`, "-0.25"]);
  for (const text of ["a=b", "a\nb", "a\rb", '"', ",", "'"])
    expect(cellsOf(text)).toEqual(["100", text, "-0.25"]);
});

it("what was not read of another vocabulary has a column, empty where all was", () => {
  const { record } = tokenOf("a");
  const [head, ...cells] = linesOf([record, { ...record, unread: 0.012 }]).map((line) => line.split(","));
  expect(cells.map((line) => line[head!.indexOf("unread")])).toEqual(["", "0.012"]);
});

it("a mixture's shares have a column each, empty where a token has none", () => {
  const { record } = tokenOf("a");
  const lines = linesOf([record, { ...record, shares: { base: 0.25, trivia: 0.75 } }]).map((line) =>
    line.split(","),
  );
  const valuesOf = (name: string) => lines.slice(1).map((line) => line[lines[0]!.indexOf(name)]);
  expect(valuesOf("shares.base")).toEqual(["", "0.25"]);
  expect(valuesOf("shares.trivia")).toEqual(["", "0.75"]);
});
