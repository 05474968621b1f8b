import { present } from "../errors.js";
import { defaultFeature, type FeatureSettings } from "../routing/feature.js";
import type { Fusion, Plausibility } from "../fusion/types.js";
import type { TokenSampler } from "../sampling/token-sampler.js";
import type { RowWish } from "../rows/types.js";
import type { StrategyRun } from "../strategies/strategy.js";
import type { Claim } from "./admission.js";
import type { Draft } from "./draft.js";
import { Doze } from "./doze.js";
import { DraftPolicy } from "./draft-policy.js";
import { TextGuess } from "./text-guess.js";
import type { LoadedConfig, LoadedExpert } from "./loaded-models.js";
import type { ModelPrompts } from "./prompts.js";
import { noUsage } from "../protocol/protocol.js";
import type { FusionUsage, GeneratedToken, GenerationRequest } from "../protocol/protocol.js";
import { Cursor } from "./cursor.js";
import { TextCursor } from "./own/text-cursor.js";
import type { Routing, SequenceView } from "./scheduler.js";
import type { TokenRecord } from "../wire/token-record.js";
import type { SequenceLease } from "./sequence-pool.js";
import { PromptRouting } from "./prompt-routing.js";
import { AnswerStream } from "./answer-stream.js";

export interface SequenceParts {
  request: GenerationRequest;
  config: LoadedConfig;
  run: StrategyRun<LoadedExpert>;
  prompts: ModelPrompts;
  /** The first tokens of the answer, which are taken instead of drawn. */
  forced: readonly number[];
  sampler: TokenSampler;
  /** Order of arrival. */
  arrival: number;
  /** When it came, by `performance.now()`: before its prompt was tokenized. */
  waitingSinceMs: number;
  /** Tokens that it takes of the room for what waits. */
  tokens: number;
}

/** One request's choice: its place in every model, its strategy, shares and sampler, and the text it has made. */
export class Sequence implements SequenceView, Claim {
  readonly request: GenerationRequest;
  readonly config: LoadedConfig;
  /** How its tokens are weighed. */
  readonly run: StrategyRun<LoadedExpert>;
  readonly sampler: TokenSampler;
  readonly text: AnswerStream<GeneratedToken>;
  /** Tokens of what was thought, marks included. */
  numThought = 0;
  /** One per distinct model that the strategy can come to use, the base's first. */
  readonly allCursors: readonly Cursor[];
  /** What may come next: decoded with the last token, and kept as far as it is what is drawn. */
  readonly drafts: readonly Draft[];
  readonly #drafts: Draft[];
  isReading = true;
  isSettled = false;
  /** Steps for which its experts' rows have waited for the others'. */
  numWaited = 0;
  readonly arrival: number;
  waitingSinceMs: number;
  readonly places = 1;
  readonly tokens: number;
  readonly promptTokens: number;
  /** The first tokens of the answer, which are taken instead of drawn. */
  readonly forced: readonly number[];
  /** Guesses from what the client expects, and from the answer so far. */
  readonly textGuess: TextGuess;
  /** What is asked of the base's next row, after too little of it was known; null: what is asked of every row. */
  doubt: RowWish | null = null;
  /** How many entries its rows needed at most, beyond what is asked of every row. */
  neededTop = 0;
  /** What the base was not asked although it has a share. */
  readonly doze = new Doze();
  /** How often those were right. */
  readonly draftPolicy = new DraftPolicy();
  /** Most tokens of the answer, those that are forced included. */
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
  /** null: nobody asks what the prompt is about. */
  readonly #routing: PromptRouting | null;
  #cursors: readonly Cursor[] = [];

  constructor({ request, config, run, prompts, forced, sampler, ...arrived }: SequenceParts) {
    this.request = request;
    this.config = config;
    this.run = run;
    this.sampler = sampler;
    this.arrival = arrived.arrival;
    this.waitingSinceMs = arrived.waitingSinceMs;
    this.tokens = arrived.tokens;
    this.text = new AnswerStream(
      prompts.stopStrings,
      prompts.thinking?.form ?? null,
      prompts.thinking?.isOpen ?? false,
      request.callOpening,
    );
    this.forced = forced;
    this.textGuess = new TextGuess(prompts.predicted);
    this.drafts = this.#drafts = [];
    this.allCursors = [...prompts.tokensOf].map(([model, tokens]) => {
      const { reader, roles, resolved } = config;
      return reader === null || model === config.base.model
        ? new Cursor(model, tokens, this.#drafts, roles.get(model)?.feeds)
        : new TextCursor(model, tokens, reader, resolved.config.context.tokens);
    });
    this.promptTokens = this.base.tokens.length;
    const longestPrompt = Math.max(...this.allCursors.map((cursor) => cursor.tokens.length));
    const room = config.resolved.config.context.tokens - longestPrompt - this.forced.length;
    const mostDrawn = request.forced === null ? Math.min(request.maxTokens ?? room, room) : 0;
    this.maxTokens = this.forced.length + mostDrawn;
    const reference = this.allCursors.find(({ model }) => model === config.reference?.model);
    const asksPrompt = request.wantsFeature || run.asksPrompt;
    const isLongEnough = reference !== undefined && reference.tokens.length > 1;
    this.#routing =
      asksPrompt && isLongEnough ? new PromptRouting(reference.tokens.length, this.featureSettings) : null;
    if (this.#routing === null) run.begin(null);
    this.#chooseCursors();
  }

  get owner(): string {
    return this.request.owner;
  }

  get party(): string {
    return this.request.party;
  }

  get base(): Cursor {
    return this.cursor(this.config.base.model);
  }

  /** Cursors of the models that take part in the next step. */
  get cursors(): readonly Cursor[] {
    return this.#cursors;
  }

  get routing(): Routing | null {
    const from = this.#routing?.from ?? null;
    const { reference } = this.config;
    if (from === null || reference === null) return null;
    return { model: reference.model, numBefore: Math.max(0, from - this.cursor(reference.model).numDecoded) };
  }

  /** How the prompt's feature is taken. */
  get featureSettings(): FeatureSettings {
    return this.config.resolved.card?.feature ?? defaultFeature;
  }

  /** What the reference's rows tell of the prompt; null where the request does not want it, or before it is known. */
  get feature(): number[] | null {
    return this.request.wantsFeature ? (this.#routing?.feature ?? null) : null;
  }

  /**
   * The plausible sets of its experts, where their rows alone may settle its next token and nothing else is asked of
   * base and reference; null: they are needed.
   */
  get settling(): readonly Plausibility[] | null {
    const { run } = this;
    if (!this.#maySettle) return null;
    return run.baseShare === 0 || this.isDozing ? run.settling : null;
  }

  get #maySettle(): boolean {
    const { request, run, config } = this;
    if (config.reader !== null || this.isReading || request.speculation === "off" || request.audit === "rows")
      return false;
    if (request.logprobs === "unrestricted") return false;
    if (request.trace === "full" || this.forced.length > this.numGenerated) return false;
    const { tokenNats, replyNats } = request.budget ?? { tokenNats: null, replyNats: null };
    const isBounded = tokenNats !== null || replyNats !== null;
    return !isBounded && run.active.every(({ budget }) => budget === Infinity);
  }

  /**
   * Whether an expert may settle tokens although the base has a share: where only the best token counts, and nobody asks
   * for the numbers of its law.
   */
  get isDozing(): boolean {
    const { run, request, sampler } = this;
    const { baseShare, active } = run;
    if (request.trace !== "off" || request.topLogprobs !== null || !sampler.isGreedy) return false;
    return active.length === 1 && baseShare > 0 && baseShare < 0.5;
  }

  /**
   * The model whose rows tell what may come next: of the experts that run the one with the largest share, and once all
   * have left the reference. null: there is none, or it is the base itself.
   */
  get drafter(): Cursor | null {
    const { active, experts, shares } = this.run;
    const shareOf = ({ id }: LoadedExpert) => shares?.[id] ?? 0;
    const [first] = active;
    const best = first && active.reduce((one, other) => (shareOf(other) > shareOf(one) ? other : one), first);
    const guesser = best ?? (experts.length > 0 ? this.config.reference : null);
    return guesser === null || guesser.model === this.config.base.model ? null : this.cursor(guesser.model);
  }

  /** Cursors of its experts; where the base has a share, also that which tells whether they have anything to say. */
  get scouts(): readonly Cursor[] {
    const { run, config } = this;
    const models = new Set(run.active.map(({ model }) => model));
    if (config.reference !== null && run.needsReference && this.isDozing) models.add(config.reference.model);
    return this.#cursors.filter(({ model }) => models.has(model));
  }

  /** Its experts' rows are in hand, and wait for those of the others. */
  get isWaitingForBase(): boolean {
    return this.#cursors.some(({ numHeld }) => numHeld > 0);
  }

  /** Tokens that the base has yet to read before the one whose row is wanted. */
  get lag(): number {
    return Math.max(0, this.base.numRemaining - 1);
  }

  cursor(model: number): Cursor {
    return present(
      this.allCursors.find((cursor) => cursor.model === model),
      "cursor",
    );
  }

  /** Whether the row after this token tells about the prompt. */
  isRoutedBy(cursor: Cursor, position: number): boolean {
    return cursor.model === this.config.reference?.model && (this.#routing?.isWanted(position) ?? false);
  }

  /** Position of the first token of a cursor whose row is wanted: it cannot be shared, but must be decoded. */
  firstRowOf(cursor: Cursor): number {
    const last = cursor.tokens.length - cursor.numTail;
    const isReference = cursor.model === this.config.reference?.model;
    return isReference ? Math.min(last, this.#routing?.from ?? last) : last;
  }

  /**
   * Takes in what rows told about the prompt. With the last of them the strategy begins.
   *
   * @param feature the mean over `numRows` rows, in the order of their positions.
   * @param priorOf the shares that follow from the mean over all of them; null: nobody knows.
   */
  told(
    feature: Float64Array,
    numRows: number,
    priorOf: (feature: Float64Array) => readonly number[] | null,
  ): void {
    const { reference } = this.config;
    if (reference === null) return;
    const whole = this.#routing?.add(feature, numRows, this.cursor(reference.model).numDecoded) ?? null;
    if (whole === null) return;
    this.run.begin(priorOf(whole));
    this.#chooseCursors();
  }

  /** The most cells that the sequence can come to hold. */
  get claims(): { model: number; numCells: number }[] {
    return this.allCursors.map((cursor) => ({
      model: cursor.model,
      numCells: cursor.mostCells(this.numGenerated, this.maxTokens),
    }));
  }

  /** No more tokens can be added to the answer. */
  get isFull(): boolean {
    return this.numGenerated >= this.maxTokens || this.allCursors.some((cursor) => cursor.isFull);
  }

  /** Model index to the tokens that are in the model's memory. */
  heldOf(): Map<number, number[]> {
    return new Map(
      this.allCursors.map(({ model, tokens, numDecoded }) => [model, tokens.slice(0, numDecoded)]),
    );
  }

  /** It has given up its place; once it has one again, all is read anew that cannot be shared. */
  suspend(): void {
    for (const cursor of this.allCursors) cursor.forget();
    this.propose([]);
    this.isReading = true;
    this.isSettled = false;
    this.#routing?.restart();
    this.waitingSinceMs = performance.now();
  }

  /** Tokens that may be guessed ahead, so that no more is decoded than the longest answer takes. */
  get mostDrafts(): number {
    return Math.max(0, this.maxTokens - this.numGenerated - 1);
  }

  /** Tokens that are given, from the next one on. */
  get given(): readonly number[] {
    return this.forced.slice(this.numGenerated);
  }

  /** Proposes what may come next; nothing of it has been decoded. */
  propose(drafts: readonly Draft[]): void {
    this.#drafts.splice(0, this.#drafts.length, ...drafts);
  }

  /** Proposes one more token after the drafts. */
  extend(draft: Draft): void {
    this.#drafts.push(draft);
  }

  /** Adds a token to the answer. Drafts stay where it is the first of them; else cursors may be ahead of their tokens. */
  append(token: number): void {
    for (const cursor of this.allCursors) cursor.append(token);
    this.textGuess.append(token);
    if (this.#drafts.shift()?.token !== token) this.#drafts.length = 0;
    this.numGenerated++;
    this.numWaited = 0;
    if (typeof this.doubt?.top === "number") this.neededTop = Math.max(this.neededTop, this.doubt.top);
    this.doubt = null;
  }

  /**
   * Takes a token into account: how far the base was moved, and which model had expected it.
   *
   * @param logprobs of the token under each model that the fusion mixed.
   * @param unknown how far its law can be from that of the whole of the base's row: total variation.
   */
  learn(
    fusion: Fusion,
    { logprobs, unknown }: { logprobs: readonly number[]; unknown: number },
    { flipped, contested, vouch }: Pick<TokenRecord, "flipped" | "contested" | "vouch">,
  ): void {
    const { fusionUsage, run } = this;
    this.#countToken({
      nats: fusionUsage.nats + fusion.nats,
      flipped: fusionUsage.flipped + Number(flipped === true),
      contested: fusionUsage.contested + Number(contested !== undefined),
      unvouched: fusionUsage.unvouched + Number(vouch === "nobody"),
      tokens: fusionUsage.tokens + 1,
      uncertified: fusionUsage.uncertified + (unknown > 0 ? 1 : 0),
      unknown: Math.max(fusionUsage.unknown, unknown),
    });
    const { active } = run;
    run.learn(fusion, logprobs);
    if (run.active !== active) this.#chooseCursors();
  }

  /** Gives back what it holds beside its cells. */
  release(): void {
    this.sampler[Symbol.dispose]();
    for (const cursor of this.allCursors) cursor.release();
  }

  /** Takes in a token that experts' rows alone settled: every expert that runs gives it all its probability. */
  learnCertain(): void {
    if (this.run.baseShare > 0) this.doze.skip(this.base.tokens.length);
    this.#countToken({ certain: this.fusionUsage.certain + 1 });
  }

  /** The base was decoded for its answer. */
  countBasePass(): void {
    this.fusionUsage = { ...this.fusionUsage, basePasses: this.fusionUsage.basePasses + 1 };
  }

  /** A block with so many guesses was decoded. */
  countGuesses(numGuesses: number): void {
    const { drafts, drafted } = this.fusionUsage;
    if (numGuesses > 0)
      this.fusionUsage = { ...this.fusionUsage, drafts: drafts + 1, drafted: drafted + numGuesses };
  }

  /** A guess was right, which was the `index`th of its block. */
  countAccepted(index: number): void {
    const acceptedAt = [...this.fusionUsage.acceptedAt];
    acceptedAt[index] = (acceptedAt[index] ?? 0) + 1;
    this.fusionUsage = { ...this.fusionUsage, accepted: this.fusionUsage.accepted + 1, acceptedAt };
  }

  #countToken(changes: Partial<FusionUsage>): void {
    const usage = { ...this.fusionUsage, ...changes };
    usage.lost = this.run.lost;
    const numTokens = usage.tokens + usage.certain;
    usage.skippedShare += (this.run.skippedShare - usage.skippedShare) / numTokens;
    this.fusionUsage = usage;
  }

  /** The base always; the reference for the prompt's sake and for shifts; experts that run. */
  #chooseCursors(): void {
    const { config, run } = this;
    const isRouting = this.routing !== null;
    const needed = new Set([config.base, ...(isRouting ? [] : run.active)].map(({ model }) => model));
    if (config.reference !== null && (isRouting || run.needsReference)) needed.add(config.reference.model);
    this.#cursors = this.allCursors.filter(({ model }) => needed.has(model));
  }
}

/** The distinct models that a strategy may come to need. */
export function modelsOf(
  { base, reference }: LoadedConfig,
  { experts }: StrategyRun<LoadedExpert>,
): number[] {
  const members = experts.length === 0 || reference === null ? [base] : [base, reference, ...experts];
  return [...new Set(members.map(({ model }) => model))];
}
