import { existsSync } from "node:fs";
import path from "node:path";
import { root } from "../support/real-engine.js";

/**
 * The models that models/real/fetch.py fetches, trained by others; those that are there. `unlike`: nats by which libllama
 * itself moves a token when it reads the same prompt in other batches, or into cells that are not in its order.
 */
export const realModels = [
  {
    id: "smollm2",
    file: "SmolLM2-135M-Instruct.Q4_1.gguf",
    vocabularySize: 49_152,
    chats: true,
    unlike: { batches: 0.01, cells: 0.4 },
  },
  {
    id: "gemma",
    file: "gemma-3-270m-Q4_K_M.gguf",
    vocabularySize: 262_144,
    chats: false,
    unlike: { batches: 0.5, cells: 0.5 },
  },
].filter(({ file }) => existsSync(path.join(root, "models/real", file)));

/** Its path; takes the place of a starter model's name in `resolvedConfig`. */
export const realPath = (file: string) => `../../../models/real/${file.replace(/\.gguf$/, "")}`;

/** 50 things to ask, short and of several kinds. */
export const requests = [
  "gold",
  "the moon",
  "Paris",
  "bread",
  "the sea",
  "a cat",
  "snow",
  "a bridge",
  "music",
  "time",
].flatMap((topic) => [
  `What is ${topic}?`,
  `Write one short sentence about ${topic}.`,
  `Name three things that have to do with ${topic}.`,
  `Translate "${topic}" into French.`,
  `Is ${topic} bigger than a house? Answer yes or no, and why.`,
]);
