import { existsSync, mkdtempSync, readdirSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import path from "node:path";
import { configDefaults, defineConfig } from "vitest/config";

const chromium = process.env["CHROMIUM"] ?? "/usr/bin/chromium";
// A machine without a browser can still run all the rest; CI installs one and never leaves these out.
const leftOut: string[] = [];
function leaveOut(folder: string, reason: string): void {
  leftOut.push(`${folder}/**`);
  console.warn(`${folder} is left out: ${reason}.`);
}
if (!existsSync(chromium) && !process.env["CI"])
  leaveOut("test/browser", `there is no Chromium at ${chromium} (apt-get install chromium)`);
if (!hasSoftwareDevice() && !process.env["CI"])
  leaveOut(
    "test/gpu",
    "there is no software device of Mesa (apt-get install mesa-vulkan-drivers libvulkan1)",
  );

const realModels = path.join(import.meta.dirname, "models/real");
if (!readdirSync(realModels).some((name) => name.endsWith(".gguf")))
  leaveOut("test/real", `there is no model in models/real (python3 models/real/fetch.py)`);

if (!existsSync(path.join(import.meta.dirname, ".venv/bin/lm_eval")))
  leaveOut("test/harness", "there is no lm-eval in .venv (sh test/harness/install.sh)");

/** Mesa's Vulkan device that computes on the processor, by the manifest that Vulkan's loader reads. */
function hasSoftwareDevice(): boolean {
  const manifests = "/usr/share/vulkan/icd.d";
  return existsSync(manifests) && readdirSync(manifests).some((name) => name.startsWith("lvp_icd"));
}

// What earlier runs, or the person's own server, have kept between starts decides nothing here.
const cacheFolder = mkdtempSync(path.join(tmpdir(), "shoulders-test-cache-"));
process.on("exit", () => rmSync(cacheFolder, { recursive: true, force: true }));

export default defineConfig({
  test: {
    // Whatever drivers this machine has; test/gpu says otherwise.
    env: { SHOULDERS_CACHE_DIR: cacheFolder, SHOULDERS_BACKEND: "cpu" },
    exclude: [...configDefaults.exclude, ...leftOut],
    setupFiles: ["./test/support/seed.ts"],
    testTimeout: 60_000,
    // Of a machine that does other things as well, too.
    expect: { poll: { timeout: 45_000 } },
    hookTimeout: 120_000,
    pool: "forks",
    reporters: ["default", "./test/support/count-reporter.ts"],
    // One after the other. No more processes than cores: models compute in them.
    projects: [
      {
        // Plain functions, nothing native and no build: files share a process, and what it has imported.
        extends: true,
        test: {
          name: "unit",
          include: ["test/unit/**/*.test.ts"],
          isolate: false,
          maxWorkers: 2,
          sequence: { groupOrder: 0 },
        },
      },
      {
        // Native libraries and servers live in these tests: a process a file.
        extends: true,
        test: {
          name: "system",
          include: ["test/**/*.test.ts"],
          exclude: ["test/unit/**", "test/attack/**"],
          setupFiles: ["./test/support/check-answers.ts"],
          maxWorkers: 2,
          sequence: { groupOrder: 1 },
        },
      },
      {
        // What neighbours feel under attack is measured: nothing else runs meanwhile.
        extends: true,
        test: {
          name: "attack",
          include: ["test/attack/**/*.test.ts"],
          maxWorkers: 1,
          sequence: { groupOrder: 2 },
        },
      },
    ],
  },
});
