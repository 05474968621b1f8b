import { PassThrough } from "node:stream";
import { describe, expect, it } from "vitest";
import { banner, curlLine } from "../../../src/cli/banner.js";
import { asksForStack, describeFailure, exitCodeFor } from "../../../src/cli/failure.js";
import { createProgress } from "../../../src/cli/progress.js";
import { parseFusionConfig } from "../../../src/config/load.js";
import { ShouldersError } from "../../../src/errors.js";
import { describeEngine } from "../../support/fake-engine.js";

const config = (fields: object): ReturnType<typeof parseFusionConfig>["config"] =>
  parseFusionConfig(JSON.stringify({ base: "b", ...fields }), "F").config;

const experts = { reference: "r", experts: [{ id: "e", model: "m" }] };

describe("banner", () => {
  const configs = [
    config({ id: "alone", description: "The base.", example: "Alone?" }),
    config({ id: "fused", ...experts, example: "What's up?" }),
  ];

  it("says where, what, and how to try the first fused config that has an example", () => {
    const text = banner("http://127.0.0.1:8080", configs, describeEngine());
    expect(text).toContain("Shoulders listens on http://127.0.0.1:8080\n");
    expect(text).toContain("  alone  The base.\n  fused\n");
    expect(text).toContain('"model":"fused"');
    expect(text).toMatch(/Memory +\d.* in main memory: weights .*, cells .*, programs about /);
    expect(text).toMatch(
      /Decoding +1 token: together, threads giant 2; 1.00 ms \(threads as set, measured\)\n +a batch: together/,
    );
    expect(text).toContain("giant: 1, 2 tokens take 1.0, 1.5 times one; with one row 1.2");
  });

  it("quotes the question for a shell", () => {
    expect(curlLine("http://h", configs)).toContain("What'\\''s up?");
  });

  it("has something to ask when no config has an example", () => {
    expect(curlLine("http://h", [config({ id: "x" })])).toContain('"content":"Who are you?"');
  });
});

describe("failures", () => {
  it("are a line per problem, without a stack unless somebody debugs", () => {
    const error = new ShouldersError("settings_invalid", "first\nsecond", { cause: new Error("inner") });
    expect(describeFailure(error, false)).toBe("shoulders: first\nshoulders: second\n");
    expect(describeFailure(error, true)).toMatch(/second\n.*ShouldersError[^]*inner/);
    expect(describeFailure("thrown text", true)).toBe("shoulders: thrown text\n");
  });

  it("exit with 2 for what was written wrongly, 1 for the rest", () => {
    expect(exitCodeFor(new ShouldersError("settings_invalid", ""))).toBe(2);
    expect(exitCodeFor(new ShouldersError("fusion_config_invalid", ""))).toBe(2);
    expect(exitCodeFor(new ShouldersError("model_file_invalid", ""))).toBe(1);
    expect(exitCodeFor(new TypeError(""))).toBe(1);
  });

  it("show a stack by flag or variable", () => {
    expect(asksForStack(["--log-level", "debug"], {})).toBe(true);
    expect(asksForStack(["--log-level=trace"], {})).toBe(true);
    expect(asksForStack(["--log-level", "info"], { SHOULDERS_LOG_LEVEL: "debug" })).toBe(false);
    expect(asksForStack(["complete", "debug"], {})).toBe(false);
    expect(asksForStack([], { SHOULDERS_LOG_LEVEL: "debug" })).toBe(true);
  });
});

describe("progress", () => {
  it("prints one line per finished task where there is no terminal", () => {
    const stream = new PassThrough();
    const progress = createProgress("Loading", stream);
    for (const fraction of [0, 0.5, 1, 1]) progress.update("/models/giant.gguf", fraction);
    progress.stop();
    expect(String(stream.read())).toMatch(/^Loading giant\.gguf: done in \d+\.\d s\n$/);
  });

  it("draws a bar per task on a terminal, and nothing when nothing was done", () => {
    const stream = Object.assign(new PassThrough(), {
      isTTY: true,
      columns: 80,
      cursorTo: () => true,
      clearLine: () => true,
      moveCursor: () => true,
    });
    const progress = createProgress("Loading", stream);
    progress.update("giant.gguf", 0.5);
    progress.update("giant.gguf", 1);
    progress.stop();
    expect(String(stream.read())).toContain("Loading giant.gguf");
    const quiet = Object.assign(new PassThrough(), { isTTY: true });
    createProgress("Loading", quiet).stop();
    expect(quiet.read()).toBeNull();
  });
});
