import { execFileSync } from "node:child_process";
import { mkdirSync, truncateSync, writeFileSync } from "node:fs";
import { expect, it, onTestFinished } from "vitest";
import { cardPathOf, loadCard, parseCard } from "../../../src/routing/card.js";
import { mostConfigBytes, readTextFile } from "../../../src/config/read-text-file.js";
import { temporaryDirectory } from "../../support/temporary-directory.js";

function directory() {
  const made = temporaryDirectory();
  onTestFinished(() => made.remove());
  return made;
}

it("a file may have as many bytes as are allowed, and not one more", () => {
  const file = directory().file("a.json");
  for (const size of [0, 1, 99, 100]) {
    writeFileSync(file, "é".repeat(size >> 1) + "a".repeat(size & 1));
    expect(Buffer.byteLength(readTextFile(file, 100))).toBe(size);
  }
  writeFileSync(file, "a".repeat(101));
  expect(() => readTextFile(file, 100)).toThrow("it has 101 bytes, and may have 100");
});

it("what is no regular file is refused without reading, or waiting for a writer", () => {
  const made = directory();
  mkdirSync(made.file("directory"));
  execFileSync("mkfifo", [made.file("pipe")]);
  for (const file of ["/dev/zero", "/dev/null", made.file("directory"), made.file("pipe")])
    expect(() => readTextFile(file, mostConfigBytes)).toThrow("not a regular file");
});

it("a card of 80 MB is refused by its size", () => {
  const made = directory();
  const card = cardPathOf(made.file("a.json"), "a");
  writeFileSync(card, "");
  truncateSync(card, 80_000_000);
  expect(() => loadCard(made.file("a.json"), "a")).toThrow("it has 80000000 bytes, and may have 4194304");
});

it("a card of a million values is refused by their number", () => {
  expect(() => parseCard(`{"version": 2, "experts": [${"1,".repeat(1_000_000)}1]}`, "a.card.json")).toThrow(
    "more than 524288 values",
  );
});
