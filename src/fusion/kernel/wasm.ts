import { readFileSync } from "node:fs";
import { setFlagsFromString } from "node:v8";
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
  largestIncluded: (row: number, base: number, length: number) => number;
  fuseRow: (...numbers: number[]) => void;
  shiftRow: (...numbers: number[]) => void;
  fuseAxis: (...numbers: number[]) => void;
  mixRows: (row: number, table: number, count: number, length: number) => void;
  compareRows: (...numbers: number[]) => void;
}

/** The part of the global WebAssembly that is used; Node's types have only a part of it. */
interface WebAssemblyApi {
  validate: (bytes: Uint8Array) => boolean;
  Module: new (bytes: Uint8Array) => object;
  Instance: new (module: object) => { exports: unknown };
}

/** Built from the same source: `madd` multiplies and adds in one step (relaxed SIMD), `plain` in two. */
export type KernelBuild = "madd" | "plain";

const fileOf = { madd: "kernel-madd.wasm", plain: "kernel.wasm" } satisfies Record<KernelBuild, string>;
const { validate, Module, Instance } = (globalThis as unknown as { WebAssembly: WebAssemblyApi }).WebAssembly;
const pageSize = 65536;
const compiled = new Map<KernelBuild, object>();
let runnable: KernelBuild[] | undefined;

/** The builds that this Node runs, the fastest first: version 20 has relaxed SIMD but does not take it unasked. */
export function kernelBuilds(): KernelBuild[] {
  if (runnable) return runnable;
  const bytes = readBuild("madd");
  if (!validate(bytes)) setFlagsFromString("--experimental-wasm-relaxed-simd");
  return (runnable = validate(bytes) ? ["madd", "plain"] : ["plain"]);
}

/** An instance of a build of the kernel with a memory of its own; compiled once a process. */
export function instantiate(build: KernelBuild): KernelExports {
  const module = compiled.get(build) ?? new Module(readBuild(build));
  compiled.set(build, module);
  return new Instance(module).exports as KernelExports;
}

function readBuild(build: KernelBuild): Uint8Array {
  const url = new URL(`../../../dist/${fileOf[build]}`, import.meta.url);
  try {
    return readFileSync(url);
  } catch (cause) {
    throw new ShouldersError("internal", `Cannot load ${url.pathname}: run \`npm run build:kernel\` first.`, {
      cause,
    });
  }
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
