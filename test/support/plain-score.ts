import type { LoadedModel } from "../../src/llama/types.js";
import { argmax, contextOptions, decodeRow } from "./llama.js";

/** A text of which what comes after the context is scored. */
export interface Item {
  ids: number[];
  contextLength: number;
}

export interface Score {
  /** Nats. */
  logprob: number;
  isGreedy: boolean;
}

/** By the model alone, one decode for each prefix. */
export async function plainScore(model: LoadedModel, { ids, contextLength }: Item): Promise<Score> {
  const own = model.createContext(contextOptions);
  const score = { logprob: 0, isGreedy: true };
  for (let length = contextLength; length < ids.length; length++) {
    own.removePositions(0, 0, null);
    const row = await decodeRow(own, ids.slice(0, length));
    const best = argmax(row);
    const total = row.reduce((sum, logit) => sum + Math.exp(logit - row[best]!), 0);
    score.logprob += row[ids[length]!]! - row[best]! - Math.log(total);
    score.isGreedy &&= best === ids[length];
  }
  await own[Symbol.asyncDispose]();
  return score;
}
