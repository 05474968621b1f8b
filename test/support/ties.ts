import { expect } from "vitest";
import type { Answer } from "./real-engine.js";

/**
 * Float results depend on the shape of the batch, so two tokens of nearly the same probability may change
 * places; anything else is a fault. Logits differ by a few thousandths of a nat, and a solved weight makes up to
 * some hundredths of that.
 */
export const tieNats = 0.1;

/**
 * Expects the tokens of both, greedy and with two alternatives or more, to be equal up to the first tie.
 *
 * @param nats between two tokens that are one.
 * @returns whether they are equal throughout.
 */
export function expectSameButTies(alone: Answer, other: Answer, name: string, nats = tieNats): boolean {
  const first = alone.ids.findIndex((id, position) => id !== other.ids[position]);
  if (first < 0) {
    expect(other.text, name).toBe(alone.text);
    return true;
  }
  const [best, ...others] = alone.tokens[first]!.topLogprobs;
  const taken = others.find(({ id }) => id === other.ids[first]);
  expect(taken, `${name}: token ${first}`).toBeDefined();
  expect(best!.logprob - taken!.logprob, `${name}: token ${first}`).toBeLessThan(nats);
  return false;
}
