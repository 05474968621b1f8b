import { createHash } from "node:crypto";
import {
  accessSync,
  constants,
  existsSync,
  readdirSync,
  readFileSync,
  realpathSync,
  statSync,
} from "node:fs";
import { createRequire } from "node:module";
import { release } from "node:os";
import path from "node:path";

import { pinned } from "./abi.js";
import type { GpuBackend } from "./library.js";

const require = createRequire(import.meta.url);

/** A GPU backend that can be tried on this machine. */
export interface GpuDriver {
  backend: GpuBackend;
  /** Changes with the library, the driver's files and the variables that steer them. */
  identity: string;
}

/**
 * The GPU backends for which this machine has a library and a driver, best first. Only files are looked at: whether
 * one works shows when it is tried.
 */
export function gpuDrivers(): GpuDriver[] {
  return candidates()
    .filter(({ backend, files }) => files.length > 0 && hasLibrary(backend))
    .map(({ backend, files }) => ({ backend, identity: identify(backend, files) }));
}

interface Candidate {
  backend: GpuBackend;
  /** The driver's files. */
  files: string[];
}

function candidates(): Candidate[] {
  if (process.platform === "darwin") {
    const isSilicon = process.arch === "arm64";
    return isSilicon
      ? [{ backend: "metal", files: present(["/System/Library/Frameworks"], ["Metal.framework"]) }]
      : [];
  }
  if (process.platform === "win32") {
    const system = path.join(process.env["SystemRoot"] ?? "C:\\Windows", "System32");
    return [
      { backend: "cuda", files: present([system], ["nvcuda.dll"]) },
      { backend: "vulkan", files: present([system], ["vulkan-1.dll"]) },
    ];
  }
  const directories = libraryDirectories();
  const loader = present(directories, ["libvulkan.so.1"]);
  return [
    // The name behind this link has the driver's version.
    { backend: "cuda", files: present(directories, ["libcuda.so.1"]) },
    { backend: "vulkan", files: loader.length === 0 ? [] : [...loader, ...vulkanDrivers(directories)] },
  ];
}

/** Where Linux's loader looks, and where containers and distributions put drivers besides. */
function libraryDirectories(): string[] {
  const triplets = { x64: "x86_64-linux-gnu", arm64: "aarch64-linux-gnu" } as const;
  const triplet = process.arch === "x64" || process.arch === "arm64" ? [triplets[process.arch]] : [];
  return [
    ...(process.env["LD_LIBRARY_PATH"] ?? "").split(":").filter((directory) => directory !== ""),
    ...triplet.flatMap((name) => [`/usr/lib/${name}`, `/usr/local/lib/${name}`]),
    ...["/usr/lib64", "/usr/lib", "/usr/local/lib", "/usr/local/nvidia/lib64", "/usr/lib/wsl/lib"],
    "/run/opengl-driver/lib",
  ];
}

/** Vulkan's loader takes drivers from manifests, which name a library. */
function vulkanDrivers(directories: readonly string[]): string[] {
  const { VK_DRIVER_FILES, VK_ICD_FILENAMES, XDG_DATA_DIRS = "/usr/local/share:/usr/share" } = process.env;
  const named = VK_DRIVER_FILES ?? VK_ICD_FILENAMES;
  const folders = ["/etc", ...XDG_DATA_DIRS.split(":"), "/run/opengl-driver/share"].map((folder) =>
    path.join(folder, "vulkan", "icd.d"),
  );
  const manifests =
    named?.split(":") ??
    folders.flatMap((folder) => entriesOf(folder).map((name) => path.join(folder, name)));
  const libraries = manifests.flatMap((manifest) => {
    const library = /"library_path"\s*:\s*"([^"]+)"/.exec(textOf(manifest))?.[1];
    if (library === undefined) return [];
    return library.includes("/")
      ? [path.resolve(path.dirname(manifest), library)]
      : present(directories, [library]);
  });
  return [...manifests, ...libraries].filter((file) => existsSync(file)).sort();
}

/** A folder that is not there or may not be read has nothing for Vulkan's loader either. */
function entriesOf(folder: string): string[] {
  try {
    return readdirSync(folder);
  } catch {
    return [];
  }
}

function textOf(file: string): string {
  try {
    return readFileSync(file, "utf8");
  } catch {
    return "";
  }
}

function present(directories: readonly string[], names: readonly string[]): string[] {
  return directories
    .flatMap((directory) => names.map((name) => path.join(directory, name)))
    .filter((file) => existsSync(file));
}

const platformNames: Partial<Record<NodeJS.Platform, string>> = {
  darwin: "mac",
  linux: "linux",
  win32: "win",
};

/** Whether node-llama-cpp's package for a backend is installed, or one was compiled here. */
function hasLibrary(backend: GpuBackend): boolean {
  const name = `${platformNames[process.platform] ?? process.platform}-${process.arch}-${backend}`;
  const folders = require.resolve.paths("node-llama-cpp") ?? [];
  return (
    folders.some((folder) => existsSync(path.join(folder, "@node-llama-cpp", name))) ||
    entriesOf(localBuilds()).some((build) => build.startsWith(name))
  );
}

/** Where `node-llama-cpp source download` puts what it compiles. */
function localBuilds(): string {
  return path.resolve(path.dirname(require.resolve("node-llama-cpp")), "../llama/localBuilds");
}

/** Variables that choose among devices and drivers, or change what they do. */
const steering = /^(GGML_|VK_|CUDA_|NVIDIA_|MESA_|LD_LIBRARY_PATH$)/;

function identify(backend: GpuBackend, files: readonly string[]): string {
  const variables = Object.entries(process.env).filter(([name]) => steering.test(name));
  const builds = entriesOf(localBuilds()).map((name) => describeFile(path.join(localBuilds(), name)));
  const facts = [
    pinned,
    builds,
    backend,
    release(),
    variables.sort(),
    files.map(describeFile),
    deviceNodes(),
  ];
  return createHash("sha256").update(JSON.stringify(facts)).digest("hex");
}

/** What Linux's drivers are reached through, and whether this user may: what is found out holds no longer than that. */
function deviceNodes(): (string | boolean)[][] {
  const nodes = ["/dev/dri", "/dev"].flatMap((folder) =>
    entriesOf(folder)
      .filter((name) => /^(renderD\d+|card\d+|nvidia.*|kfd|dxg)$/.test(name))
      .map((name) => path.join(folder, name)),
  );
  return nodes.sort().map((node) => [node, isAccessible(node)]);
}

function isAccessible(node: string): boolean {
  try {
    accessSync(node, constants.R_OK | constants.W_OK);
    return true;
  } catch {
    return false;
  }
}

/** Drivers are replaced file by file: the name behind links, the size and the time tell one from the next. */
function describeFile(file: string): (string | number)[] {
  const { size, mtimeMs } = statSync(file);
  return [realpathSync(file), size, Math.round(mtimeMs)];
}
