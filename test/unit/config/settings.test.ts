import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import path from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { type SettingsInput, resolveSettings } from "../../../src/config/resolve-settings.js";
import { describeSettings, flagOf, settingNames, variableOf } from "../../../src/config/settings.js";

let directory: string;
beforeAll(() => {
  directory = mkdtempSync(path.join(tmpdir(), "shoulders-settings-"));
});
afterAll(() => rmSync(directory, { recursive: true }));

function resolve(input: Partial<SettingsInput>): ReturnType<typeof resolveSettings> {
  return resolveSettings({
    flags: {},
    environment: {},
    file: null,
    workingDirectory: "/srv",
    packageRoot: "/program",
    ...input,
  });
}

function settingsFile(content: unknown): string {
  const file = path.join(directory, "settings.json");
  writeFileSync(file, typeof content === "string" ? content : JSON.stringify(content));
  return file;
}

describe("names", () => {
  it("follow from one another", () => {
    expect(flagOf("batchTokens")).toBe("--batch-tokens");
    expect(variableOf("batchTokens")).toBe("SHOULDERS_BATCH_TOKENS");
  });

  it("every setting has a description, a default and a range to tell", () => {
    for (const setting of describeSettings()) {
      expect(setting.description, setting.name).not.toBe("");
      expect(setting.allowed, setting.name).not.toMatch(/undefined|9007199254740991/);
      expect(setting.default, setting.name).not.toBe("undefined");
    }
  });
});

describe("resolveSettings", () => {
  it("has a default for everything; shipped configs are found from anywhere", () => {
    const { settings, origins, warnings } = resolve({});
    expect(settings.host).toBe("127.0.0.1");
    expect(settings.port).toBe(8080);
    expect(settings.fusionConfigs).toBe("/program/fusion-configs");
    expect(settings.load).toEqual([]);
    expect(new Set(Object.values(origins))).toEqual(new Set(["default"]));
    expect(Object.keys(settings).sort()).toEqual([...settingNames].sort());
    expect(warnings).toEqual([]);
  });

  it("flag > environment > file > default", () => {
    const file = settingsFile({ port: 1, threads: 1, kernel: "reference", load: ["a"] });
    const { settings, origins } = resolve({
      flags: { port: "3" },
      environment: { SHOULDERS_PORT: "2", SHOULDERS_THREADS: "2", SHOULDERS_LOAD: "" },
      file,
    });
    expect(settings).toMatchObject({
      port: 3,
      threads: 2,
      kernel: "reference",
      load: ["a"],
      batchTokens: 512,
    });
    expect(origins).toMatchObject({
      port: "flag",
      threads: "environment",
      kernel: "file",
      load: "file",
      batchTokens: "default",
    });
  });

  it("reads lists, words and numbers from text", () => {
    const { settings } = resolve({ flags: { load: "a, b,", threads: "auto", port: "0" } });
    expect(settings).toMatchObject({ load: ["a", "b"], threads: "auto", port: 0 });
    expect(resolve({ flags: { load: "a" } }).settings.load).toEqual(["a"]);
  });

  it("resolves a path against where it was written", () => {
    const file = settingsFile({ modelsDir: "weights" });
    const { settings } = resolve({ environment: { SHOULDERS_FUSION_CONFIGS: "mine" }, file });
    expect(settings.fusionConfigs).toBe("/srv/mine");
    expect(settings.modelsDir).toBe(path.join(directory, "weights"));
  });

  it("finds the settings file by SHOULDERS_SETTINGS", () => {
    const file = settingsFile({ port: 4 });
    expect(resolve({ environment: { SHOULDERS_SETTINGS: file } }).settings.port).toBe(4);
  });

  it("refuses bad values, each with its source and what is allowed, all at once", () => {
    const file = settingsFile('{\n  "maxWaiting": "many",\n  "kernel": "simd"\n}');
    const input = {
      flags: { port: "http", kernel: "fast" },
      environment: { SHOULDERS_THREADS: "0", SHOULDERS_BATCH_TOKENS: "1e3" },
      file,
    };
    const message = catchMessage(() => resolve(input));
    expect(message.split("\n").sort()).toEqual(
      [
        '--port: "http" is not allowed; give an integer from 0 to 65535',
        '--kernel: "fast" is not allowed; give one of simd, reference',
        'SHOULDERS_THREADS: "0" is not allowed; give auto or an integer from 1 to 512',
        'SHOULDERS_BATCH_TOKENS: "1e3" is not allowed; give an integer from 16 to 65536',
        `${file}:2:17 maxWaiting: "many" is not allowed; give an integer from 0 to 100000`,
      ].sort(),
    );
  });

  it("does not let a good flag hide a bad value below it", () => {
    expect(
      catchMessage(() =>
        resolve({ flags: { port: "1" }, environment: { SHOULDERS_PORT: "tcp://10.0.0.1:80" } }),
      ),
    ).toContain('SHOULDERS_PORT: "tcp://10.0.0.1:80" is not allowed');
  });

  it.each<[unknown, RegExp]>([
    ["{", /settings\.json:1:2: not JSON: expected a key/],
    [[], /settings\.json:1:1: expected object, received array/],
    [{ prot: 1 }, /settings\.json:1:9 prot: unknown key "prot"; did you mean "port"\?/],
    [{ port: "8080" }, /"8080" is not allowed; give an integer/],
    [{ load: "a" }, /load: "a" is not allowed/],
  ])("refuses the settings file %j", (content, message) => {
    expect(catchMessage(() => resolve({ file: settingsFile(content) }))).toMatch(message);
  });

  it("says which file is missing", () => {
    expect(catchMessage(() => resolve({ file: "none.json" }))).toMatch(
      /\/srv\/none\.json: the settings file cannot be read/,
    );
  });

  it("warns of a variable that is nearly a setting, but not of an orchestrator's", () => {
    const { warnings } = resolve({
      environment: { SHOULDERS_PROT: "1", SHOULDERS_SERVICE_HOST: "x", SHOULDERS_PORT_80_TCP: "y" },
    });
    expect(warnings).toEqual([
      "SHOULDERS_PROT is not a setting and is not used; did you mean SHOULDERS_PORT?",
    ]);
  });
});

function catchMessage(run: () => unknown): string {
  try {
    run();
  } catch (error) {
    return (error as Error).message;
  }
  return "no error";
}
