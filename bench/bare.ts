import { openLibrary } from "../src/llama/library.js";
import { inMainMemory } from "../src/llama/types.js";
import type { LoadedModel, ModelContext, NativeLibrary } from "../src/llama/types.js";
import { familyPath, vocabularySize, type MemberName } from "./family.js";
import type { Threads } from "./threads.js";

export interface BareOptions {
  names: readonly MemberName[];
  numSequences: number;
  threadsOf: (file: string) => Threads;
}

/** The models of the bench family by themselves: nothing between their decodes, one model at a time. */
export class BareModels implements AsyncDisposable {
  readonly #numSequences: number;
  readonly #loaded: { model: LoadedModel; context: ModelContext }[];
  #position = 0;
  /** Number of the first sequence's row of the last step, by model. */
  #rows: number[] = [];

  private constructor(loaded: { model: LoadedModel; context: ModelContext }[], numSequences: number) {
    this.#loaded = loaded;
    this.#numSequences = numSequences;
  }

  static async open(library: NativeLibrary, options: BareOptions): Promise<BareModels> {
    const { names, numSequences, threadsOf } = options;
    const loaded = [];
    for (const name of names) {
      const model = await library.loadModel(familyPath(name), {
        placement: inMainMemory,
        onProgress: () => undefined,
      });
      const context = model.createContext({
        numCells: 512 * numSequences,
        numSequences,
        batchTokens: 512,
        maxRows: numSequences,
        threads: 1,
      });
      const { single, batch } = threadsOf(familyPath(name));
      context.setThreads(single, batch);
      loaded.push({ model, context });
    }
    return new BareModels(loaded, numSequences);
  }

  /** The first sequence's rows of the last step. */
  get rows(): Float32Array[] {
    return this.#loaded.map(({ context }, index) => context.logits(this.#rows[index]!));
  }

  /** Empties every sequence, then gives each a prompt. */
  async prefill(numTokens: number): Promise<void> {
    this.#position = 0;
    for (const { context } of this.#loaded)
      for (let sequence = 0; sequence < this.#numSequences; sequence++) {
        context.removePositions(sequence, 0, null);
        context.batch.clear();
        for (let at = 0; at < numTokens; at++)
          context.batch.add(tokenAt(at + 37 * sequence), at, sequence, at === numTokens - 1);
        await context.decode();
      }
    this.#position = numTokens;
  }

  /** A block of the first sequence's tokens alone, with this many rows at its end. @returns ms of all models. */
  async block(numTokens: number, numRows: number): Promise<number> {
    let ms = 0;
    for (const { context } of this.#loaded) {
      context.removePositions(0, 0, null);
      context.batch.clear();
      for (let at = 0; at < numTokens; at++) context.batch.add(tokenAt(at), at, 0, at >= numTokens - numRows);
      const startMs = performance.now();
      await context.decode();
      ms += performance.now() - startMs;
    }
    return ms;
  }

  /** One token for every sequence. @returns ms of each model's decode, one after the other. */
  async step(): Promise<number[]> {
    const times: number[] = [];
    this.#rows = [];
    for (const { context } of this.#loaded) {
      context.batch.clear();
      const rows = Array.from({ length: this.#numSequences }, (_, sequence) =>
        context.batch.add(tokenAt(this.#position + 41 * sequence), this.#position, sequence, true),
      );
      this.#rows.push(rows[0]!);
      const startMs = performance.now();
      await context.decode();
      times.push(performance.now() - startMs);
    }
    this.#position++;
    return times;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const { context, model } of this.#loaded) {
      await context[Symbol.asyncDispose]();
      await model[Symbol.asyncDispose]();
    }
  }
}

/** Ids that differ from place to place, none of them a control token or a byte. */
export function tokenAt(index: number): number {
  return 1000 + ((index * 7919) % (vocabularySize - 1000));
}

export function promptTokens(numTokens: number, seed: number): number[] {
  return Array.from({ length: numTokens }, (_, at) => tokenAt(at + 1009 * seed));
}

export function openCpuLibrary(): Promise<NativeLibrary> {
  return openLibrary({ backend: "cpu" });
}
