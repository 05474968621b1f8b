import type { Usage } from "../protocol/protocol.js";
import type { TokenRecord } from "../wire/token-record.js";
import { Meters } from "./meters.js";

const weightBuckets = [-1, -0.5, 0, 0.1, 0.25, 0.5, 0.75, 1, 1.25, 1.5, 2, 4];
const shareBuckets = [0.001, 0.01, 0.05, 0.1, 0.25, 0.5, 0.75, 0.9, 0.95, 0.99, 0.999, 1];
const divergenceBuckets = [0.0001, 0.001, 0.003, 0.01, 0.03, 0.1, 0.3, 1, 3, 10];
const evaluationBuckets = [1, 2, 4, 8, 16, 32, 64, 128, 256];

export interface CompletionTimer {
  tokens(records: readonly TokenRecord[]): void;
  /** @param queueMs how long it waited for a sequence, where the engine said it. */
  end(usage: Usage, queueMs: number | null): void;
}

/** What is measured of answers and their tokens. */
export class AnswerMetrics extends Meters {
  readonly #keyTokens = this.counter("key_generated_tokens_total", "Tokens generated, by API key.", ["key"]);
  readonly #queue = this.histogram("queue_seconds", "Wait of a request for its sequence.");
  readonly #firstToken = this.histogram("time_to_first_token_seconds", "From request to first token.");
  readonly #interToken = this.histogram("inter_token_latency_seconds", "Between tokens of a request.");
  readonly #duration = this.histogram("request_duration_seconds", "From request to its last token.");
  readonly #promptTokens = this.counter("prompt_tokens_total", "Tokens of accepted prompts.");
  readonly #cachedTokens = this.counter("cached_prompt_tokens_total", "Of those, found in the cache.");
  readonly #generatedTokens = this.counter("generated_tokens_total", "Tokens generated.");
  readonly #basePasses = this.counter("base_passes_total", "Decodes of a base for an answer.");
  readonly #certainTokens = this.counter(
    "certain_tokens_total",
    "Tokens that experts settled without the base.",
  );
  readonly #uncertifiedTokens = this.counter(
    "uncertified_tokens_total",
    "Tokens of which too little of the base's row was known to be sure.",
  );
  readonly #drafts = this.counter("spec_decode_num_drafts_total", "Blocks in which tokens were guessed.");
  readonly #draftTokens = this.counter("spec_decode_num_draft_tokens_total", "Tokens that were guessed.");
  readonly #acceptedTokens = this.counter(
    "spec_decode_num_accepted_tokens_total",
    "Guesses at tokens that were right.",
  );
  readonly #acceptedAt = this.counter(
    "spec_decode_num_accepted_tokens_per_pos_total",
    "The same by their place among the guesses of their block.",
    ["position"],
  );
  readonly #evaluations = this.histogram(
    "solve_evaluations",
    "Passes over a row that its solve took.",
    [],
    evaluationBuckets,
  );
  readonly #weight = this.histogram(
    "fusion_weight",
    "Weight of an expert at a token.",
    ["config", "expert"],
    weightBuckets,
  );
  readonly #share = this.histogram(
    "fusion_share",
    "Share of a mixture's component before a token: base, or an expert.",
    ["config", "component"],
    shareBuckets,
  );
  readonly #divergence = this.histogram(
    "divergence_nats",
    "Divergence of the fused row from the base's over the tokens that take part: forward KL(fused||base), reverse.",
    ["config", "direction"],
    divergenceBuckets,
  );
  readonly #nats = this.histogram(
    "moved_nats",
    "How far a token's row was moved: KL(fused||base) over the whole vocabulary.",
    ["config"],
    divergenceBuckets,
  );
  readonly #decided = this.counter(
    "decided_tokens_total",
    "Tokens by what made them so: weight, plausible_set, certain, base or grammar.",
    ["config", "by"],
  );
  readonly #flipped = this.counter(
    "flipped_tokens_total",
    "Tokens at which the fused row's best token is not the base's.",
    ["config"],
  );

  readonly #vouched = this.counter(
    "vouched_tokens_total",
    "Tokens by whose own best they are: both, expert, base or nobody.",
    ["config", "by"],
  );
  readonly #contested = this.counter(
    "contested_tokens_total",
    "Tokens at which the surest of several models alone would have said another.",
    ["config"],
  );

  start(config: string, owner: string): CompletionTimer {
    const startedAt = performance.now();
    let lastAt: number | null = null;
    return {
      tokens: (records) => {
        if (records.length === 0) return;
        const now = performance.now();
        if (lastAt === null) this.#firstToken.observe((now - startedAt) / 1000);
        else {
          const gap = (now - lastAt) / 1000 / records.length;
          records.forEach(() => this.#interToken.observe(gap));
        }
        lastAt = now;
        for (const record of records) this.#token(config, record);
      },
      end: (usage, queueMs) => {
        if (queueMs !== null) this.#queue.observe(queueMs / 1000);
        this.#duration.observe((performance.now() - startedAt) / 1000);
        this.#promptTokens.inc(usage.promptTokens);
        this.#cachedTokens.inc(usage.cachedTokens);
        this.#generatedTokens.inc(usage.completionTokens);
        this.#basePasses.inc(usage.fusion.basePasses);
        this.#certainTokens.inc(usage.fusion.certain);
        this.#uncertifiedTokens.inc(usage.fusion.uncertified);
        this.#drafts.inc(usage.fusion.drafts);
        this.#draftTokens.inc(usage.fusion.drafted);
        this.#acceptedTokens.inc(usage.fusion.accepted);
        usage.fusion.acceptedAt.forEach((count, position) => this.#acceptedAt.inc({ position }, count));
        this.#keyTokens.inc({ key: owner }, usage.completionTokens);
      },
    };
  }

  #token(config: string, record: TokenRecord): void {
    const {
      weights,
      shares = {},
      divergence,
      nats,
      decided_by,
      evaluations,
      flipped,
      vouch,
      contested,
    } = record;
    for (const [expert, weight] of Object.entries(weights)) this.#weight.observe({ config, expert }, weight);
    for (const [component, share] of Object.entries(shares))
      this.#share.observe({ config, component }, share);
    for (const direction of ["forward", "reverse"] as const)
      if (divergence[direction] !== null)
        this.#divergence.observe({ config, direction }, divergence[direction]);
    if (flipped !== null) this.#evaluations.observe(evaluations);
    if (nats !== null) this.#nats.observe({ config }, nats);
    this.#decided.inc({ config, by: decided_by });
    this.#vouched.inc({ config, by: vouch });
    if (contested) this.#contested.inc({ config });
    if (flipped) this.#flipped.inc({ config });
  }
}
