import type { LibraryHandle, TypeObject } from "koffi";
import koffi from "koffi";

import { invariant, present } from "../errors.js";
import type { NativeFunction, NativeFunctions, Pointer, Primitive } from "./abi.js";
import { functions, structs } from "./abi.js";
import { stackBytes } from "./pre-tokenizers.js";

/** The layouts of `abi.ts` as koffi types and functions. */

const primitives: Record<Primitive | "void" | "string" | "memory", string> = {
  bool: "bool",
  int32: "int32_t",
  uint32: "uint32_t",
  int64: "int64_t",
  size: "size_t",
  float: "float",
  pointer: "void *",
  void: "void",
  string: "const char *",
  memory: "void *",
};

// Calls run on stacks of koffi's; of those off the event loop only what is used takes memory. Set before any call.
if (koffi.config().async_stack_size !== stackBytes) koffi.config({ async_stack_size: stackBytes });

/** Anonymous, so that opening the library twice in a process registers no name twice. */
export const structTypes = Object.fromEntries(
  Object.entries(structs).map(([name, layout]) => [
    name,
    koffi.struct(
      Object.fromEntries(
        Object.entries(layout).map(([field, type]: [string, Primitive]) => [field, primitives[type]]),
      ),
    ),
  ]),
) as Record<keyof typeof structs, TypeObject>;

/** Types of the two callbacks that native code is given. */
export const progressCallbackType = koffi.pointer(koffi.proto("bool", ["float", "void *"]));
export const logCallbackType = koffi.pointer(koffi.proto("void", ["int", "const char *", "void *"]));

/** Binds every function of `abi.ts`; throws when one is missing. */
export function bindFunctions(library: LibraryHandle): NativeFunctions {
  const types: Record<string, string | TypeObject> = { ...primitives, ...structTypes };
  const typeOf = (name: string) => present(types[name], `type ${name}`);
  const bound = Object.entries(functions).map(([name, [result, ...parameters]]) => [
    name,
    library.func(name, typeOf(result), parameters.map(typeOf)),
  ]);
  return Object.fromEntries(bound) as NativeFunctions;
}

/** Calls off the event loop. Struct arguments are copied before this returns; memory behind pointers is not. */
export function callAsync<Result, Arguments extends unknown[]>(
  target: NativeFunction<Result, Arguments>,
  ...args: Arguments
): Promise<Result> {
  return new Promise((resolve, reject) => {
    target.async(...args, (error: Error | null, result: Result) => {
      if (error !== null) reject(error);
      else resolve(result);
    });
  });
}

let numLiveBytes = 0;

/** Bytes of native memory held by live `NativeMemory`; for tests that count what is released. */
export function liveNativeBytes(): number {
  return numLiveBytes;
}

/** A block of native memory, zeroed, with a view that must not be used after `free`. */
export class NativeMemory {
  readonly bytes: number;
  readonly buffer: ArrayBuffer;
  #pointer: Pointer | null;

  constructor(bytes: number) {
    this.bytes = bytes;
    this.#pointer = koffi.alloc("uint8_t", bytes) as Pointer;
    this.buffer = koffi.view(this.#pointer, bytes);
    new Uint8Array(this.buffer).fill(0);
    numLiveBytes += bytes;
  }

  get pointer(): Pointer {
    invariant(this.#pointer !== null, "native memory used after it was freed");
    return this.#pointer;
  }

  free(): void {
    if (this.#pointer === null) return;
    koffi.free(this.#pointer);
    this.#pointer = null;
    numLiveBytes -= this.bytes;
  }
}
