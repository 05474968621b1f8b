import type { TokenRecord } from "../wire/token-record.js";

/**
 * What is kept of an answer so that a rating can be understood when its trace is gone: a few numbers a token, none of
 * which tells a text. What needs the base is 0 at a token for which it was not asked; `certain` says so.
 */
export const features = [
  { name: "surprise", of: ({ logprob }) => -logprob },
  { name: "base surprise", of: ({ logprob, log_ratio: ratio }) => (ratio === null ? 0 : ratio - logprob) },
  { name: "base unsure", of: ({ base_token: best }) => -(best?.logprob ?? 0) },
  { name: "nats", of: ({ nats }) => nats ?? 0 },
  { name: "reverse nats", of: ({ divergence }) => divergence.reverse ?? 0 },
  { name: "tuning", of: ({ divergence }) => mostOf(divergence.targets, "forward") },
  { name: "reverse tuning", of: ({ divergence }) => mostOf(divergence.targets, "reverse") },
  { name: "log ratio", of: ({ log_ratio: ratio }) => ratio ?? 0 },
  { name: "flipped", of: ({ flipped }) => Number(flipped ?? false) },
  { name: "expert's best", of: ({ vouch }) => Number(vouch === "expert" || vouch === "both") },
  { name: "base's best", of: ({ vouch }) => Number(vouch === "base" || vouch === "both") },
  { name: "nobody's best", of: ({ vouch }) => Number(vouch === "nobody") },
  { name: "left out", of: ({ decided_by: decided }) => Number(decided === "plausible_set") },
  { name: "certain", of: ({ decided_by: decided }) => Number(decided === "certain") },
  { name: "place", of: (_record, index) => Math.log1p(index) },
] as const satisfies readonly { name: string; of: (record: TokenRecord, index: number) => number }[];

export const numFeatures = features.length;

type Targets = TokenRecord["divergence"]["targets"];

function mostOf(targets: Targets, side: "forward" | "reverse"): number {
  let most = 0;
  for (const id in targets) most = Math.max(most, targets[id]?.[side] ?? 0);
  return most;
}

/** Steps of a kept number: numbers are nats or near 1, from -32 to 32. */
const scale = 1000;

/** Gathers the bag of an answer while it comes. */
export class BagWriter {
  readonly #values: number[] = [];
  #numTokens = 0;

  get numTokens(): number {
    return this.#numTokens;
  }

  add(record: TokenRecord): void {
    for (const { of } of features) this.#values.push(toStep(of(record, this.#numTokens)));
    this.#numTokens++;
  }

  /** As `readBag` reads them. */
  get values(): Float64Array {
    return Float64Array.from(this.#values, (step) => step / scale);
  }

  /** 30 bytes a token, in base64. */
  toString(): string {
    const { buffer } = Int16Array.from(this.#values);
    return Buffer.from(buffer).toString("base64");
  }
}

/** What is no number, such as the divergence of laws that exclude each other, is as large as can be. */
const toStep = (value: number): number =>
  Math.round(Math.min(32, Math.max(-32, Number.isNaN(value) ? 32 : value)) * scale);

/** @returns the features of each token in turn, `numFeatures` numbers each */
export function readBag(text: string): Float64Array {
  const bytes = Buffer.from(text, "base64");
  const steps = new Int16Array(bytes.buffer.slice(bytes.byteOffset, bytes.byteOffset + bytes.length));
  return Float64Array.from(steps, (step) => step / scale);
}
