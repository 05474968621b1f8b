import { createHash, randomUUID } from "node:crypto";
import { setMaxListeners } from "node:events";
import { mean } from "simple-statistics";
import { z } from "zod";
import { samplingSchema } from "../config/fusion-config.js";
import type { Logger } from "../log.js";
import {
  plainRequest,
  type GenerationEvent,
  type GenerationRequest,
  type Prompt,
  type ResolvedFusionConfig,
} from "../protocol/protocol.js";
import { plainPrompts } from "../routing/plain-prompts.js";
import { defaultFloor } from "../strategies/mixture.js";
import type { StrategyConfig } from "../strategies/registry.js";
import type { PriorRequest } from "../strategies/strategy.js";
import type { TokenRecord } from "../wire/token-record.js";
import { configDigester } from "./config-digest.js";
import { hardShift } from "./findings.js";
import { KeptFiles } from "./kept-files.js";

/**
 * Which of several experts a prompt is for, where no card knows: each begins an answer on the base, and the one with the
 * largest r · p answers. r is how far it is from the reference along its tokens, KL(Q_t‖Q), over what that is for prompts
 * of no task; p is the geometric mean of the probabilities of its tokens. Where all were tuned hard, all are far
 * whatever they are asked, and have equal shares.
 */

/** Tokens of each beginning. */
const numTokens = 12;
/** Every so many prompts of no task one is asked, to know how far an expert usually is. */
const plainStep = 2;
/** Elections that are remembered: several answers to a prompt, and its audits, have one. */
const mostRemembered = 256;

const greedy = samplingSchema.parse({ temperature: 0 });
const usualSchema = z.record(z.string(), z.number().positive());
type Usual = z.output<typeof usualSchema>;

/** Texts that are given as they stand are their own kind of prompt. */
type Form = "chat" | "text";

/** What an expert's beginning of an answer is like. */
interface Beginning {
  /** Mean KL(Q_t‖Q), nats. */
  distance: number;
  /** Mean ln p of its tokens. */
  logprob: number;
}

/** Nearer than this an expert says what the reference says, and no distance is divided by less. */
const leastDistance = 1e-6;

/** The base with one expert, so that no other is decoded: as it speaks without a card, or over all tokens. */
const strategyOf = (expert: string, over: "usual" | "all"): StrategyConfig => ({
  type: "mixture",
  prior: { [expert]: 1 },
  components: over === "usual" ? {} : { [expert]: { kind: "fused", weight: 1, plausibility: null } },
  floor: defaultFloor,
});

/** Asks an engine, beside what others ask of it. */
type Ask = (request: GenerationRequest, signal: AbortSignal) => AsyncIterable<GenerationEvent>;
type Asker = Pick<GenerationRequest, "owner" | "party">;

/** The experts' shares where there is no card. */
export class Elections {
  readonly #configs: ReadonlyMap<string, ResolvedFusionConfig>;
  readonly #ask: Ask;
  readonly #kept: KeptFiles<Usual>;
  readonly #digestOf = configDigester();
  readonly #usual = new Map<string, Promise<Usual>>();
  readonly #elected = new Map<string, { signal: AbortSignal | null; prior: Promise<PriorRequest> }>();

  constructor(configs: readonly ResolvedFusionConfig[], ask: Ask, log: Pick<Logger, "debug">) {
    this.#configs = new Map(configs.map((resolved) => [resolved.config.id, resolved]));
    this.#ask = ask;
    this.#kept = new KeptFiles("usual-distances", usualSchema, log);
  }

  /** Whether nobody knows which experts this request is for. */
  isNeeded({ configId, strategy, prior }: GenerationRequest): boolean {
    const resolved = this.#configs.get(configId);
    if (resolved === undefined || resolved.card !== null || resolved.config.experts.length < 2) return false;
    const { config } = resolved;
    const chosen = strategy ?? config.strategy;
    return (
      config.reference !== null && chosen.type === "mixture" && chosen.prior === "card" && !prior?.shares
    );
  }

  /** The same request with all shares given to the expert that its prompt is for. */
  async decide(request: GenerationRequest, signal: AbortSignal): Promise<GenerationRequest> {
    // Each beginning of an answer listens.
    setMaxListeners(0, signal);
    const prior = await this.#priorOf(request, signal);
    return { ...request, prior: request.prior === null ? prior : { ...request.prior, shares: prior.shares } };
  }

  #priorOf(request: GenerationRequest, signal: AbortSignal): Promise<PriorRequest> {
    const { owner, configId, prompt } = request;
    const key = createHash("sha256")
      .update(JSON.stringify([owner, configId, prompt]))
      .digest("base64");
    const known = this.#elected.get(key);
    // What another request still waits for may be given up with that request.
    if (known !== undefined && (known.signal === null || known.signal === signal)) return known.prior;
    const prior = this.#elect(request, signal);
    const entry = { signal: signal as AbortSignal | null, prior };
    this.#elected.delete(key);
    this.#elected.set(key, entry);
    prior.then(
      () => (entry.signal = null),
      () => this.#elected.get(key) === entry && this.#elected.delete(key),
    );
    if (this.#elected.size > mostRemembered) {
      const [oldest = ""] = this.#elected.keys();
      this.#elected.delete(oldest);
    }
    return prior;
  }

  async #elect(request: GenerationRequest, signal: AbortSignal): Promise<PriorRequest> {
    const { configId, prompt } = request;
    const ids = this.#expertsOf(configId);
    const usual = await this.#usualOf(configId, prompt.type === "chat" ? "chat" : "text");
    if (ids.every((id) => (usual[id] ?? 0) >= hardShift))
      return { shares: Object.fromEntries(ids.map((id) => [id, 1])), bias: {}, isPinned: false };
    const begun = await Promise.all(ids.map((id) => this.#begin(configId, id, prompt, request, signal)));
    const scores = ids.map((id, index) => {
      const { distance, logprob } = begun[index] as Beginning;
      return distance < leastDistance ? -Infinity : Math.log(distance / (usual[id] ?? 1)) + logprob;
    });
    const winner = ids[scores.indexOf(Math.max(...scores))] as string;
    return { shares: { [winner]: 1 }, bias: {}, isPinned: false };
  }

  #expertsOf(configId: string): string[] {
    return this.#configs.get(configId)?.config.experts.map(({ id }) => id) ?? [];
  }

  /** How far each expert is from the reference for prompts of no task: asked once in each form, and kept. */
  async #usualOf(configId: string, form: Form): Promise<Usual> {
    const key = `${configId} ${form}`;
    const known = this.#usual.get(key);
    if (known !== undefined) return known;
    const measured = this.#measureUsual(configId, form);
    this.#usual.set(key, measured);
    measured.catch(() => this.#usual.delete(key));
    return measured;
  }

  async #measureUsual(configId: string, form: Form): Promise<Usual> {
    const resolved = this.#configs.get(configId) as ResolvedFusionConfig;
    const key = `${this.#digestOf(resolved)}-${form}`;
    const kept = this.#kept.read(key);
    if (kept !== null) return kept;
    const asker = { owner: "election", party: "election" };
    const { signal } = new AbortController();
    setMaxListeners(0, signal);
    const prompts = plainPrompts.filter((_, index) => index % plainStep === 0);
    const distances = new Map(this.#expertsOf(configId).map((id) => [id, [] as number[]]));
    // A few at a time: others are answered meanwhile.
    for (const text of prompts) {
      const prompt: Prompt =
        form === "text"
          ? { type: "text", text }
          : { type: "chat", messages: [{ role: "user", content: text }] };
      await Promise.all(
        [...distances].map(async ([id, values]) =>
          values.push((await this.#begin(configId, id, prompt, asker, signal)).distance),
        ),
      );
    }
    const usual = Object.fromEntries(
      [...distances].map(([id, values]) => [id, Math.max(mean(values), leastDistance)]),
    );
    this.#kept.keep(key, usual);
    return usual;
  }

  /** What it would say, and then, over all tokens, how far that is from the reference and how sure. */
  async #begin(
    configId: string,
    expert: string,
    prompt: Prompt,
    { owner, party }: Asker,
    signal: AbortSignal,
  ): Promise<Beginning> {
    const plain = { ...plainRequest, owner, party, configId, prompt, sampling: greedy };
    const said = await this.#recordsOf(
      { ...plain, requestId: randomUUID(), strategy: strategyOf(expert, "usual"), maxTokens: numTokens },
      signal,
    );
    const tokens = said.records.map(({ token }) => token.id).slice(0, said.hasEnded ? -1 : numTokens);
    const { records } = await this.#recordsOf(
      {
        ...plain,
        requestId: randomUUID(),
        strategy: strategyOf(expert, "all"),
        answerPrefix: tokens.length === 0 ? null : { type: "tokens", tokens },
        maxTokens: 1,
      },
      signal,
    );
    const heard = records.slice(0, numTokens);
    if (heard.length === 0) return { distance: 0, logprob: 0 };
    return {
      distance: mean(heard.map(({ divergence }) => divergence.targets[expert]?.forward ?? 0)),
      logprob: mean(heard.map(({ logprob }) => logprob)),
    };
  }

  async #recordsOf(
    request: GenerationRequest,
    signal: AbortSignal,
  ): Promise<{ records: TokenRecord[]; hasEnded: boolean }> {
    const records: TokenRecord[] = [];
    let hasEnded = false;
    for await (const event of this.#ask(request, signal)) {
      if (event.type === "accepted") continue;
      records.push(...event.tokens.map(({ record }) => record));
      hasEnded = event.type === "done" && event.finishReason === "stop";
    }
    signal.throwIfAborted();
    return { records, hasEnded };
  }
}
