import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import path from "node:path";
import { configDefaults, defineConfig } from "vitest/config";
import LongestFirst from "./test/support/longest-first.js";

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
const hasRealModel = readdirSync(realModels).some((name) => name.endsWith(".gguf"));
if (!hasRealModel) leaveOut("test/real", `there is no model in models/real (python3 models/real/fetch.py)`);
if (!hasRealModel || !existsSync(path.join(import.meta.dirname, "bench/models/peer/build/bin/llama-server")))
  leaveOut("test/peer", "there is no llama-server (sh bench/build-peer.sh), or no model in models/real");

if (!["g++", "c++", "clang++"].some(isProgram) && !process.env["CI"])
  leaveOut("test/rpc", "there is no C++ compiler (apt-get install g++)");

if (!existsSync(path.join(import.meta.dirname, ".venv/bin/lm_eval")))
  leaveOut("test/harness", "there is no lm-eval in .venv (sh test/harness/install.sh)");

function isProgram(name: string): boolean {
  const folders = (process.env["PATH"] ?? "").split(path.delimiter);
  return folders.some((folder) => existsSync(path.join(folder, name)));
}

/** Mesa's Vulkan device that computes on the processor, by the manifest that Vulkan's loader reads. */
function hasSoftwareDevice(): boolean {
  const manifests = "/usr/share/vulkan/icd.d";
  return existsSync(manifests) && readdirSync(manifests).some((name) => name.startsWith("lvp_icd"));
}

/** What a file names that has a process for itself: native libraries, other processes, or what is measured of its own. */
const ownProcess =
  /support\/(?:real-|command-line|llama|own-oracle|postgres|remote-bases|memory-|processes)|node:child_process|(?:openL|l)ibrary|(?:cpu|memory)Usage/;
/** The others of these folders share one, and what it has imported. */
const shared = ["test/api", "test/contract"].flatMap((folder) =>
  readdirSync(path.join(import.meta.dirname, folder))
    .filter((name) => name.endsWith(".test.ts"))
    .map((name) => `${folder}/${name}`)
    .filter((file) => !ownProcess.test(readFileSync(path.join(import.meta.dirname, file), "utf8"))),
);

const underAttack = "test/attack/table.test.ts";

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
    sequence: { sequencer: LongestFirst },
    reporters: ["default", "./test/support/count-reporter.ts"],
    // One after the other.
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
        // The server with a scripted engine, and what has one suite for all of its kind: nothing native either.
        extends: true,
        test: {
          name: "edge",
          include: shared,
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
          exclude: ["test/unit/**", "test/gpu/**", underAttack, ...shared],
          // One more than cores of a small machine: some files wait most of the time.
          maxWorkers: 3,
          sequence: { groupOrder: 1 },
        },
      },
      {
        // The software device's threads wait by spinning: beside another file's models both are ten times as slow.
        extends: true,
        test: {
          name: "gpu",
          include: ["test/gpu/**/*.test.ts"],
          maxWorkers: 1,
          sequence: { groupOrder: 2 },
        },
      },
      {
        // What neighbours feel under attack is measured: nothing else runs meanwhile.
        extends: true,
        test: {
          name: "attack",
          include: [underAttack],
          maxWorkers: 1,
          sequence: { groupOrder: 3 },
        },
      },
    ],
  },
});
