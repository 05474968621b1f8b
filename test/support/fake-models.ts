import { componentSchema } from "../../src/strategies/fields.js";
import { located } from "./members.js";
import type { Card } from "../../src/routing/card.js";
import type { FusionConfig } from "../../src/config/fusion-config.js";
import type { StrategyConfig } from "../../src/strategies/registry.js";
import { fusionConfigSchema } from "../../src/config/fusion-config.js";
import type { LoadedModels, ModelSlot } from "../../src/engine/loaded-models.js";
import { plainRequest } from "../../src/protocol/protocol.js";
import { plainToolForm } from "../../src/engine/tool-prompts.js";
import type { GenerationRequest } from "../../src/protocol/protocol.js";
import { ShouldersError } from "../../src/errors.js";
import { tellsAll } from "../../src/llama/types.js";
import type { Batch, LoadedModel, ModelContext, Vocabulary } from "../../src/llama/types.js";

/** End of sequence of the fake vocabulary; ids below are bytes. */
export const END = 256;
const vocabularySize = 257;

/** Row of logits after a sequence of tokens: what stands for a model. */
export type FakeLaw = (tokens: readonly number[]) => Float32Array;

/** A row whose best token is `token`; the rest follow at a distance that depends on their ids. */
export function peak(token: number, height = 8): Float32Array {
  const row = Float32Array.from({ length: vocabularySize }, (_, id) => Math.sin(id * 12.9898) * 0.5);
  row[token] = height;
  return row;
}

/** Says the text after the prompt and then ends, whatever the prompt's length. */
export function says(text: string): FakeLaw {
  const answer = [...new TextEncoder().encode(text), END];
  return (tokens) => {
    const start = tokens.lastIndexOf(0x3a) + 1;
    return peak(answer[tokens.length - start] ?? END);
  };
}

/** A pseudo-random law: every row depends on all tokens before it. */
export function dream(seed: number): FakeLaw {
  return (tokens) => {
    let state = seed;
    for (const token of tokens) state = (Math.imul(state ^ token, 2654435761) + 1013904223) >>> 0;
    return Float32Array.from({ length: vocabularySize }, (_, id) => {
      const mixed = Math.imul(state ^ Math.imul(id + 1, 2246822519), 3266489917) >>> 0;
      return (mixed / 2 ** 32) * 6;
    });
  };
}

const vocabulary: Vocabulary = {
  size: vocabularySize,
  bos: null,
  endToken: null,
  addsBos: false,
  isEndOfGeneration: (token) => token === END,
  isControl: (token) => token === END,
  isReserved: (token) => token === END,
  bytes: (token) => (token === END ? new Uint8Array(0) : Uint8Array.of(token)),
  rawText: (token) => `<${token}>`,
  show: () => undefined,
};

/** A law that is sure of its token at `sure` of ten places, by all that came before, and dreams elsewhere. */
export function partlySure(seed: number, sure: number): FakeLaw {
  const law = dream(seed);
  return (tokens) => {
    const row = law(tokens);
    const best = row.indexOf(Math.max(...row));
    // Whether it is sure goes by another hash than what of.
    const mark = tokens.reduce((sum, token) => (Math.imul(sum, 31) + token + seed) % 9973, 7);
    return mark % 10 < sure ? row.map((logit, id) => (id === best ? logit + 12 : logit)) : row;
  };
}

/** Sequence memory that checks what a real one would assert: positions in order, room, one decode at a time. */
export class FakeContext implements ModelContext {
  readonly numCells: number;
  readonly memoryBytes = 0;
  readonly cells = new Map<number, number[]>();
  readonly batch: Batch;
  /** Sizes of the batches decoded so far. */
  readonly batchSizes: number[] = [];
  /** Rows that they gave. */
  numRows = 0;
  /** Thrown by the next decode. */
  failNext: ShouldersError | null = null;
  /** When set, decodes wait for it. */
  gate: Promise<void> | null = null;
  #entries: { token: number; position: number; sequenceId: number; row: number }[] = [];
  /** Rows of the last decode, by their numbers. */
  #rows = new Map<number, Float32Array>();
  #nextRow = 0;
  readonly #law: FakeLaw;

  constructor(law: FakeLaw, numCells: number, capacity: number) {
    this.#law = law;
    this.numCells = numCells;
    const entries = () => this.#entries;
    this.batch = {
      capacity,
      maxRows: capacity,
      get numTokens() {
        return entries().length;
      },
      get numRows() {
        return entries().filter(({ row }) => row >= 0).length;
      },
      clear: () => (this.#entries = []),
      add: (token, position, sequenceId, wantsRow) => {
        if (this.#entries.length >= capacity) throw new Error("batch overflow");
        const row = wantsRow ? this.#nextRow++ : -1;
        this.#entries.push({ token, position, sequenceId, row });
        return row;
      },
    };
  }

  async decode(): Promise<void> {
    await this.gate;
    if (this.failNext) {
      const error = this.failNext;
      this.failNext = null;
      throw error;
    }
    this.batchSizes.push(this.#entries.length);
    this.#rows.clear();
    for (const { token, position, sequenceId, row } of this.#entries) {
      const tokens = this.cells.get(sequenceId) ?? [];
      if (position !== tokens.length) throw new Error(`position ${position} after ${tokens.length} tokens`);
      tokens.push(token);
      this.cells.set(sequenceId, tokens);
      if (row >= 0) this.#rows.set(row, this.#law(tokens));
      if (row >= 0) this.numRows++;
    }
    const used = [...this.cells.values()].reduce((sum, tokens) => sum + tokens.length, 0);
    if (used > this.numCells) throw new Error(`${used} cells of ${this.numCells}`);
  }

  setThreads(): void {
    // There are none.
  }

  logits(row: number): Float32Array {
    const found = this.#rows.get(row);
    if (!found) throw new Error(`no row ${row}`);
    return found;
  }

  removePositions(sequenceId: number, from: number, to: number | null): void {
    const tokens = this.cells.get(sequenceId) ?? [];
    const kept = [...tokens.slice(0, from), ...(to === null ? [] : tokens.slice(to))];
    if (kept.length === 0) this.cells.delete(sequenceId);
    else this.cells.set(sequenceId, kept);
  }

  takeBack(sequenceId: number, from: number): boolean {
    this.removePositions(sequenceId, from, null);
    return true;
  }

  copyPrefix(from: number, to: number, length: number): void {
    this.cells.set(to, (this.cells.get(from) ?? []).slice(0, length));
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await Promise.resolve();
  }
}

export function fakeModel(name: string): LoadedModel {
  const encode = (text: string) => [...new TextEncoder().encode(text)];
  return {
    path: `/fake/${name}.gguf`,
    name,
    vocabulary,
    toolForm: null,
    toolTelling: tellsAll,
    thinking: null,
    tokenizeAside: (text: string) => Promise.resolve(encode(text)),
    renderChat: (turns: readonly { role: string; content: string }[]) =>
      Promise.resolve({
        tokens: encode(turns.map(({ role, content }) => `${role} ${content};`).join("") + "answer:"),
        text: null,
        stopStrings: [],
      }),
  } as unknown as LoadedModel;
}

export interface FakeModelsOptions {
  base: FakeLaw;
  reference?: FakeLaw;
  experts?: FakeLaw[];
  batchTokens?: number;
  config?: Partial<FusionConfig>;
  strategy?: StrategyConfig;
  card?: Card | null;
}

/** One config named "fake" over scripted models; expert ids are e0, e1, … */
export function fakeModels(options: FakeModelsOptions): LoadedModels & { contexts: FakeContext[] } {
  const { base, reference, experts = [], batchTokens = 16, strategy, card = null } = options;
  const parsed = fusionConfigSchema.parse({
    id: "fake",
    base: "base",
    reference: reference ? "reference" : null,
    experts: experts.map((_, index) => ({ id: `e${index}`, model: `e${index}` })),
    context: { tokens: 64, sequences: 4 },
    ...options.config,
  });
  const laws = [base, ...(reference ? [reference] : []), ...experts];
  const names = ["base", ...(reference ? ["reference"] : []), ...experts.map((_, index) => `e${index}`)];
  const { tokens, sequences } = parsed.context;
  const contexts = laws.map((law) => new FakeContext(law, tokens * sequences, batchTokens));
  const slots: ModelSlot[] = contexts.map((context, index) => ({
    id: names[index]!,
    model: fakeModel(names[index]!),
    context,
    adapter: null,
    remote: null,
    hasWindow: false,
    canTakeBack: true,
  }));
  const config = {
    ...parsed,
    strategy: strategy ?? parsed.strategy ?? (experts.length > 0 ? dynamic : ({ type: "base" } as const)),
  };
  return {
    slots,
    contexts,
    numSequences: sequences,
    configs: new Map([
      [
        "fake",
        {
          resolved: { config, members: located(config), card },
          base: { role: "base", id: "base", model: 0 },
          reference: reference ? { role: "reference", id: "reference", model: 1 } : null,
          experts: config.experts.map(({ id, bounds, budget = Infinity }, index) => ({
            role: "expert",
            id,
            model: index + 2,
            bounds,
            budget,
            component: card?.experts[index]?.component ?? componentSchema.parse({}),
          })),
          vocabularySize,
          roles: new Map(),
          reader: null,
          sharedIds: new Map(),
          tokenNames: vocabulary,
          vocabularyNotes: [],
          toolForm: plainToolForm,
          thinking: null,
          thinker: 0,
        },
      ],
    ]),
    [Symbol.asyncDispose]: async () => Promise.resolve(),
  };
}

const dynamic: StrategyConfig = { type: "dynamic", solver: "exact", plausibility: null };

export const greedy = {
  temperature: 0,
  topK: 0,
  topP: 1,
  minP: 0,
  typicalP: 1,
  repeatPenalty: 1,
  presencePenalty: 0,
  frequencyPenalty: 0,
};

export function fakeRequest(requestId: string, options: Partial<GenerationRequest> = {}): GenerationRequest {
  return {
    ...plainRequest,
    requestId,
    owner: "tester",
    party: "tester",
    configId: "fake",
    prompt: { type: "text", text: "question:" },
    maxTokens: null,
    sampling: greedy,
    seed: 1,
    trace: "weights",
    ...options,
  };
}
