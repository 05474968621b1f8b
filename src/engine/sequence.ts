import { defaultFeature, type FeatureSettings } from "../calibration/feature.js";
import type { Fusion, Strategy } from "../fusion/types.js";
import type { TokenSampler } from "../sampling/token-sampler.js";
import type { Claim } from "./admission.js";
import type { LoadedConfig } from "./loaded-models.js";
import type { ModelPrompts } from "./prompts.js";
import { noUsage } from "./protocol.js";
import type { FusionUsage, GeneratedToken, GenerationRequest } from "./protocol.js";
import type { CursorView, Routing, SequenceView } from "./scheduler.js";
import type { SequenceLease } from "./sequence-pool.js";
import { type PriorSource, Shares, type ShareSettings } from "./shares.js";
import { TextStream } from "./text-stream.js";

/** One model's view of a sequence. Each model has tokens and positions of its own: prompts may differ. */
export class Cursor implements CursorView {
  readonly model: number;
  /** How many tokens are in the model's memory. */
  numDecoded = 0;
  readonly #prompt: readonly number[];
  /** Made with the first token of the answer: until then answers to one prompt share it. */
  #tokens: number[] | null = null;

  constructor(model: number, promptTokens: readonly number[]) {
    this.model = model;
    this.#prompt = promptTokens;
  }

  /** The model's prompt and, after it, the answer so far. */
  get tokens(): readonly number[] {
    return this.#tokens ?? this.#prompt;
  }

  append(token: number): void {
    this.#tokens ??= [...this.#prompt];
    this.#tokens.push(token);
  }

  get numRemaining(): number {
    return this.tokens.length - this.numDecoded;
  }
}

/** How the shares of a mixture begin. */
export interface MixtureStart extends ShareSettings {
  prior: PriorSource;
}

export interface SequenceParts {
  request: GenerationRequest;
  config: LoadedConfig;
  strategy: Strategy;
  /** null for other strategies. */
  mixture: MixtureStart | null;
  prompts: ModelPrompts;
  sampler: TokenSampler;
  /** Order of arrival. */
  arrival: number;
  /** When it came, by `performance.now()`: before its prompt was tokenized. */
  waitingSinceMs: number;
  /** Of the room for what waits. */
  tokens: number;
}

/** One request's choice: its place in every model, its strategy, shares and sampler, and the text it has made. */
export class Sequence implements SequenceView, Claim {
  readonly request: GenerationRequest;
  readonly config: LoadedConfig;
  readonly strategy: Strategy;
  readonly sampler: TokenSampler;
  readonly text: TextStream<GeneratedToken>;
  /** One per distinct model that the strategy can come to use, the base's first. */
  readonly allCursors: readonly Cursor[];
  readonly numRows = 1;
  readonly arrival: number;
  waitingSinceMs: number;
  readonly places = 1;
  readonly tokens: number;
  readonly promptTokens: number;
  /** The first tokens of the answer, which are taken instead of drawn. */
  readonly forced: readonly number[];
  /** Of the answer, those that are forced included. */
  readonly maxTokens: number;
  lease: SequenceLease | null = null;
  /** How long it waited for a place, ms. */
  queueMs = 0;
  /** It had a place. */
  hasStarted = false;
  numGenerated = 0;
  /** Tokens of the base's prompt whose cells were shared instead of decoded. */
  cachedTokens = 0;
  fusionUsage: FusionUsage = noUsage.fusion;
  isCancelled = false;
  /** The reader does not keep up: the sequence keeps its cells and takes no part in steps. */
  isPaused = false;
  readonly #mixture: MixtureStart | null;
  #shares: Shares | null = null;
  /** The reference's positions whose rows tell about the prompt; null: they are not, or no longer, wanted. */
  #route: { from: number; to: number } | null = null;
  /** Sum over the rows that have come. */
  #feature: number[] | null = null;
  #cursors: readonly Cursor[] = [];

  constructor({ request, config, strategy, mixture, prompts, sampler, ...arrived }: SequenceParts) {
    this.request = request;
    this.config = config;
    this.strategy = strategy;
    this.sampler = sampler;
    this.arrival = arrived.arrival;
    this.waitingSinceMs = arrived.waitingSinceMs;
    this.tokens = arrived.tokens;
    this.text = new TextStream(prompts.stopStrings);
    this.forced = prompts.forced;
    this.allCursors = [...prompts.tokensOf].map(([model, tokens]) => new Cursor(model, tokens));
    this.promptTokens = this.base.tokens.length;
    const longestPrompt = Math.max(...this.allCursors.map((cursor) => cursor.tokens.length));
    const room = config.resolved.config.context.tokens - longestPrompt - this.forced.length;
    const mostDrawn = request.forced === null ? Math.min(request.maxTokens ?? room, room) : 0;
    this.maxTokens = this.forced.length + mostDrawn;
    this.#mixture = mixture;
    const reference = this.allCursors.find(({ model }) => model === config.reference);
    const asksPrompt = request.wantsFeature || mixture?.prior === "prompt";
    if (asksPrompt && reference && reference.tokens.length > 1) {
      const to = reference.tokens.length - 1;
      this.#route = { from: Math.max(0, to - this.featureSettings.numRows), to };
    }
    if (mixture && mixture.prior !== "prompt") this.#shares = new Shares(mixture.prior, mixture);
    else if (mixture && this.#route === null) this.#shares = new Shares(uniform(config), mixture);
    this.#chooseCursors();
  }

  get owner(): string {
    return this.request.owner;
  }

  get party(): string {
    return this.request.party;
  }

  get base(): Cursor {
    return this.cursor(this.config.base);
  }

  /** Of the models that take part in the next step. */
  get cursors(): readonly Cursor[] {
    return this.#cursors;
  }

  /** Of a mixture, once they are known. */
  get shares(): Shares | null {
    return this.#shares;
  }

  get routing(): Routing | null {
    const { reference } = this.config;
    if (this.#route === null || reference === null) return null;
    return { model: reference, numBefore: Math.max(0, this.#route.from - this.cursor(reference).numDecoded) };
  }

  /** How the prompt's feature is taken. */
  get featureSettings(): FeatureSettings {
    return this.config.resolved.card?.feature ?? defaultFeature;
  }

  /** Of the prompt, once it is known and where the request wants it. */
  get feature(): number[] | null {
    return this.request.wantsFeature && this.#route === null ? this.#feature : null;
  }

  /** Indices of the config's experts that run: all that the strategy uses, and do not sleep. */
  get runningExperts(): number[] {
    const { config, strategy } = this;
    if (strategy.type === "base" || config.reference === null) return [];
    return [...config.experts.keys()].filter((expert) => this.#shares?.isAwake(expert) ?? true);
  }

  cursor(model: number): Cursor {
    return this.allCursors.find((cursor) => cursor.model === model) as Cursor;
  }

  /** Whether the row after this token tells about the prompt. */
  isRoutedBy(cursor: Cursor, position: number): boolean {
    const { from, to } = this.#route ?? { from: 0, to: 0 };
    return cursor.model === this.config.reference && position >= from && position < to;
  }

  /** Position of the first token of a cursor whose row is wanted: it cannot be shared, but must be decoded. */
  firstRowOf(cursor: Cursor): number {
    const last = cursor.tokens.length - this.numRows;
    const isReference = cursor.model === this.config.reference;
    return isReference && this.#route !== null ? Math.min(last, this.#route.from) : last;
  }

  /**
   * Takes in what rows told about the prompt. With the last of them the shares begin, and the experts that have one.
   *
   * @param feature the mean over `numRows` rows, in the order of their positions.
   * @param priorOf the shares that follow from the mean over all of them; null: nobody knows.
   */
  told(
    feature: Float64Array,
    numRows: number,
    priorOf: (feature: Float64Array) => readonly number[] | null,
  ): void {
    if (this.#route === null) return;
    const { from, to } = this.#route;
    const share = numRows / (to - from);
    this.#feature = [...feature].map((value, index) => share * value + (this.#feature?.[index] ?? 0));
    if (this.cursor(this.config.reference as number).numDecoded >= to)
      this.#begin(priorOf(Float64Array.from(this.#feature)));
  }

  #begin(prior: readonly number[] | null): void {
    this.#route = null;
    if (this.#mixture?.prior === "prompt")
      this.#shares = new Shares(prior ?? uniform(this.config), this.#mixture);
    this.#chooseCursors();
  }

  /** The most cells that the sequence can come to hold; its last token is never decoded. */
  get claims(): { model: number; numCells: number }[] {
    return this.allCursors.map(({ model, tokens }) => ({
      model,
      numCells: tokens.length - this.numGenerated + this.maxTokens,
    }));
  }

  /** Model index to the tokens that are in the model's memory. */
  heldOf(): Map<number, number[]> {
    return new Map(
      this.allCursors.map(({ model, tokens, numDecoded }) => [model, tokens.slice(0, numDecoded)]),
    );
  }

  /** It has given up its place; once it has one again, all is read anew that cannot be shared. */
  suspend(): void {
    for (const cursor of this.allCursors) cursor.numDecoded = 0;
    if (this.#route !== null) this.#feature = null;
    this.waitingSinceMs = performance.now();
  }

  append(token: number): void {
    for (const cursor of this.allCursors) cursor.append(token);
    this.numGenerated++;
  }

  /**
   * Takes a token into account: how far the base was moved, and which component had expected it.
   *
   * @param ran the experts of the fusion, as `runningExperts` was.
   * @param logprobs of the token under each component of the fusion.
   */
  learn(
    { nats, mixed }: Fusion,
    { ran, logprobs, isFlipped }: { ran: readonly number[]; logprobs: readonly number[]; isFlipped: boolean },
  ): void {
    const { fusionUsage } = this;
    const tokens = fusionUsage.tokens + 1;
    const skipped = this.#shares?.skipped ?? 0;
    this.fusionUsage = {
      nats: fusionUsage.nats + nats,
      flipped: fusionUsage.flipped + (isFlipped ? 1 : 0),
      tokens,
      skippedShare: fusionUsage.skippedShare + (skipped - fusionUsage.skippedShare) / tokens,
    };
    if (!this.#shares || mixed.length === 0) return;
    const shareOf = (component: number) => (component === 0 ? 0 : (ran[component - 1] as number) + 1);
    this.#shares.learn(mixed.map(shareOf), logprobs);
    this.#chooseCursors();
  }

  /** The base always; the reference for the prompt's sake and for shifts; experts that run. */
  #chooseCursors(): void {
    const { config, strategy } = this;
    const models = new Set([config.base]);
    if (this.#route !== null) models.add(config.reference as number);
    else
      for (const expert of this.runningExperts) {
        models.add(config.experts[expert] as number);
        const isAlone = strategy.type === "mixture" && strategy.components[expert]?.kind === "alone";
        if (!isAlone) models.add(config.reference as number);
      }
    this.#cursors = this.allCursors.filter(({ model }) => models.has(model));
  }
}

function uniform({ experts }: LoadedConfig): number[] {
  return [1, ...experts.map(() => 1)];
}

/** The distinct models that a strategy may need of a config. */
export function modelsOf(config: LoadedConfig, strategy: Strategy): number[] {
  if (strategy.type === "base" || config.reference === null) return [config.base];
  return [...new Set([config.base, config.reference, ...config.experts])];
}
