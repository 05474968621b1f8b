import type { Strategy } from "../fusion/types.js";
import type { TokenSampler } from "../sampling/token-sampler.js";
import type { Waiting } from "./admission.js";
import type { LoadedConfig } from "./loaded-models.js";
import type { ModelPrompts } from "./prompts.js";
import type { GeneratedToken, GenerationRequest } from "./protocol.js";
import type { CursorView, SequenceView } from "./scheduler.js";
import type { SequenceLease } from "./sequence-pool.js";
import { TextStream } from "./text-stream.js";

/** One model's view of a sequence. Each model has tokens and positions of its own: prompts may differ. */
export class Cursor implements CursorView {
  readonly model: number;
  /** The model's prompt and, after it, the answer so far. */
  readonly tokens: number[];
  /** How many of them are in the model's memory. */
  numDecoded = 0;

  constructor(model: number, promptTokens: readonly number[]) {
    this.model = model;
    this.tokens = [...promptTokens];
  }

  get numRemaining(): number {
    return this.tokens.length - this.numDecoded;
  }
}

export interface SequenceParts {
  request: GenerationRequest;
  config: LoadedConfig;
  strategy: Strategy;
  prompts: ModelPrompts;
  sampler: TokenSampler;
  /** Order of arrival. */
  arrival: number;
}

/** One request's choice: its place in every model, its strategy and sampler, and the text it has made. */
export class Sequence implements SequenceView, Waiting {
  readonly request: GenerationRequest;
  readonly config: LoadedConfig;
  readonly strategy: Strategy;
  readonly sampler: TokenSampler;
  readonly text: TextStream<GeneratedToken>;
  /** One per distinct model; models that the strategy does not use are left out. */
  readonly cursors: readonly Cursor[];
  readonly numRows = 1;
  readonly arrival: number;
  readonly arrivalMs = performance.now();
  readonly promptTokens: number;
  /** The first tokens of the answer, which are taken instead of drawn. */
  readonly forced: readonly number[];
  /** Of the answer, those that are forced included. */
  readonly maxTokens: number;
  lease: SequenceLease | null = null;
  /** How long it waited for a place, ms. */
  queueMs = 0;
  numGenerated = 0;
  /** Tokens of the base's prompt whose cells were shared instead of decoded. */
  cachedTokens = 0;
  isCancelled = false;
  /** The reader does not keep up: the sequence keeps its cells and takes no part in steps. */
  isPaused = false;

  constructor({ request, config, strategy, prompts, sampler, arrival }: SequenceParts) {
    this.request = request;
    this.config = config;
    this.strategy = strategy;
    this.sampler = sampler;
    this.arrival = arrival;
    this.text = new TextStream(prompts.stopStrings);
    this.forced = prompts.forced;
    this.cursors = [...prompts.tokensOf].map(([model, tokens]) => new Cursor(model, tokens));
    this.promptTokens = this.base.tokens.length;
    const longestPrompt = Math.max(...this.cursors.map((cursor) => cursor.tokens.length));
    const room = config.resolved.config.context.tokens - longestPrompt - this.forced.length;
    const mostDrawn = request.forced === null ? Math.min(request.maxTokens ?? room, room) : 0;
    this.maxTokens = this.forced.length + mostDrawn;
  }

  get owner(): string {
    return this.request.owner;
  }

  get base(): Cursor {
    return this.cursor(this.config.base);
  }

  cursor(model: number): Cursor {
    return this.cursors.find((cursor) => cursor.model === model) as Cursor;
  }

  /** The most cells that the sequence can come to hold; its last token is never decoded. */
  get claims(): { model: number; numCells: number }[] {
    return this.cursors.map(({ model, tokens }) => ({
      model,
      numCells: tokens.length - this.numGenerated + this.maxTokens,
    }));
  }

  /** Model index to the tokens that are in the model's memory. */
  heldOf(): Map<number, number[]> {
    return new Map(this.cursors.map(({ model, tokens, numDecoded }) => [model, tokens.slice(0, numDecoded)]));
  }

  append(token: number): void {
    for (const cursor of this.cursors) cursor.tokens.push(token);
    this.numGenerated++;
  }
}

/** The distinct models that a strategy needs of a config. */
export function modelsOf(config: LoadedConfig, strategy: Strategy): number[] {
  if (strategy.type === "base" || config.reference === null) return [config.base];
  return [...new Set([config.base, config.reference, ...config.experts])];
}
