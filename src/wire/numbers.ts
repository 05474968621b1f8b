import { z } from "zod";
import { present } from "../errors.js";

/** Numbers as they are sent: no digit that means nothing, and no infinity, which JSON does not have. */

/** Adding 0 makes a negative zero a plain one. */
const roundTo = (factor: number, value: number): number => Math.round(value * factor) / factor + 0;

/** Weights, shares, objectives and other finite numbers, to a millionth. */
export const toRounded = (value: number): number => roundTo(1e6, value);

/** Nats to a millionth; null: there is no bound to how far. */
export const toNats = (value: number): number | null => (Number.isFinite(value) ? roundTo(1e6, value) : null);

/** Values by the ids in whose order they are. */
export const keyed = <Value>(ids: readonly string[], values: readonly Value[]): Record<string, Value> =>
  Object.fromEntries(ids.map((id, index) => [id, present(values[index], `value of ${id}`)]));

interface Directions {
  forward: number;
  reverse: number;
}

/** What a fusion achieved; a mixture may be without bound where one side excludes a token. */
export const toDivergence = ({ forward, reverse }: Directions) => ({
  forward: toNats(forward),
  reverse: toNats(reverse),
});

/** What tuning did to a small model, over the tokens that take part: always finite. */
export const toTarget = ({ forward, reverse }: Directions) => ({
  forward: toRounded(forward),
  reverse: toRounded(reverse),
});

/**
 * A log-probability to a millionth, which is what logits of 32 bits resolve; −9999: the token has none. Rounding may
 * leave a certain token a hair above 0.
 */
export const toLogprob = (value: number): number =>
  Number.isFinite(value) ? roundTo(1e6, Math.min(0, value)) : -9999;

/** Milliseconds to the microsecond. */
export const toMs = (value: number): number => roundTo(1e3, value);

export const natsSchema = z.number().nullable().describe("Nats; null: without bound.");
export const logprobSchema = z.number().max(0).describe("Nats; -9999: no probability.");
export const shareSchema = z.number().min(0).max(1);
export const countSchema = z.int().min(0);
export const msSchema = z.number().min(0).describe("Milliseconds.");
