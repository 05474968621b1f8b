import { expect } from "vitest";
import type { ModelContext } from "../../src/llama/types.js";
import { decodeRow } from "./llama.js";
import type { Answer } from "./real-engine.js";

/** Less than what batches of another shape make of a row. */
const tolerance = 2e-2;
/** The same where weights are quantized: what they are multiplied with is then rounded to 8 bits. */
export const quantizedTolerance = 0.15;

/**
 * Holds every token of a greedy answer against base + expert − reference, from plain contexts that read the same tokens
 * one after the other and share nothing: it is among the best, with that probability.
 *
 * @param options `nats` that numbers may differ by; `isGreedy`: false where the tokens were given
 */
export async function checkGreedy(
  contexts: readonly ModelContext[],
  prompt: readonly number[],
  { ids, tokens }: Pick<Answer, "ids" | "tokens">,
  { nats = tolerance, isGreedy = true } = {},
): Promise<void> {
  for (const context of contexts) context.removePositions(0, 0, null);
  let given = [...prompt];
  let start = 0;
  for (const [index, id] of ids.entries()) {
    const rows: Float32Array[] = [];
    for (const context of contexts) rows.push(await decodeRow(context, given, { start }));
    const [base, expert, reference] = rows as [Float32Array, Float32Array, Float32Array];
    const fused = base.map((logit, token) => logit + expert[token]! - reference[token]!);
    const best = Math.max(...fused);
    const all = best + Math.log(fused.reduce((sum, logit) => sum + Math.exp(logit - best), 0));
    if (isGreedy) expect(best - fused[id]!, `token ${index}`).toBeLessThan(nats);
    const { logprob } = tokens[index]!.record;
    expect(Math.abs(logprob - (fused[id]! - all)), `token ${index}`).toBeLessThan(nats);
    start += given.length;
    given = [id];
  }
}
