import { readFileSync } from "node:fs";
import { ShouldersError } from "../../errors.js";

/** What assembly/index.ts exports. Pointers are byte offsets into `memory`; lengths count padded logits. */
export interface KernelExports {
  memory: { readonly buffer: ArrayBuffer; grow(numPages: number): number };
  heapBase: () => number;
  scan: (row: number, length: number, out: number) => void;
  exponentiate: (row: number, weights: number, length: number, best: number) => number;
  nextAbove: (row: number, from: number, length: number, least: number) => number;
  sumShift: (...numbers: number[]) => void;
  isConstantShift: (...numbers: number[]) => number;
  select: (...numbers: number[]) => number;
  gatherAll: (...numbers: number[]) => number;
  gatherHead: (...numbers: number[]) => number;
  largestLog: (logs: number, shifts: number, length: number, alpha: number) => number;
  sumWeighted: (...numbers: number[]) => void;
  excludeAll: (row: number, length: number) => void;
  include: (...numbers: number[]) => void;
  addShift: (...numbers: number[]) => void;
  fuseRow: (...numbers: number[]) => void;
  shiftRow: (...numbers: number[]) => void;
  fuseAxis: (...numbers: number[]) => void;
  mixRows: (row: number, table: number, count: number, length: number) => void;
  compareRows: (...numbers: number[]) => void;
}

/** The part of the global WebAssembly that is used; Node's types have only a part of it. */
interface WebAssemblyApi {
  Module: new (bytes: Uint8Array) => object;
  Instance: new (module: object) => { exports: unknown };
}

const { Module, Instance } = (globalThis as unknown as { WebAssembly: WebAssemblyApi }).WebAssembly;
const pageSize = 65536;
let compiled: object | undefined;

/** An instance of the built kernel with a memory of its own; compiled once a process. */
export function instantiate(): KernelExports {
  const url = new URL("../../../dist/kernel.wasm", import.meta.url);
  try {
    compiled ??= new Module(readFileSync(url));
  } catch (cause) {
    throw new ShouldersError("internal", `Cannot load ${url.pathname}: run \`npm run build:kernel\` first.`, {
      cause,
    });
  }
  return new Instance(compiled).exports as KernelExports;
}

/** Reserves memory piece by piece; `commit` grows the instance's memory to what was reserved. */
export class Arena {
  readonly #wasm: KernelExports;
  #next: number;

  constructor(wasm: KernelExports) {
    this.#wasm = wasm;
    this.#next = wasm.heapBase();
  }

  /** Offset of `numBytes` bytes; a multiple of 16 where all sizes are. */
  reserve(numBytes: number): number {
    this.#next += numBytes;
    return this.#next - numBytes;
  }

  commit(): void {
    const missing = this.#next - this.#wasm.memory.buffer.byteLength;
    if (missing > 0) this.#wasm.memory.grow(Math.ceil(missing / pageSize));
  }
}
