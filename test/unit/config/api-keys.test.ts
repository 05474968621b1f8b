import { describe, expect, it } from "vitest";
import { hashOf, loadApiKeys, parseApiKeys, requireKeysOnNetwork } from "../../../src/config/api-keys.js";
import { settingsSchema } from "../../../src/config/settings.js";

const settings = settingsSchema.parse({});
const key = "0123456789abcdef";

describe("parseApiKeys", () => {
  it("reads names with keys or hashes, by line or comma, past comments", () => {
    const text = `# team\n ann=${key}\r\n\nbob=sha256:${hashOf(key).toString("hex")},c.d=${key}==\n`;
    const keys = parseApiKeys(text, "keys");
    expect(keys.map(({ name }) => name)).toEqual(["ann", "bob", "c.d"]);
    expect(keys[0]?.sha256).toEqual(hashOf(key));
    expect(keys[1]?.sha256).toEqual(keys[0]?.sha256);
    expect(keys[2]?.sha256).toEqual(hashOf(`${key}==`));
  });

  it("knows an operator's", () => {
    const keys = parseApiKeys(`operator:ann=${key},bob=${key}x`, "keys");
    expect(keys.map(({ name, isOperator }) => [name, isOperator])).toEqual([
      ["ann", true],
      ["bob", false],
    ]);
  });

  it.each([
    [`operator:=${key}`, /write name=key/],
    [`admin:ann=${key}`, /write name=key/],
    ["", /there is no key/],
    ["# nothing", /there is no key/],
    [key, /entry 1: write name=key/],
    [`Ann=${key}`, /write name=key/],
    [`ann=${key}\nbob=short`, /entry 2: key "bob" must be 16/],
    [`ann=${key} x`, /must be 16/],
    [`ann=sha256:${key}`, /64 hex digits/],
  ])("refuses %j without repeating it", (text, message) => {
    expect(() => parseApiKeys(text, "keys")).toThrow(message);
    expect(() => parseApiKeys(text, "keys")).not.toThrow(key);
  });
});

describe("loadApiKeys", () => {
  it("has none unless they are set, and no name twice", () => {
    expect(loadApiKeys(settings, {})).toEqual([]);
    expect(loadApiKeys(settings, { SHOULDERS_API_KEYS: `a=${key}` })).toHaveLength(1);
    expect(() => loadApiKeys(settings, { SHOULDERS_API_KEYS: `a=${key},a=${key}` })).toThrow(/twice/);
  });
});

describe("requireKeysOnNetwork", () => {
  const check = (host: string, withoutKeys: "loopback" | "anywhere" = "loopback", text = "") =>
    requireKeysOnNetwork({ ...settings, host, withoutKeys }, text === "" ? [] : parseApiKeys(text, "keys"));

  it("lets loopback, keys, or a person's word pass, and nothing else", () => {
    for (const host of ["127.0.0.1", "127.1.2.3", "::1", "localhost"]) check(host);
    check("0.0.0.0", "anywhere");
    check("0.0.0.0", "loopback", `a=${key}`);
    for (const host of ["0.0.0.0", "::", "10.0.0.1", "example.org", "127.0.0.1.example.org"])
      expect(() => check(host), host).toThrow(/--without-keys anywhere/);
  });
});
