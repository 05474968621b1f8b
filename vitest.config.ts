import { existsSync } from "node:fs";
import { configDefaults, defineConfig } from "vitest/config";

const chromium = process.env["CHROMIUM"] ?? "/usr/bin/chromium";
// A machine without a browser can still run all the rest; CI installs one and never leaves these out.
const leftOut = existsSync(chromium) || process.env["CI"] ? [] : ["test/browser/**"];
if (leftOut.length > 0)
  console.warn(`test/browser is left out: there is no Chromium at ${chromium} (apt-get install chromium).`);

export default defineConfig({
  test: {
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
