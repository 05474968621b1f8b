import { writeFileSync } from "node:fs";
import path from "node:path";
import { expect, it, onTestFinished } from "vitest";
import { memoryUse } from "../support/memory-use.js";
import { root } from "../support/real-engine.js";
import { temporaryDirectory } from "../support/temporary-directory.js";
import { realModels } from "./models.js";

it.each(realModels)("plans $id within 10 % of what both processes hold", async ({ id, file }) => {
  const directory = temporaryDirectory();
  onTestFinished(directory.remove);
  // Pages of a mapped file are resident until the system wants them, beside a copy that is rearranged.
  const base = { model: path.join(root, "models/real", file), mmap: false };
  const config = directory.file("config.json");
  writeFileSync(config, JSON.stringify({ id, base, context: { tokens: 1024, sequences: 8 } }));
  const { planned, used, printed } = await memoryUse(config, id);
  expect(Math.abs(used - planned) / used, `${planned} planned, ${used} used, ${printed}`).toBeLessThan(0.1);
});
