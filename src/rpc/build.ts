import { execFile } from "node:child_process";
import { existsSync } from "node:fs";
import { mkdir, mkdtemp, rename, rm } from "node:fs/promises";
import { createRequire } from "node:module";
import path from "node:path";
import { promisify } from "node:util";
import { cacheFolder } from "../config/cache-folder.js";
import { ShouldersError, systemCode } from "../errors.js";
import { pinned } from "../llama/abi.js";

/**
 * llama.cpp's RPC for the libraries that node-llama-cpp ships, out of the sources that it ships too: a plug-in that
 * libggml loads, and the server. Two commands of a compiler, and no build of libllama.
 */

const require = createRequire(import.meta.url);
const run = promisify(execFile);

/** Linux's alone were tried. */
const isSupported = process.platform === "linux";
const platform = `${process.platform}-${process.arch}`;

/** Characters of a compiler's words that are repeated. */
const longestReason = 1_000;

export type RpcBackend = "cpu" | "cuda" | "vulkan";

/** Where files are, or would be, that are made once for a libllama. */
const fileNamed = (name: string) => path.join(cacheFolder(), "rpc", `${pinned.llamaCpp}-${platform}`, name);

/** What libggml loads to speak RPC, on both sides. */
const pluginName = "libggml-rpc.so";
const serverName = (backend: RpcBackend) => `rpc-server-${backend}`;

/** The plug-in for this process. @throws ShouldersError `rpc_not_built` */
export function rpcPlugin(): string {
  const plugin = fileNamed(pluginName);
  if (existsSync(plugin)) return plugin;
  throw notBuilt(
    `This config has RPC servers, and the plug-in for them is not there (${plugin}): run "shoulders rpc build", which ` +
      `takes seconds and a C++ compiler`,
  );
}

export interface RpcServerStart {
  file: string;
  /** Those of the server follow. */
  args: string[];
  cwd: string;
  env: NodeJS.ProcessEnv;
}

/** How the server is started: it looks for what it computes with where it runs. */
export function rpcServer(backend: RpcBackend): RpcServerStart {
  const libraries = librariesOf(backend);
  const env = {
    ...process.env,
    LD_LIBRARY_PATH: libraries,
    GGML_BACKEND_PATH: fileNamed(pluginName),
    LLAMA_CACHE: path.join(cacheFolder(), "rpc", "weights"),
  };
  // A client that goes away while it is answered would end it by SIGPIPE; what is ignored stays so in the program.
  const args = ["-c", `trap "" PIPE; exec "$0" "$@"`, fileNamed(serverName(backend))];
  return { file: "/bin/sh", args, cwd: libraries, env };
}

/** What is compiled, and what that includes. */
const sourceFiles = [
  ...["ggml/include", "ggml/src/ggml-impl.h", "ggml/src/ggml-backend-impl.h", "ggml/src/ggml-rpc"],
  "tools/rpc",
];

/** The commands that make them, one after the other, in a folder for sources and drafts. */
export function buildCommands(backend: RpcBackend, compiler: readonly string[], work: string): string[][] {
  const libraries = librariesOf(backend);
  const bundle = path.resolve(path.dirname(require.resolve("node-llama-cpp")), "../llama/gitRelease.bundle");
  const sources = path.join(work, "llama.cpp");
  const ggml = path.join(sources, "ggml");
  const flags = ["-std=c++17", "-O2", "-DNDEBUG", "-DGGML_SHARED", "-DGGML_BACKEND_SHARED", "-pthread"];
  const rpc = path.join(ggml, "src/ggml-rpc");
  const link = [`-L${libraries}`, `-Wl,-rpath-link,${libraries}`, "-l:libggml-base.so"];
  return [
    ["git", "clone", "--quiet", "--no-checkout", bundle, sources],
    ["git", "-C", sources, "checkout", "--quiet", "HEAD", "--", ...sourceFiles],
    [
      ...[...compiler, ...flags, "-fPIC", "-shared", "-DGGML_BACKEND_DL", "-DGGML_BACKEND_BUILD"],
      ...[`-I${ggml}/include`, `-I${ggml}/src`, `${rpc}/ggml-rpc.cpp`, `${rpc}/transport.cpp`],
      ...[...link, "-o", path.join(work, pluginName)],
    ],
    [
      ...[...compiler, ...flags, `-I${ggml}/include`, `${sources}/tools/rpc/rpc-server.cpp`],
      ...[...link, `-l:${libggmlOf(backend)}`, "-o", path.join(work, serverName(backend))],
    ],
  ];
}

/**
 * Makes plug-in and server where they are not there yet.
 *
 * @returns the files, and whether they are new
 * @throws ShouldersError `rpc_not_built`, with the compiler's words
 */
export async function buildRpc(backend: RpcBackend): Promise<{ files: string[]; isNew: boolean }> {
  const files = [pluginName, serverName(backend)].map(fileNamed);
  if (files.every((file) => existsSync(file))) return { files, isNew: false };
  const compiler = await findCompiler();
  const folder = path.dirname(fileNamed(pluginName));
  await mkdir(folder, { recursive: true });
  const work = await mkdtemp(path.join(folder, "build-"));
  try {
    for (const command of buildCommands(backend, compiler, work)) await execute(command);
    // Whole or not at all, also when two build at once.
    for (const file of files) await rename(path.join(work, path.basename(file)), file);
  } finally {
    await rm(work, { recursive: true, force: true });
  }
  return { files, isNew: true };
}

/** `CXX`, or the first that there is. */
export async function findCompiler(): Promise<string[]> {
  const named = process.env["CXX"]?.trim();
  const candidates = named ? [named.split(/\s+/)] : [["g++"], ["c++"], ["clang++"]];
  for (const candidate of candidates) {
    const [program = "", ...rest] = candidate;
    try {
      await run(program, [...rest, "--version"]);
      return candidate;
    } catch (error) {
      if (systemCode(error) !== "ENOENT")
        throw notBuilt(`${program} does not work: ${wordsOf(error)}`, error);
    }
  }
  throw notBuilt(
    `There is no C++ compiler (${candidates.map(([program]) => program).join(", ")}): install one (apt-get install ` +
      `g++), or name yours by CXX`,
  );
}

async function execute([program = "", ...args]: string[]): Promise<void> {
  // Git would work on the repository that its variables name, where a hook runs this.
  const env = Object.fromEntries(Object.entries(process.env).filter(([name]) => !name.startsWith("GIT_")));
  try {
    await run(program, args, { env, maxBuffer: 2 ** 26 });
  } catch (error) {
    if (program === "git" && systemCode(error) === "ENOENT")
      throw notBuilt(
        "Git is missing, which unpacks llama.cpp's sources: install it (apt-get install git)",
        error,
      );
    throw notBuilt(`"${program}" failed: ${wordsOf(error)}`, error);
  }
}

function wordsOf(error: unknown): string {
  const words = error instanceof Error && "stderr" in error ? String(error.stderr).trim() : "";
  return (words || String(error)).slice(0, longestReason);
}

function notBuilt(reason: string, cause?: unknown): ShouldersError {
  return new ShouldersError("rpc_not_built", `${reason}.`, { cause });
}

/** The folder of node-llama-cpp's libraries for a backend. @throws ShouldersError `rpc_not_built` */
function librariesOf(backend: RpcBackend): string {
  if (!isSupported)
    throw notBuilt(
      `RPC's plug-in is made on Linux only, and this is ${platform}: take a row server ("shoulders rows") there instead`,
    );
  const name = backend === "cpu" ? platform : `${platform}-${backend}`;
  const folders = (require.resolve.paths("node-llama-cpp") ?? []).map((folder) =>
    path.join(folder, "@node-llama-cpp", name, "bins", name),
  );
  const found = folders.find((folder) => existsSync(folder));
  if (found !== undefined) return found;
  throw notBuilt(
    `node-llama-cpp's libraries for ${name} are not installed: run "npm ci", or take another backend`,
  );
}

function libggmlOf(backend: RpcBackend): string {
  return `libggml.${backend === "cpu" ? "" : `${backend}.`}${pinned.llamaCpp}.so`;
}
