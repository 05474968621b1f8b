import path from "node:path";

import koffi from "koffi";

import { invariant } from "../errors.js";
import type { Pointer } from "./abi.js";
import type { Device } from "./types.js";

/** What ggml knows of the machine's devices. Its functions lie in libraries beside libllama. */

interface DeviceFunctions {
  ggml_backend_dev_count(): number | bigint;
  ggml_backend_dev_get(index: number): Pointer;
  ggml_backend_dev_name(device: Pointer): string;
  ggml_backend_dev_description(device: Pointer): string;
  ggml_backend_dev_type(device: Pointer): number;
  ggml_backend_dev_memory(device: Pointer, free: BigUint64Array, total: BigUint64Array): void;
  ggml_backend_dev_backend_reg(device: Pointer): Pointer;
  ggml_backend_reg_get_proc_address(registry: Pointer, name: string): Pointer | null;
}

const signatures: Record<keyof DeviceFunctions, [result: string, parameters: string[]]> = {
  ggml_backend_dev_count: ["size_t", []],
  ggml_backend_dev_get: ["void *", ["size_t"]],
  ggml_backend_dev_name: ["const char *", ["void *"]],
  ggml_backend_dev_description: ["const char *", ["void *"]],
  ggml_backend_dev_type: ["int32_t", ["void *"]],
  ggml_backend_dev_memory: ["void", ["void *", "void *", "void *"]],
  ggml_backend_dev_backend_reg: ["void *", ["void *"]],
  ggml_backend_reg_get_proc_address: ["void *", ["void *", "const char *"]],
};

/** `enum ggml_backend_dev_type`. */
const deviceType = { gpu: 1, integratedGpu: 2 } as const;

/** Processors that stand in for a GPU call themselves one. */
const softwareDevice = /llvmpipe|lavapipe|swiftshader/i;

const libraryName = /^(lib)?ggml(-base)?\./i;

function bind(sharedObjects: readonly string[], libllama: string): DeviceFunctions {
  // Another backend's, which did not work, may be mapped as well.
  const libraries = sharedObjects
    .filter((file) => path.dirname(file) === path.dirname(libllama) && libraryName.test(path.basename(file)))
    .map((file) => koffi.load(file));
  const find = (name: string, [result, parameters]: [string, string[]]): unknown => {
    for (const library of libraries)
      try {
        return library.func(name, result, parameters);
      } catch {
        // It is in another one.
      }
    return null;
  };
  const bound = Object.entries(signatures).map(([name, signature]) => [name, find(name, signature)] as const);
  const missing = bound.find(([, target]) => target === null);
  invariant(!missing, `no library of ggml has ${missing?.[0] ?? ""}`);
  return Object.fromEntries(bound) as unknown as DeviceFunctions;
}

export class Devices {
  readonly #functions: DeviceFunctions;
  readonly #nameToPointer = new Map<string, Pointer>();

  /** @param sharedObjects paths of what is mapped into this process; ggml's libraries lie beside `libllama`. */
  constructor(sharedObjects: readonly string[], libllama: string) {
    this.#functions = bind(sharedObjects, libllama);
    const functions = this.#functions;
    for (let index = 0; index < Number(functions.ggml_backend_dev_count()); index++) {
      const device = functions.ggml_backend_dev_get(index);
      const type = functions.ggml_backend_dev_type(device);
      if (type === deviceType.gpu || type === deviceType.integratedGpu)
        this.#nameToPointer.set(functions.ggml_backend_dev_name(device), device);
    }
  }

  pointerOf(name: string): Pointer {
    const pointer = this.#nameToPointer.get(name);
    invariant(pointer !== undefined, `no device ${name}`);
    return pointer;
  }

  list(): Device[] {
    return [...this.#nameToPointer].map(([name, pointer]) => this.#describe(name, pointer));
  }

  #describe(name: string, pointer: Pointer): Device {
    const functions = this.#functions;
    const [free, total] = [new BigUint64Array(1), new BigUint64Array(1)];
    functions.ggml_backend_dev_memory(pointer, free, total);
    const description = functions.ggml_backend_dev_description(pointer);
    const registry = functions.ggml_backend_dev_backend_reg(pointer);
    return {
      name,
      description,
      freeBytes: Number(free[0]),
      totalBytes: Number(total[0]),
      isUnified:
        functions.ggml_backend_dev_type(pointer) === deviceType.integratedGpu ||
        (process.platform === "darwin" && process.arch === "arm64") ||
        softwareDevice.test(description),
      splitsRows:
        functions.ggml_backend_reg_get_proc_address(registry, "ggml_backend_split_buffer_type") !== null,
    };
  }
}
