import { spawnSync } from "node:child_process";
import path from "node:path";
import { describe, expect, it } from "vitest";

const root = path.join(import.meta.dirname, "../..");

/** Runs a snippet against the logger in a process of its own, whose standard error is not a terminal. */
function logged(level: string, snippet: string): Record<string, unknown>[] {
  const source = `import { createLogger } from "./src/log.ts"; const log = createLogger("${level}"); ${snippet}`;
  const { stderr, stdout } = spawnSync(
    process.execPath,
    ["--import", "tsx", "--input-type=module", "-e", source],
    {
      cwd: root,
      encoding: "utf8",
    },
  );
  expect(stdout).toBe("");
  return stderr
    .split("\n")
    .filter((line) => line !== "")
    .map((line) => JSON.parse(line) as Record<string, unknown>);
}

describe("createLogger", () => {
  it("removes texts and keys, keeps the rest", () => {
    const [line] = logged(
      "info",
      'log.info({ requestId: "r", prompt: "canary", request: { messages: ["canary"], headers: { authorization: "canary" }, n: 1 } }, "hello");',
    );
    expect(line).toMatchObject({ msg: "hello", requestId: "r", request: { n: 1 } });
    expect(JSON.stringify(line)).not.toContain("canary");
  });

  it("shows stacks only at debug", () => {
    const snippet = 'log.error({ err: new Error("outer", { cause: new Error("inner") }) }, "failed");';
    const [plain] = logged("info", snippet);
    expect(plain?.err).toEqual({
      type: "Error",
      message: "outer",
      cause: { type: "Error", message: "inner" },
    });
    const [debug] = logged("debug", snippet);
    expect(JSON.stringify(debug?.err)).toContain("stack");
  });
});
