import { homedir } from "node:os";
import path from "node:path";
import { afterEach, describe, expect, it, vi } from "vitest";
import { cacheFolder } from "../../../src/config/cache-folder.js";

/** The folder under these variables, on this system. */
function folder(platform: NodeJS.Platform, variables: Record<string, string>): string {
  for (const name of ["SHOULDERS_CACHE_DIR", "XDG_CACHE_HOME", "LOCALAPPDATA"])
    vi.stubEnv(name, variables[name]);
  vi.spyOn(process, "platform", "get").mockReturnValue(platform);
  return cacheFolder();
}

afterEach(() => {
  vi.unstubAllEnvs();
  vi.restoreAllMocks();
});

describe("the cache folder", () => {
  it.each<[NodeJS.Platform, Record<string, string>, string]>([
    ["linux", {}, path.join(homedir(), ".cache/shoulders")],
    ["linux", { XDG_CACHE_HOME: "/var/tmp/caches" }, "/var/tmp/caches/shoulders"],
    ["linux", { XDG_CACHE_HOME: "caches" }, path.join(homedir(), ".cache/shoulders")],
    ["linux", { XDG_CACHE_HOME: "/caches", SHOULDERS_CACHE_DIR: "/own" }, "/own"],
    ["linux", { SHOULDERS_CACHE_DIR: "" }, path.join(homedir(), ".cache/shoulders")],
    ["linux", { SHOULDERS_CACHE_DIR: "own" }, path.resolve("own")],
    ["darwin", {}, path.join(homedir(), "Library/Caches/shoulders")],
    ["win32", { LOCALAPPDATA: "/local" }, "/local/shoulders/cache"],
    ["win32", {}, path.join(homedir(), "AppData/Local/shoulders/cache")],
  ])("on %s with %j is %s", (platform, variables, expected) => {
    expect(folder(platform, variables)).toBe(expected);
  });

  it("is there for a user without a home", () => {
    vi.stubEnv("HOME", undefined);
    vi.spyOn(process, "platform", "get").mockReturnValue("linux");
    expect(path.isAbsolute(folder("linux", {}))).toBe(true);
  });
});
