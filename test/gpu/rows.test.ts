import type { ChildProcess } from "node:child_process";
import { once } from "node:events";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import path from "node:path";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { start, untilPrinted } from "../support/command-line.js";
import { softwareDevice } from "../support/gpu.js";

/** `shoulders rows` where there is a loader for Vulkan: what is tried there must not end the row server. */

let child: ChildProcess;
let folder: string;

beforeEach(() => {
  folder = mkdtempSync(path.join(tmpdir(), "gpu-rows-"));
});

afterEach(async () => {
  if (child.exitCode === null) {
    child.kill("SIGTERM");
    await once(child, "exit");
  }
  rmSync(folder, { recursive: true, force: true });
});

/** Starts it on the backend it chooses. @returns its URL. */
async function serveRows(environment: Record<string, string>): Promise<string> {
  child = start(
    [
      "rows",
      "--model",
      "models/family/giant-all.gguf",
      "--context-tokens",
      "64",
      "--sequences",
      "2",
      "--port",
      "0",
    ],
    { environment: { SHOULDERS_BACKEND: "auto", SHOULDERS_CACHE_DIR: folder, ...environment } },
  );
  child.stderr?.resume();
  return /http:[^\s,]+/.exec(await untilPrinted(child, '"tokenizer"'))![0];
}

describe.each([
  { name: "a device that breaks on flash attention", environment: softwareDevice },
  { name: "no device", environment: { GGML_VK_VISIBLE_DEVICES: "" } },
])("with $name", ({ environment }) => {
  it("starts, and ends with 0", async () => {
    expect((await fetch(`${await serveRows(environment)}/livez`)).status).toBe(200);
    child.kill("SIGTERM");
    expect(await once(child, "exit")).toEqual([0, null]);
  });
});
