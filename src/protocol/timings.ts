import { z } from "zod";

const waySchema = z.strictObject({
  mode: z.enum(["together", "in-turn"]),
  threads: z.record(z.string(), z.int().min(1).max(1024)),
  stepMs: z.number().positive(),
});

/** Timings, and what they hold for. */
export const knownTimingsSchema = z.strictObject({
  /** The key that `timingsKey` makes. */
  key: z.string(),
  /** Every way was timed as often as is wanted. */
  isSettled: z.boolean(),
  /** ISO. */
  date: z.iso.datetime(),
  timings: waySchema.extend({ batch: waySchema, promptTokenMs: z.number().nonnegative() }),
  /** What batches take each model: see `BatchCurves`. */
  curves: z.record(
    z.string(),
    z.array(z.strictObject({ tokens: z.int().min(1), rows: z.int().min(0), ms: z.number().positive() })),
  ),
});

/** Timings as they cross the pipe, and lie in the cache folder in a file of its own. */
export type KnownTimings = z.output<typeof knownTimingsSchema>;
