import { expect, it } from "vitest";
import { checkTakeBack } from "../../../src/engine/own/share-text.js";
import { TextReader } from "../../../src/engine/own/text-reader.js";
import type { ModelSlot } from "../../../src/engine/model-slot.js";

/** Where small models of another vocabulary cannot work. */

const empty = { size: 0, bytes: () => new Uint8Array(0), rawText: () => "", ends: [], tokenize: () => [] };
const reader = new TextReader(empty, empty);
const slot = (parts: object): ModelSlot =>
  ({ remote: null, canTakeBack: true, model: { path: "small.gguf" }, ...parts }) as ModelSlot;
const config = (own: TextReader | null) => ({
  reader: own,
  base: { model: 0 },
  reference: { model: 1 },
  experts: [],
  resolved: { config: { id: "x" } },
});

it("refuses a base on another server, and a small model that cannot be cut back", () => {
  const [here, there] = [slot({}), slot({ remote: {} })];
  const state = slot({ canTakeBack: false });
  expect(() => checkTakeBack([config(reader)], [there, here])).toThrow(/on another server/);
  expect(() => checkTakeBack([config(reader)], [here, state])).toThrow(/small.gguf .* cannot be cut back/);
  expect(() => checkTakeBack([config(reader)], [here, here])).not.toThrow();
  expect(() => checkTakeBack([config(null)], [there, state])).not.toThrow();
});
