import { z } from "zod";

/** Settings of sampling as answers tell of them. */
export const samplingFields = {
  temperature: z.number(),
  top_k: z.int(),
  top_p: z.number(),
  min_p: z.number(),
  typical_p: z.number(),
  repeat_penalty: z.number(),
  presence_penalty: z.number(),
  frequency_penalty: z.number(),
};

export type SamplingBody = z.output<z.ZodObject<typeof samplingFields>>;
