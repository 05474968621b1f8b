import type { TokenCandidate, TokenRecord } from "../wire/token-record.js";

export type FinishReason = "stop" | "length";

export interface Usage {
  promptTokens: number;
  /** Tokens sampled, an end-of-sequence token included. */
  completionTokens: number;
  cachedTokens: number;
  /** Of the completion's: those of what was thought before the answer. */
  reasoningTokens: number;
  fusion: FusionUsage;
}

/** How far the experts moved an answer. */
export interface FusionUsage {
  /** Σ KL(P̃‖P) over the tokens of the answer, P̃ the fused law and P the base's over the whole vocabulary. */
  nats: number;
  /** Tokens at which the fused argmax was not the base's. */
  flipped: number;
  /** Tokens that were weighed: nats and flipped are over these. */
  tokens: number;
  /** Tokens that experts' rows alone settled. */
  certain: number;
  /** Tokens at which the surest of several models by itself says another than the fused argmax. */
  contested: number;
  /** Tokens that are nobody's own best. */
  unvouched: number;
  /** Decodes of the base after the prompt was read but for its last token. */
  basePasses: number;
  /** Blocks in which tokens were guessed: from an expert's row, the client's prediction or the answer's own text. */
  drafts: number;
  /** Tokens of these that were guessed, and those that were right. */
  drafted: number;
  accepted: number;
  /** The latter by their place among the guesses of their block. */
  acceptedAt: readonly number[];
  /** Total variation that was spent of the request's `loss`. */
  lost: number;
  /** Tokens that might have been others, had all of the base's row been known; of a base on another server. */
  uncertified: number;
  /** How far the law of such a token can have been from that of the whole row, total variation: the most of them. */
  unknown: number;
  /** Mean over all tokens of the share of a mixture's experts that did not run; 0 for other strategies. */
  skippedShare: number;
}

/** The usage of an answer that has not begun. */
export const noUsage: Usage = {
  promptTokens: 0,
  completionTokens: 0,
  cachedTokens: 0,
  reasoningTokens: 0,
  fusion: {
    nats: 0,
    flipped: 0,
    tokens: 0,
    certain: 0,
    contested: 0,
    unvouched: 0,
    basePasses: 0,
    drafts: 0,
    drafted: 0,
    accepted: 0,
    acceptedAt: [],
    lost: 0,
    uncertified: 0,
    unknown: 0,
    skippedShare: 0,
  },
};

/** What the server adds to an answer, from what people said of earlier ones. */
export interface Outlook {
  /** The rating that it would probably get, 0 to 1. */
  predicted?: number;
  /** How it was chosen of several. */
  picked?: { of: number; head: "likelihood" | "mean" | "all" };
  /** The policy that it was drawn with, and its probability. */
  policy?: { id: string; probability: number };
}

/** What another strategy makes of a place in an answer. */
export interface OtherLaw {
  /** Of the token that is there. */
  logprob: number;
  /** The most likely token, and whether it would end the answer. */
  best: { token: number; logprob: number; isEnd: boolean };
}

/** One sampled token: its trace record, its exact bytes, and the alternatives that were asked for. */
export interface GeneratedToken {
  record: TokenRecord;
  bytes: Uint8Array;
  topLogprobs: (TokenCandidate & { bytes: Uint8Array })[];
  /** Its log-probability under the base and under each expert that ran, each alone, by `base` and id; where wanted. */
  members?: Record<string, number>;
  /** By the request's `alsoBy`, in its order; left out where it names none. */
  alsoBy?: OtherLaw[];
}

export type GenerationEvent =
  /** The prompt is tokenized and fits; it waits for, or has, a sequence. */
  | { type: "accepted"; promptTokens: number }
  /** `reasoning`: what was thought, before the text. Text that is safe to show (whole characters, no part of a stop string) and the tokens it came from. */
  | { type: "delta"; reasoning?: string; text: string; tokens: GeneratedToken[] }
  /** The last event. `tokens`: sampled but never shown (the end-of-sequence token, tokens of a stop string). */
  | {
      type: "done";
      finishReason: FinishReason;
      stopString: string | null;
      tokens: GeneratedToken[];
      usage: Usage;
      /** How long the request waited for a sequence, ms. */
      queueMs: number;
      /**
       * What the reference's rows at the end of its prompt say about the prompt (routing/feature.ts),
       * where it was wanted and the prompt has two tokens.
       */
      feature: number[] | null;
      /** The server's, where it has something to add. */
      outlook?: Outlook;
    };
