import { z } from "zod";
import type { Logger } from "../log.js";
import type { MeasuredFigures } from "../protocol/description.js";
import { KeptFiles } from "./kept-files.js";

const nats = z.number();

const figuresSchema: z.ZodType<MeasuredFigures> = z.strictObject({
  experts: z.record(z.string(), z.strictObject({ klNats: nats })),
  text: z.strictObject({ baseNats: nats, referenceNats: nats, numTexts: z.int() }).nullable(),
});

/** Figures that `check` has measured, by the digest of the config that they hold for. */
export const keptFigures = (log: Pick<Logger, "debug">): KeptFiles<MeasuredFigures> =>
  new KeptFiles("measured-figures", figuresSchema, log);
