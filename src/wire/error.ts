import { z } from "zod";
import { errorCodes, errorTypes } from "../errors.js";
import { named } from "./registry.js";

export const errorDetailSchema = z.strictObject({
  message: z.string().describe("What is wrong, and what to do."),
  type: z.enum(errorTypes),
  param: z.string().nullable().describe("Dotted path of the field at fault."),
  code: z.enum(errorCodes),
});

export const errorBodySchema = named("Error", z.strictObject({ error: errorDetailSchema }));

export type ErrorBody = z.output<typeof errorBodySchema>;
