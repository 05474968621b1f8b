import { z } from "zod";
import type { GeneratedToken } from "../protocol/protocol.js";

/** A prompt's answer as training data: a line of what `distill` writes. */

const messageSchema = z.strictObject({ role: z.string(), content: z.string() });
const logprob = z.number().max(0);

/** One token of an answer: what the law said there. */
const labelTokenSchema = z.strictObject({
  id: z.int().min(0),
  /** The most probable tokens as [id, log-probability], best first; their probabilities and the tail's add up to 1. */
  top: z.array(z.tuple([z.int().min(0), logprob])),
  /** ln of the probability of all others together; -9999: there is none. */
  tail: logprob,
  /** Expert id to its weight. */
  weights: z.record(z.string(), z.number()),
  /** Whose own best the token was; null: a law of one model alone. */
  vouch: z.enum(["both", "expert", "base", "nobody"]).nullable(),
});

export type LabelToken = z.output<typeof labelTokenSchema>;

export const labelSchema = z.strictObject({
  /** Digest of all that decides the answer. */
  key: z.string(),
  /** Index of the prompt in its file, and of the answer to it. */
  item: z.int().min(0),
  sample: z.int().min(0),
  /** A conversation with its answer. */
  messages: z.array(messageSchema).optional(),
  /** Instead: a text and what comes behind it, or of a preference what came before. */
  prompt: z.union([z.string(), z.array(messageSchema)]).optional(),
  completion: z.string().optional(),
  chosen: z.union([z.string(), z.array(messageSchema)]).optional(),
  rejected: z.union([z.string(), z.array(messageSchema)]).optional(),
  tokens: z.array(labelTokenSchema),
  /** Candidates and their probabilities, where the law is a verdict. */
  candidates: z.array(z.tuple([z.string(), z.number()])).optional(),
  /** Log-probability of the whole answer under the law, nats. */
  logprob,
  /** Its probability, by which the surest are chosen: of a verdict that of its candidate, else of the answer. */
  trust: z.number().min(0).max(1),
  law: z.string(),
  /** Of everything about the config that can change an answer. */
  fingerprint: z.string(),
  /** Tokens that were read and written for it. */
  cost: z.strictObject({ promptTokens: z.int(), completionTokens: z.int(), basePasses: z.int() }),
});

export type Label = z.output<typeof labelSchema>;

/** Below it a rest is what rounding leaves of the top. */
const leastRest = 1e-6;

/** ln(1 − Σ p) of the top entries; -9999: nothing is left. */
export function tailOf(top: readonly (readonly [number, number])[]): number {
  const rest = 1 - top.reduce((sum, [, value]) => sum + Math.exp(value), 0);
  return rest < leastRest ? -9999 : Math.log(rest);
}

export function labelTokenOf({ record, topLogprobs }: GeneratedToken): LabelToken {
  const top = topLogprobs
    .filter((entry) => entry.logprob > -9999)
    .map((entry): [number, number] => [entry.id, entry.logprob]);
  const { token, weights, vouch } = record;
  return { id: token.id, top, tail: tailOf(top), weights, vouch };
}

/** The surest part of labels, in their order. @param share of them that is kept, above 0 up to 1. */
export function surest<One extends Pick<Label, "trust" | "logprob">>(
  labels: readonly One[],
  share: number,
): One[] {
  const count = Math.ceil(share * labels.length);
  const ranked = [...labels].sort((a, b) => b.trust - a.trust || b.logprob - a.logprob);
  const kept = new Set(ranked.slice(0, count));
  return labels.filter((label) => kept.has(label));
}
