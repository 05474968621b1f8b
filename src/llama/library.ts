import type { LibraryHandle } from "koffi";
import koffi from "koffi";
import { getLlama, getModuleVersion, LlamaLogLevel, NoBinaryFoundError } from "node-llama-cpp";

import { invariant, present, ShouldersError } from "../errors.js";
import type { NativeFunctions } from "./abi.js";
import { defaultValues, pinned, structs, structSizes } from "./abi.js";
import { bindFunctions, structTypes } from "./bindings.js";
import { Devices } from "./devices.js";
import { librariesAmong, listSharedObjects } from "./find-library.js";
import type { NativeHandle } from "./native-handle.js";
import { LlamaMeasurer } from "./measurer.js";
import { loadModel } from "./model.js";
import { NativeLog } from "./native-log.js";
import { CandidateBuffer, LlamaSamplerChain } from "./sampler-chain.js";
import type {
  Device,
  LoadedModel,
  LoadModelOptions,
  Measurer,
  NativeLibrary,
  SamplerChain,
  SamplerOptions,
} from "./types.js";

export type GpuBackend = "cuda" | "vulkan" | "metal";
export type Backend = "cpu" | GpuBackend;

export interface OpenLibraryOptions {
  backend: Backend;
  /** off: contexts go without it also where libllama would take it. Default: auto. */
  flashAttention?: "auto" | "off";
}

/**
 * Opens the libllama that node-llama-cpp has for this machine and backend, binds it and checks that it is the one
 * whose layouts `abi.ts` describes, and that a GPU backend has a device.
 *
 * @throws ShouldersError `library_mismatch`: no library for this machine or backend, no device, or another version.
 */
export async function openLibrary({
  backend,
  flashAttention = "auto",
}: OpenLibraryOptions): Promise<NativeLibrary> {
  // node-llama-cpp would open another one in its place.
  if (process.platform === "darwin" ? backend === "cuda" : backend === "metal")
    throw unavailable(backend, "it does not exist there");
  const log = new NativeLog();
  const llama = await getLlama({
    build: "never",
    gpu: libraryOf(backend),
    progressLogs: false,
    logLevel: LlamaLogLevel.warn,
    logger: (_level, message) => log.add(message),
  }).catch((cause: unknown) => {
    if (cause instanceof NoBinaryFoundError)
      throw unavailable(backend, "none of node-llama-cpp's libraries for it starts here", cause);
    throw unavailable(backend, cause instanceof Error ? cause.message : String(cause), cause);
  });
  try {
    const versions = { llamaCpp: llama.llamaCppRelease.release, nodeLlamaCpp: await getModuleVersion() };
    checkVersions(versions);
    const sharedObjects = listSharedObjects();
    const libllama = findLibrary(sharedObjects);
    const native = bind(libllama, versions.llamaCpp);
    const usesDevices = backend !== "cpu";
    if (usesDevices && backend !== llama.gpu)
      throw unavailable(backend, `node-llama-cpp took ${llama.gpu === false ? "the CPU" : llama.gpu}`);
    const names = usesDevices ? await llama.getGpuDeviceNames() : [];
    // libllama would compute on the processor then, without a word.
    if (usesDevices && names.length === 0) throw unavailable(backend, "it finds no device to compute on");
    const devices = new Devices(sharedObjects, libllama);
    const handle = { native, llama, log, usesDevices, flashAttention, devices };
    return new Library(handle, { backend, devices: names, versions });
  } catch (error) {
    await llama.dispose();
    throw error;
  }
}

/** The library that has a backend, as node-llama-cpp names it. On Apple silicon only Metal's has the processor. */
function libraryOf(backend: Backend): GpuBackend | false {
  if (backend !== "cpu") return backend;
  return process.platform === "darwin" && process.arch === "arm64" ? "metal" : false;
}

const requirements: Record<Backend, string> = {
  cpu: `run "npm ci" to install node-llama-cpp's library for this machine`,
  cuda: "it needs a GPU by NVIDIA, its driver, and the runtime of CUDA 13 (libcudart, libcublas)",
  vulkan:
    "it needs a GPU and its Vulkan driver (software devices count only when GGML_VK_VISIBLE_DEVICES names them)",
  metal: "it needs a Mac with Apple silicon",
};

function unavailable(backend: Backend, reason: string, cause?: unknown): ShouldersError {
  return new ShouldersError(
    "library_mismatch",
    `Backend "${backend}" does not work on ${process.platform}-${process.arch}: ${reason}; ${requirements[backend]}.`,
    cause === undefined ? {} : { cause },
  );
}

function mismatch(found: string): ShouldersError {
  return new ShouldersError(
    "library_mismatch",
    `This program is written for llama.cpp ${pinned.llamaCpp} (node-llama-cpp ${pinned.nodeLlamaCpp}); ${found}. ` +
      `Run "npm ci" to install the pinned version.`,
  );
}

function checkVersions(found: { llamaCpp: string; nodeLlamaCpp: string }): void {
  if (found.llamaCpp !== pinned.llamaCpp || found.nodeLlamaCpp !== pinned.nodeLlamaCpp)
    throw mismatch(`found llama.cpp ${found.llamaCpp} (node-llama-cpp ${found.nodeLlamaCpp})`);
}

/** @returns the path of the libllama that is mapped into this process: koffi then gets the same mapping. */
function findLibrary(sharedObjects: readonly string[]): string {
  const found = librariesAmong(sharedObjects);
  const [only] = found;
  if (only === undefined || found.length > 1)
    throw mismatch(`found ${found.length} libllama in this process (${found.join(", ") || "none"})`);
  return only;
}

function bind(path: string, tag: string): NativeFunctions {
  const library = koffi.load(path);
  let native: NativeFunctions;
  try {
    native = bindFunctions(library);
  } catch (cause) {
    throw mismatch(`the library of ${tag} lacks a function: ${String(cause)}`);
  }
  checkLayouts(library, native, tag);
  return native;
}

/** Refuses a library whose structs are not laid out as `abi.ts` says, before a struct is read or passed. */
function checkLayouts(library: LibraryHandle, native: NativeFunctions, tag: string): void {
  const sizes = new Map(Object.entries(structSizes));
  for (const [name, type] of Object.entries(structTypes)) {
    const expected = present(sizes.get(name), `size of ${name}`);
    if (koffi.sizeof(type) !== expected)
      throw mismatch(`on this machine ${name} takes ${koffi.sizeof(type)} bytes instead of ${expected}`);
  }
  if (process.arch === "x64") {
    checkReturnedSize(library, "llama_model_default_params", structSizes.modelParams, tag);
    checkReturnedSize(library, "llama_context_default_params", structSizes.contextParams, tag);
  }
  checkDefaults(native.llama_model_default_params(), "modelParams", tag);
  checkDefaults(native.llama_context_default_params(), "contextParams", tag);
}

type Default = number | bigint | boolean | null;

function checkDefaults(
  defaults: Readonly<Record<string, Default>>,
  name: keyof typeof defaultValues,
  tag: string,
): void {
  const expected: Readonly<Record<string, Default>> = defaultValues[name];
  for (const field of Object.keys(structs[name])) {
    const value = expected[field] ?? null;
    if (defaults[field] !== value)
      throw mismatch(`${field} of ${tag} reads ${String(defaults[field])} instead of ${String(value)}`);
  }
}

/**
 * On x86-64 a large struct is returned through a hidden first argument. Called on two oversized buffers with
 * different fillings, the bytes that agree are those that the function wrote: the struct's true size, less
 * padding at its end.
 */
function checkReturnedSize(library: LibraryHandle, name: string, expected: number, tag: string): void {
  const write = library.func(name, "void", ["void *"]) as (out: Uint8Array) => void;
  const first = new Uint8Array(4 * expected).fill(0xaa);
  const second = new Uint8Array(4 * expected).fill(0x55);
  write(first);
  write(second);
  let size = first.length;
  while (size > 0 && first[size - 1] !== second[size - 1]) size--;
  const padded = Math.ceil(size / 8) * 8;
  if (padded !== expected) throw mismatch(`${name} of ${tag} writes ${padded} bytes instead of ${expected}`);
}

/** What an open library says of itself. */
interface LibraryFacts {
  backend: Backend;
  devices: string[];
  versions: { llamaCpp: string; nodeLlamaCpp: string };
}

class Library implements NativeLibrary {
  readonly llamaVersion: string;
  readonly nodeLlamaCppVersion: string;
  readonly backend: string;
  readonly devices: string[];
  readonly #handle: NativeHandle;
  readonly #candidates: CandidateBuffer;
  readonly #models = new Set<LoadedModel>();
  /** Models load one after the other, so that a line in libllama's log belongs to the model that loads. */
  #lastLoad: Promise<unknown> = Promise.resolve();
  #isDisposed = false;

  constructor(handle: NativeHandle, { backend, devices, versions }: LibraryFacts) {
    this.#handle = handle;
    this.llamaVersion = versions.llamaCpp;
    this.nodeLlamaCppVersion = versions.nodeLlamaCpp;
    this.backend = backend;
    this.devices = devices;
    this.#candidates = new CandidateBuffer();
  }

  listDevices(): Device[] {
    return this.#handle.devices.list(this.#handle.usesDevices);
  }

  addServer(plugin: string, server: string): void {
    this.#handle.devices.addServer(plugin, server);
  }

  touchServers(): Promise<void> {
    return this.#handle.devices.touchServers();
  }

  createMeasurer(): Measurer {
    invariant(!this.#isDisposed, "createMeasurer after the library was closed");
    return new LlamaMeasurer(this.#handle);
  }

  async loadModel(path: string, options: LoadModelOptions): Promise<LoadedModel> {
    invariant(!this.#isDisposed, "loadModel after the library was closed");
    const load = this.#lastLoad.then(() =>
      this.#handle.log.whileBusy(() =>
        loadModel(this.#handle, path, options, (model) => this.#models.delete(model)),
      ),
    );
    this.#lastLoad = load.catch(() => undefined);
    const model = await load;
    this.#models.add(model);
    return model;
  }

  createSamplerChain(options: SamplerOptions, vocabularySize: number): SamplerChain {
    invariant(!this.#isDisposed, "createSamplerChain after the library was closed");
    return new LlamaSamplerChain(this.#handle.native, this.#candidates, options, vocabularySize);
  }

  /** Also releases the models that are still loaded. Sampler chains must be disposed before. */
  async [Symbol.asyncDispose](): Promise<void> {
    if (this.#isDisposed) return;
    this.#isDisposed = true;
    await this.#lastLoad;
    for (const model of [...this.#models].reverse()) await model[Symbol.asyncDispose]();
    this.#candidates.free();
    await this.#handle.llama.dispose();
  }
}
