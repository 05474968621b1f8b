import { describe, expect, it } from "vitest";
import { completeLock, findLeftOut, findUnchecked, readLock, withIntegrity } from "../../scripts/lockfile.js";

describe("package-lock.json", () => {
  it("names the packages of every platform (else: npx tsx scripts/complete-lock.ts)", () => {
    expect(findLeftOut(readLock())).toEqual([]);
  });

  it("names no registry", () => {
    expect(JSON.stringify(readLock())).not.toContain('"resolved"');
  });
});

describe("withIntegrity", () => {
  it("adds the checksums that are known, keeps those that are there, and names what has none", () => {
    const lock = {
      packages: {
        "": { version: "1.0.0" },
        "node_modules/a": { version: "1.0.0", integrity: "sha512-a" },
        "node_modules/a/node_modules/@n/b": { version: "2.0.0", optional: true },
        "node_modules/c": { version: "3.0.0" },
      },
    };
    const checked = withIntegrity(lock, (name, version) => (name === "@n/b" ? `sha512-${version}` : null));
    expect(checked.packages).toEqual({
      ...lock.packages,
      "node_modules/a/node_modules/@n/b": { version: "2.0.0", integrity: "sha512-2.0.0", optional: true },
    });
    expect(findUnchecked(checked)).toEqual(["c@3.0.0"]);
  });
});

describe("completeLock", () => {
  it("writes what was left out from its name, and keeps the rest", () => {
    const lock = {
      packages: {
        "": { version: "1.0.0" },
        "node_modules/native": {
          version: "2.0.0",
          dev: true,
          optionalDependencies: {
            "@n/mac-arm64-metal": "2.0.0",
            "@n/resolver-binding-linux-arm-musleabihf": "2.0.0",
          },
        },
      },
    };
    const completed = completeLock(lock);
    expect(findLeftOut(completed)).toEqual([]);
    expect(completed.packages).toMatchObject(lock.packages);
    expect(completed.packages["node_modules/@n/mac-arm64-metal"]).toEqual({
      version: "2.0.0",
      cpu: ["arm64"],
      dev: true,
      optional: true,
      os: ["darwin"],
    });
    expect(completed.packages["node_modules/@n/resolver-binding-linux-arm-musleabihf"]).toMatchObject({
      cpu: ["arm"],
      libc: ["musl"],
      os: ["linux"],
    });
  });
});
