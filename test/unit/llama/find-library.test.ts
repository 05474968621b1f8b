import { readFileSync } from "node:fs";
import path from "node:path";
import { describe, expect, it } from "vitest";
import { librariesAmong } from "../../../src/llama/find-library.js";
import { root } from "../../support/real-engine.js";

/**
 * What node-llama-cpp's packages carry, and which of their files exports `llama_decode` (read from their symbol tables
 * with llvm-nm and llvm-readobj). 3.21.1 where the registry had no 3.22.1.
 */
const packages = JSON.parse(readFileSync(path.join(root, "test/data/platform-libraries.json"), "utf8")) as {
  package: string;
  version: string;
  files: string[];
  defines: string;
}[];

const dependants = /^(llama-addon\.node|(lib)?llama-common\.(so|dylib|dll))$/;

describe.each(packages)("the libllama of $package", ({ package: name, files, defines }) => {
  const isWindows = name.includes("/win-");
  const directory = isWindows ? "C:\\app\\bins\\" : "/app/bins/";
  const loaded = ["/usr/lib/libc.so.6", ...files.map((file) => directory + file)];

  /** As the system's loader answers: what depends on libllama finds its functions too, but on Windows. */
  const findDefinition = (file: string): string | null => {
    const own = file === directory + defines;
    const finds = own || (!isWindows && dependants.test(file.slice(directory.length)));
    return finds ? directory + defines : null;
  };

  it("is found, once, whatever it is called", () => {
    expect(librariesAmong(loaded, findDefinition)).toEqual([directory + defines]);
  });

  it("is not found where only others are loaded", () => {
    const others = loaded.filter(
      (file) => !file.endsWith(defines) && !dependants.test(path.posix.basename(file)),
    );
    expect(librariesAmong(others, findDefinition)).toEqual([]);
  });
});

it("every platform package of the pinned node-llama-cpp is among them", () => {
  const { optionalDependencies } = JSON.parse(
    readFileSync(path.join(root, "node_modules/node-llama-cpp/package.json"), "utf8"),
  ) as { optionalDependencies: Record<string, string> };
  // Those only add another build of libggml-cuda.
  const withLibrary = Object.keys(optionalDependencies).filter((name) => !name.endsWith("-ext"));
  expect(packages.map(({ package: name }) => name).sort()).toEqual(withLibrary.sort());
});
