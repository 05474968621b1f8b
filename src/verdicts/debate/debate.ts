import { createHash } from "node:crypto";
import { setMaxListeners } from "node:events";
import type { DebateSettings } from "../../config/debate.js";
import { fieldError, ShouldersError } from "../../errors.js";
import type { Engine, GenerationEvent, GenerationRequest, Usage } from "../../protocol/protocol.js";
import type { StrategyConfig } from "../../strategies/registry.js";
import type { TextualPrompt } from "../answer-tokens.js";
import { judge, type Judged } from "../judge.js";
import type { Law } from "../read-candidates.js";
import { bestOf, softmax, type Normalisation } from "../verdict.js";
import { sentencesOf, verifyQuotes } from "./document.js";
import { type DebateOutcome, type Members, outcomeOf, type Transcript } from "./outcome.js";
import { advocatePrompt, type Argument, panelPrompt, questionOf, transcriptText } from "./transcript.js";

/** What is told while a debate goes on; `transcript` counts them from 0, null: before any. */
export type DebateEvent =
  | { type: "delta"; transcript: number; turn: number; candidate: number; delta: string }
  | { type: "argued"; transcript: number; argument: Argument }
  | { type: "judged"; transcript: number | null; members: Members };

export interface Debating {
  engine: Pick<Engine, "query">;
  /** `countsPrompt`: of several readings of one prompt the first counts it. */
  generate: (
    request: GenerationRequest,
    signal: AbortSignal,
    countsPrompt: boolean,
  ) => AsyncIterable<GenerationEvent>;
  /** The question, and by which fusion it is judged. Its id begins those of all that is asked. */
  request: GenerationRequest & { prompt: TextualPrompt };
  candidates: readonly string[];
  document: string | null;
  settings: DebateSettings;
  normalise: Normalisation;
  endToken: number | null;
  signal: AbortSignal;
  /** Resolves when whoever listens has taken it. */
  tell?: (event: DebateEvent) => Promise<void>;
}

export interface Debated extends DebateOutcome {
  /** The two candidates that were argued for. */
  pair: readonly [number, number];
  transcripts: Transcript[];
  /** Of all that was read and written; each prompt counts once. */
  usages: Usage[];
}

/** Sentences that are weighed at a time: two candidates each. */
const sentencesAtOnce = 32;
/** More would be read than the argument can be worth. */
const mostSentences = 256;

interface Reading extends Judged {
  /** By candidate that was read. */
  requestIds: string[];
}

/** Which transcript is being made, and by which side's turn it is. */
interface Turn {
  transcript: number;
  seed: number;
  turn: number;
  /** 0 speaks first. */
  position: 0 | 1;
  said: readonly Argument[];
}

/** One debate. Whatever is asked twice, such as the panel about a transcript that came out twice, is read once. */
export class Debate {
  readonly #debating: Debating;
  readonly #sentences: readonly string[];
  readonly #known = new Map<string, Promise<Reading>>();
  readonly #usages: Usage[] = [];
  #numAsked = 0;

  /** @throws ShouldersError: no question, one candidate, or too many sentences to choose among */
  constructor(debating: Debating) {
    this.#debating = debating;
    const { candidates, document, settings } = debating;
    questionOf(debating.request.prompt);
    if (candidates.length < 2) throw fieldError("candidates", "a debate needs two at least");
    this.#sentences = settings.arguments === "quotes" ? sentencesOf(document ?? "") : [];
    if (this.#sentences.length > mostSentences)
      throw fieldError(
        "document",
        `sentences are weighed one by one, ${mostSentences} at most, and it has ${this.#sentences.length}: shorten it, or ask for arguments as text`,
      );
  }

  get usages(): Usage[] {
    return this.#usages;
  }

  get sentences(): readonly string[] {
    return this.#sentences;
  }

  /**
   * Both sides argue in every transcript, and the panel judges.
   * @throws ShouldersError of the engine, or the reason of the signal
   */
  async run(): Promise<Debated> {
    const { settings } = this.#debating;
    const without = (await this.panel("")).probabilities;
    await this.#tell({ type: "judged", transcript: null, members: without });
    const pair = pairOf(outcomeOf(without, [], settings).probability);
    const [one, other] = pair;
    const orders = settings.orders === "both" ? [pair, [other, one] as const] : [pair];
    const plans = Array.from({ length: settings.seeds }, (_, seed) =>
      orders.map((order) => ({ seed, order })),
    ).flat();
    const transcripts: Transcript[] = [];
    // What is written comes side by side; choosing among sentences has enough to read by itself.
    if (settings.arguments === "text")
      transcripts.push(
        ...(await Promise.all(plans.map(({ order, seed }, index) => this.#hold(index, order, seed)))),
      );
    else
      for (const [index, { order, seed }] of plans.entries())
        transcripts.push(await this.#hold(index, order, seed));
    return { ...outcomeOf(without, transcripts, settings), pair, transcripts, usages: this.#usages };
  }

  /** What the panel says of all candidates after a transcript; empty: of the question by itself. */
  panel(transcript: string): Promise<Reading> {
    const { candidates, settings } = this.#debating;
    return this.#read("panel", transcript, settings.panel, candidates);
  }

  /** What the advocate says of the pair itself after a transcript. */
  advocate(transcript: string, pair: readonly [number, number]): Promise<Reading> {
    const { candidates, settings } = this.#debating;
    const two = pair.map((index) => candidates[index] ?? "");
    return this.#read(`advocate ${pair.join()}`, transcript, [settings.advocate], two);
  }

  /** What a side says next. */
  async argue(order: readonly [number, number], at: Turn): Promise<Argument> {
    const { settings } = this.#debating;
    const argument = await (settings.arguments === "quotes" ? this.#pick(order, at) : this.#write(order, at));
    await this.#tell({ type: "argued", transcript: at.transcript, argument });
    return argument;
  }

  text(said: readonly Pick<Argument, "candidate" | "heard">[]): string {
    const { candidates, settings } = this.#debating;
    return transcriptText(said, candidates, settings);
  }

  async #hold(transcript: number, order: readonly [number, number], seed: number): Promise<Transcript> {
    const said: Argument[] = [];
    for (let turn = 1; turn <= this.#debating.settings.turns; turn++)
      for (const position of [0, 1] as const)
        said.push(await this.argue(order, { transcript, seed, turn, position, said }));
    const { probabilities } = await this.panel(this.text(said));
    await this.#tell({ type: "judged", transcript, members: probabilities });
    return { seed, first: order[0], arguments: said, members: probabilities };
  }

  /** The sentence after which the advocate finds its side the likeliest, or one drawn by the odds of that. */
  async #pick(order: readonly [number, number], at: Turn): Promise<Argument> {
    const { candidate, turn } = { candidate: order[at.position], turn: at.turn };
    const left = this.#sentences.filter((sentence) => at.said.every(({ heard }) => heard !== sentence));
    const readings: Reading[] = [];
    const pair = [Math.min(...order), Math.max(...order)] as const;
    for (let from = 0; from < left.length; from += sentencesAtOnce)
      readings.push(
        ...(await Promise.all(
          left
            .slice(from, from + sentencesAtOnce)
            .map((heard) => this.advocate(this.text([...at.said, { heard, candidate }]), pair)),
        )),
      );
    const own = pair.indexOf(candidate);
    const odds = readings.map(({ scores }) => {
      const [law = []] = Object.values(scores);
      return (law[own] ?? 0) - (law[1 - own] ?? 0);
    });
    const chosen = at.seed === 0 ? bestOf(odds) : drawn(softmax(odds), this.#uniform(at));
    const text = left[chosen];
    if (text === undefined) return { turn, candidate, text: "", heard: "", quotes: [], traceId: null };
    await this.#tell({ type: "delta", transcript: at.transcript, turn, candidate, delta: text });
    const traceId = readings[chosen]?.requestIds[own] ?? readings[chosen]?.requestIds[0] ?? null;
    return { turn, candidate, text, heard: text, quotes: [{ text, isVerified: true }], traceId };
  }

  async #write(order: readonly [number, number], at: Turn): Promise<Argument> {
    const { generate, request, candidates, document, settings, signal } = this.#debating;
    const { transcript, turn, position } = at;
    const candidate = order[position];
    const parts = {
      ...{ candidate: candidates[candidate] ?? "", other: candidates[order[1 - position] ?? 0] ?? "" },
      ...{ transcript: this.text(at.said), document: document ?? "" },
    };
    const { sampling } = request;
    const temperature = at.seed === 0 ? 0 : sampling.temperature || 1;
    const asked: GenerationRequest = {
      ...(settings.advocate === "base" ? baseAlone(request) : request),
      ...{ requestId: this.#nextId("argument"), prompt: advocatePrompt(request.prompt, parts, settings) },
      ...{ maxTokens: settings.max_tokens, logprobs: "fused" },
      ...{ sampling: { ...sampling, temperature }, seed: this.#hash(at) },
    };
    let text = "";
    for await (const event of generate(asked, signal, true)) {
      if (event.type === "delta") {
        text += event.text;
        await this.#tell({ type: "delta", transcript, turn, candidate, delta: event.text });
      }
      if (event.type !== "done") continue;
      this.#usages.push(event.usage);
      const whole = text.trim();
      const checked =
        settings.quotes === "verified" ? verifyQuotes(whole, document ?? "") : { heard: whole, quotes: [] };
      return { turn, candidate, text: whole, ...checked, traceId: asked.requestId };
    }
    signal.throwIfAborted();
    throw new ShouldersError("engine_died", "The engine ended an argument without its end.");
  }

  #read(who: string, transcript: string, laws: readonly Law[], texts: readonly string[]): Promise<Reading> {
    const key = `${who}\n${transcript}`;
    const known = this.#known.get(key) ?? this.#judge(transcript, laws, texts);
    this.#known.set(key, known);
    return known;
  }

  async #judge(transcript: string, laws: readonly Law[], texts: readonly string[]): Promise<Reading> {
    const { engine, generate, request, settings, normalise, endToken, signal } = this.#debating;
    const requestId = this.#nextId("reading");
    const requestIds: string[] = [];
    const judged = await judge({
      ...{ engine, endToken, signal, candidates: texts },
      request: { ...request, requestId, prompt: panelPrompt(request.prompt, transcript, settings) },
      generate: (asked, either) => {
        requestIds.push(asked.requestId);
        return generate(asked, either, requestIds.length === 1);
      },
      options: { laws: laws as [Law, ...Law[]], normalise, confidence: null },
    });
    const [first, ...others] = judged.usages;
    if (first) this.#usages.push(first, ...others.map(withoutPrompt));
    return { ...judged, requestIds };
  }

  #tell(event: DebateEvent): Promise<void> {
    return this.#debating.tell?.(event) ?? Promise.resolve();
  }

  #nextId(what: string): string {
    return `${this.#debating.request.requestId}-${what}-${++this.#numAsked}`;
  }

  /** 32 bits for a turn. Which candidate speaks does not matter, so candidates that change places change nothing else. */
  #hash({ seed, turn, position }: Turn): number {
    const all = [this.#debating.settings.seed, seed, turn, position];
    return createHash("sha256").update(all.join(" ")).digest().readUInt32LE(0);
  }

  #uniform(at: Turn): number {
    return this.#hash(at) / 2 ** 32;
  }
}

/**
 * Two advocates argue for opposing candidates, and a panel judges by its likelihoods. When one fails, all end.
 * @throws ShouldersError of the engine, or the reason of the signal
 */
export async function debate(debating: Debating): Promise<Debated> {
  const own = new AbortController();
  const signal = AbortSignal.any([debating.signal, own.signal]);
  // Every advocate and every member listens.
  setMaxListeners(0, signal);
  try {
    return await new Debate({ ...debating, signal }).run();
  } finally {
    own.abort();
  }
}

export const withoutPrompt = (usage: Usage): Usage => ({ ...usage, promptTokens: 0, cachedTokens: 0 });

/** The two likeliest, in the order in which they stand. */
function pairOf(probability: readonly number[]): readonly [number, number] {
  const first = bestOf(probability);
  const second = bestOf(probability.map((value, index) => (index === first ? -1 : value)));
  return [Math.min(first, second), Math.max(first, second)];
}

function baseAlone(request: GenerationRequest): GenerationRequest {
  const strategy: StrategyConfig = { type: "base" };
  return { ...request, strategy, bounds: null, prior: null, budget: null, loss: 0 };
}

/** The index at which the cumulated shares pass a number from 0 to 1. */
function drawn(shares: readonly number[], uniform: number): number {
  let sum = 0;
  const index = shares.findIndex((share) => (sum += share) > uniform);
  return index < 0 ? shares.length - 1 : index;
}
