import { z } from "zod";

/** A file of a model, as a person names it. */
export const modelPath = z
  .string()
  .min(1)
  .describe(
    "GGUF file: a path relative to this config file, an absolute path, or an hf: URI (downloaded once).",
  );
