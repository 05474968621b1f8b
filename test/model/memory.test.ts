import { execFile } from "node:child_process";
import { promisify } from "node:util";
import { expect, it } from "vitest";
import path from "node:path";
import { root } from "../support/real-engine.js";

it("1,000 fused tokens grow neither heap nor external memory by more than 1 MB", async () => {
  const probe = path.join(root, "test/support/memory-probe.mjs");
  const { stdout } = await promisify(execFile)(process.execPath, ["--expose-gc", probe]);
  const { tokens, growth } = JSON.parse(stdout) as { tokens: number; growth: Record<string, number> };
  expect(tokens).toBeGreaterThanOrEqual(1_000);
  for (const [kind, bytes] of Object.entries(growth)) expect(bytes, kind).toBeLessThan(1_000_000);
});
