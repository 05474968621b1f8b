import { existsSync, mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import path from "node:path";
import { configDefaults, defineConfig } from "vitest/config";

const chromium = process.env["CHROMIUM"] ?? "/usr/bin/chromium";
// A machine without a browser can still run all the rest; CI installs one and never leaves these out.
const leftOut = existsSync(chromium) || process.env["CI"] ? [] : ["test/browser/**"];
if (leftOut.length > 0)
  console.warn(`test/browser is left out: there is no Chromium at ${chromium} (apt-get install chromium).`);

// What earlier runs, or the person's own server, have kept between starts decides nothing here.
const cacheFolder = mkdtempSync(path.join(tmpdir(), "shoulders-test-cache-"));
process.on("exit", () => rmSync(cacheFolder, { recursive: true, force: true }));

export default defineConfig({
  test: {
    env: { SHOULDERS_CACHE_DIR: cacheFolder },
    include: ["test/**/*.test.ts"],
    exclude: [...configDefaults.exclude, ...leftOut],
    setupFiles: ["./test/support/seed.ts"],
    testTimeout: 60_000,
    // Of a machine that does other things as well, too.
    expect: { poll: { timeout: 45_000 } },
    hookTimeout: 120_000,
    // Native libraries and servers live in these tests: a process a file, and no more of them than cores.
    pool: "forks",
    maxWorkers: 2,
    reporters: ["default", "./test/support/count-reporter.ts"],
  },
});
