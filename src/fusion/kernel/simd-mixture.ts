import type { Divergence } from "../types.js";
import { checkComponents, padded } from "./rows.js";
import type { Row, Workspace } from "./simd-axis.js";
import type { Arena } from "./wasm.js";

/** A row that was fused, where it lies, and the part of the mixture that it makes. */
interface Component {
  at: number;
  length: number;
  logNormalizer: number;
  share: number;
}

/** Bytes of a row's entry in the table of rows to mix: its pointer and its offset. */
const entryBytes = 8;
/** Entries that there is room for from the beginning, so that the table keeps rows on multiples of 16 bytes. */
const entriesPerTable = 2;

/**
 * The rows of a mixture. None is copied: a component stays in the row in which it was fused, and the next is fused
 * into another one.
 */
export class SimdMixture {
  readonly #memory: Workspace;
  readonly #arena: Arena;
  readonly #rowBytes: number;
  /** Rows to fuse into, one more than components. */
  readonly #rows: number[];
  #table = 0;
  #components: Component[] = [];

  constructor(memory: Workspace, arena: Arena, rowBytes: number) {
    this.#memory = memory;
    this.#arena = arena;
    this.#rowBytes = rowBytes;
    this.#rows = [memory.fused];
  }

  start(numComponents: number): void {
    if (this.#rows.length <= numComponents) this.#grow(numComponents);
    this.#components = [];
    this.#memory.fused = this.#rows[0] as number;
  }

  /** The fused row becomes a component, and another one is fused into from now on. */
  add(share: number, logNormalizer: number, length: number): void {
    this.#components.push({ at: this.#memory.fused, length, logNormalizer, share });
    this.#memory.fused = this.#rows[this.#components.length] as number;
  }

  /** Fills the fused row [padded length] with ln M at the level of the component with the largest share. */
  finish(base: Row, length: number): { logNormalizer: number; divergence: Divergence } {
    checkComponents(
      [...this.#components.map((component) => component.length), length],
      this.#components.map(({ share }) => share),
    );
    const { wasm, out, fused } = this.#memory;
    const numLogits = padded(length);
    const components = this.#components.filter(({ share }) => share > 0);
    const main = components.reduce((most, one) => (one.share > most.share ? one : most));
    const logShare = ({ share, logNormalizer }: Component) => Math.log(share) - logNormalizer;
    const buffer = wasm.memory.buffer;
    const pointers = new Uint32Array(buffer, this.#table, 2 * components.length);
    const offsets = new Float32Array(buffer, this.#table, 2 * components.length);
    components.forEach((component, c) => {
      pointers[2 * c] = component.at;
      offsets[2 * c + 1] = logShare(component) - logShare(main);
    });
    wasm.mixRows(fused, this.#table, components.length, numLogits);

    const pivot = Math.fround(-logShare(main));
    wasm.compareRows(fused, base.at, numLogits, pivot, base.best, out.byteOffset);
    const [m, md, p, pd] = out as unknown as [number, number, number, number];
    const gain = Math.log(m / p);
    return {
      logNormalizer: pivot + Math.log(m),
      divergence: { forward: Math.max(0, md / m - gain), reverse: Math.max(0, pd / p + gain) },
    };
  }

  logprobs(token: number): number[] {
    const { buffer } = this.#memory.wasm.memory;
    return this.#components.map(
      ({ at, logNormalizer }) => (new Float32Array(buffer, at, token + 1)[token] as number) - logNormalizer,
    );
  }

  #grow(numComponents: number): void {
    while (this.#rows.length <= numComponents) this.#rows.push(this.#arena.reserve(this.#rowBytes));
    this.#table = this.#arena.reserve(
      entryBytes * entriesPerTable * Math.ceil(numComponents / entriesPerTable),
    );
    // Memory that grows takes its old views along: they have neither place nor length any more.
    const { byteOffset, length } = this.#memory.out;
    this.#arena.commit();
    this.#memory.out = new Float64Array(this.#memory.wasm.memory.buffer, byteOffset, length);
  }
}
