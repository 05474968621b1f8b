import path from "node:path";

import koffi, { type TypeObject } from "koffi";

import { invariant, ShouldersError } from "../errors.js";
import type { NativeFunction, Pointer } from "./abi.js";
import { callAsync } from "./bindings.js";
import type { GgufTensor } from "./gguf-tensors.js";
import type { Device } from "./types.js";

/** What ggml knows of the machine's devices. Its functions lie in libraries beside libllama. */

interface DeviceFunctions {
  ggml_backend_dev_count(): number | bigint;
  ggml_backend_dev_get(index: number): Pointer;
  ggml_backend_dev_name(device: Pointer): string;
  ggml_backend_dev_description(device: Pointer): string;
  ggml_backend_dev_type(device: Pointer): number;
  ggml_backend_dev_memory: NativeFunction<void, [device: Pointer, free: MemoryOut, total: MemoryOut]>;
  ggml_backend_dev_buffer_type(device: Pointer): Pointer;
  ggml_backend_buft_name(type: Pointer): string;
  ggml_backend_cpu_buffer_type(): Pointer;
  ggml_backend_dev_backend_reg(device: Pointer): Pointer;
  ggml_backend_reg_get_proc_address(registry: Pointer, name: string): Pointer | null;
  ggml_backend_reg_dev_count(registry: Pointer): number | bigint;
  ggml_backend_reg_dev_get(registry: Pointer, index: number): Pointer;
  ggml_backend_load(path: string): Pointer | null;
  ggml_backend_dev_by_type(type: number): Pointer;
  ggml_backend_dev_supports_op(device: Pointer, operation: Pointer): boolean;
  ggml_backend_buft_alloc_buffer(type: Pointer, bytes: number): Pointer;
  ggml_backend_buffer_free(buffer: Pointer): void;
  ggml_tensor_overhead(): number | bigint;
  ggml_init(parameters: { mem_size: number; mem_buffer: null; no_alloc: boolean }): Pointer;
  ggml_free(context: Pointer): void;
  ggml_new_tensor_2d(context: Pointer, type: number, columns: number, rows: number): Pointer;
  ggml_mul_mat(context: Pointer, left: Pointer, right: Pointer): Pointer;
}

/** Native code fills it: an array, or where it may move meanwhile, a pointer. */
type MemoryOut = BigUint64Array | Pointer;

/** `struct ggml_init_params`. */
const initParameters = koffi.struct({ mem_size: "size_t", mem_buffer: "void *", no_alloc: "bool" });

type Signature = [result: string, parameters: (string | TypeObject)[]];

const signatures: Record<keyof DeviceFunctions, Signature> = {
  ggml_backend_dev_count: ["size_t", []],
  ggml_backend_dev_get: ["void *", ["size_t"]],
  ggml_backend_dev_name: ["const char *", ["void *"]],
  ggml_backend_dev_description: ["const char *", ["void *"]],
  ggml_backend_dev_type: ["int32_t", ["void *"]],
  ggml_backend_dev_memory: ["void", ["void *", "void *", "void *"]],
  ggml_backend_dev_backend_reg: ["void *", ["void *"]],
  ggml_backend_dev_buffer_type: ["void *", ["void *"]],
  ggml_backend_buft_name: ["const char *", ["void *"]],
  ggml_backend_cpu_buffer_type: ["void *", []],
  ggml_backend_reg_get_proc_address: ["void *", ["void *", "const char *"]],
  ggml_backend_reg_dev_count: ["size_t", ["void *"]],
  ggml_backend_reg_dev_get: ["void *", ["void *", "size_t"]],
  ggml_backend_load: ["void *", ["const char *"]],
  ggml_backend_dev_by_type: ["void *", ["int32_t"]],
  ggml_backend_dev_supports_op: ["bool", ["void *", "void *"]],
  ggml_backend_buft_alloc_buffer: ["void *", ["void *", "size_t"]],
  ggml_backend_buffer_free: ["void", ["void *"]],
  ggml_tensor_overhead: ["size_t", []],
  ggml_init: ["void *", [initParameters]],
  ggml_free: ["void", ["void *"]],
  ggml_new_tensor_2d: ["void *", ["void *", "int32_t", "int64_t", "int64_t"]],
  ggml_mul_mat: ["void *", ["void *", "void *", "void *"]],
};

/** `ggml_backend_dev_get_extra_bufts`: a device to an array of buffer types that a null pointer ends. */
const extraBuffersType = koffi.proto("void *", ["void *"]);

/** Where a `struct ggml_tensor` says its buffer, behind its type. */
const bufferOffset = 8;
const float32 = 0;
/** Tokens of the product by which libllama asks. */
const askedTokens = 512;
const pointerBytes = 8;

/** `ggml_backend_rpc_add_server` of the plug-in: host:port to the registry of its devices; null: it has none. */
const addServerType = koffi.proto("void *", ["const char *"]);

/** `enum ggml_backend_dev_type`. */
const deviceType = { processor: 0, gpu: 1, integratedGpu: 2 } as const;

/** Processors that stand in for a GPU call themselves one. */
const softwareDevice = /llvmpipe|lavapipe|swiftshader/i;

const libraryName = /^(lib)?ggml(-base)?\./i;

function bind(sharedObjects: readonly string[], libllama: string): DeviceFunctions {
  // Another backend's, which did not work, may be mapped as well.
  const libraries = sharedObjects
    .filter((file) => path.dirname(file) === path.dirname(libllama) && libraryName.test(path.basename(file)))
    .map((file) => koffi.load(file));
  const find = (name: string, [result, parameters]: Signature): unknown => {
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
  readonly #local = new Map<string, Pointer>();
  /** Devices of RPC servers, by the names of their buffers. */
  readonly #remote = new Map<string, { pointer: Pointer; server: string }>();
  /** The same, by the names that libllama's log gives them. */
  readonly #logNames = new Map<string, string>();
  #plugin: Pointer | null = null;

  /** @param sharedObjects paths of what is mapped into this process; ggml's libraries lie beside `libllama`. */
  constructor(sharedObjects: readonly string[], libllama: string) {
    this.#functions = bind(sharedObjects, libllama);
    const functions = this.#functions;
    for (let index = 0; index < Number(functions.ggml_backend_dev_count()); index++) {
      const device = functions.ggml_backend_dev_get(index);
      const type = functions.ggml_backend_dev_type(device);
      if (type === deviceType.gpu || type === deviceType.integratedGpu)
        this.#local.set(functions.ggml_backend_dev_name(device), device);
    }
  }

  /** The type of buffers in main memory. */
  get mainMemory(): Pointer {
    return this.#functions.ggml_backend_cpu_buffer_type();
  }

  /**
   * Whether the processor would have these weights rearranged to multiply by them: libllama's own question, which
   * their type, their shape and the processor's instructions answer.
   */
  rearranges({ type, shape }: Pick<GgufTensor, "type" | "shape">): boolean {
    const functions = this.#functions;
    const processor = functions.ggml_backend_dev_by_type(deviceType.processor);
    const numTensors = 3;
    const context = functions.ggml_init({
      mem_size: Number(functions.ggml_tensor_overhead()) * numTensors,
      mem_buffer: null,
      no_alloc: true,
    });
    try {
      const [columns = 1, rows = 1] = shape;
      const weights = functions.ggml_new_tensor_2d(context, type, columns, rows);
      const input = functions.ggml_new_tensor_2d(context, float32, columns, askedTokens);
      const product = functions.ggml_mul_mat(context, weights, input);
      return this.#extraBufferTypes(processor).some((bufferType) => {
        const buffer = functions.ggml_backend_buft_alloc_buffer(bufferType, 0);
        koffi.encode(weights, bufferOffset, "void *", buffer);
        const isTaken = functions.ggml_backend_dev_supports_op(processor, product);
        functions.ggml_backend_buffer_free(buffer);
        return isTaken;
      });
    } finally {
      functions.ggml_free(context);
    }
  }

  #extraBufferTypes(processor: Pointer): Pointer[] {
    const functions = this.#functions;
    const registry = functions.ggml_backend_dev_backend_reg(processor);
    const list = functions.ggml_backend_reg_get_proc_address(registry, "ggml_backend_dev_get_extra_bufts");
    const types = list === null ? null : (koffi.call(list, extraBuffersType, processor) as Pointer | null);
    const found: Pointer[] = [];
    for (let at = 0; types !== null; at += pointerBytes) {
      const type = koffi.decode(types, at, "void *") as Pointer | null;
      if (type === null) break;
      found.push(type);
    }
    return found;
  }

  /** @throws ShouldersError `library_mismatch` */
  addServer(plugin: string, server: string): void {
    const functions = this.#functions;
    this.#plugin ??= functions.ggml_backend_load(plugin);
    if (this.#plugin === null)
      throw new ShouldersError(
        "library_mismatch",
        `The RPC plug-in ${plugin} cannot be loaded. Delete it, and run "shoulders rpc build".`,
      );
    const add = functions.ggml_backend_reg_get_proc_address(this.#plugin, "ggml_backend_rpc_add_server");
    invariant(add !== null, "the RPC plug-in adds servers");
    const registry = koffi.call(add, addServerType, server) as Pointer | null;
    const count = registry === null ? 0 : Number(functions.ggml_backend_reg_dev_count(registry));
    for (let index = 0; registry !== null && index < count; index++) {
      const pointer = functions.ggml_backend_reg_dev_get(registry, index);
      // RPC0[127.0.0.1:50052]: as libllama's log calls its buffers, and unlike the device's own, the same at each start.
      const name = functions.ggml_backend_buft_name(functions.ggml_backend_dev_buffer_type(pointer));
      this.#remote.set(name, { pointer, server });
      this.#logNames.set(functions.ggml_backend_dev_name(pointer), name);
    }
  }

  /** Asks every device of a server for its memory, one after the other. */
  async touchServers(): Promise<void> {
    const out = koffi.alloc("uint64_t", 2) as Pointer;
    try {
      for (const { pointer } of this.#remote.values())
        await callAsync(this.#functions.ggml_backend_dev_memory, pointer, out, out);
    } finally {
      koffi.free(out);
    }
  }

  pointerOf(name: string): Pointer {
    const pointer = this.#local.get(name) ?? this.#remote.get(name)?.pointer;
    invariant(pointer !== undefined, `no device ${name}`);
    return pointer;
  }

  /** A line of libllama's log with the names that devices have here. */
  rename(line: string): string {
    if (this.#logNames.size === 0) return line;
    return line.replace(/\bRPC\d+\b(?!\[)/g, (name) => this.#logNames.get(name) ?? name);
  }

  /** Those of this machine, where they are wanted, and those of servers. */
  list(usesLocal: boolean): Device[] {
    const local = usesLocal ? [...this.#local] : [];
    return [
      ...local.map(([name, pointer]) => this.#describe(name, pointer)),
      ...[...this.#remote].map(([name, { pointer, server }]) => ({
        ...this.#describe(name, pointer),
        ...{ description: "RPC", server, isUnified: false },
      })),
    ];
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
