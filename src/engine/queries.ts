import { ShouldersError } from "../errors.js";
import type { LoadedModel } from "../llama/types.js";
import type { LoadedConfig, LoadedModels } from "./loaded-models.js";
import { checkIds, renderPrompt, withBos } from "./prompts.js";
import type { EngineQuery, QueryOutcome, QueryResults } from "./protocol.js";

/** Answers what a vocabulary or a template can answer. */
export async function answerQuery(query: EngineQuery, models: LoadedModels): Promise<QueryOutcome> {
  try {
    const config = models.configs.get(query.configId);
    if (!config)
      throw new ShouldersError("model_not_found", `Unknown model "${query.configId}".`, { param: "model" });
    const loaded = models.slots.map((slot) => slot.model);
    return { result: await answer(query, config, loaded), error: null };
  } catch (error) {
    return { result: null, error: ShouldersError.from(error).toData() };
  }
}

async function answer(
  query: EngineQuery,
  config: LoadedConfig,
  models: readonly LoadedModel[],
): Promise<QueryResults[keyof QueryResults]> {
  const base = models[config.base] as LoadedModel;
  switch (query.type) {
    case "tokenize": {
      const plain = await base.tokenizeAside(query.text, query.parseSpecial);
      const ids = query.addSpecial ? withBos(plain, base) : plain;
      return { tokens: ids.map((id) => ({ id, bytes: base.vocabulary.bytes(id) })) };
    }
    case "detokenize":
      checkIds(query.tokens, config.vocabularySize, "tokens");
      return { bytes: Buffer.concat(query.tokens.map((id) => base.vocabulary.bytes(id))) };
    case "renderPrompt": {
      const { experts } = config.resolved.config;
      const roles: [string, number | null | undefined][] = [
        ["base", config.base],
        ["reference", config.reference],
        ...experts.map(({ id }, index): [string, number | undefined] => [id, config.experts[index]]),
      ];
      const prompts: QueryResults["renderPrompt"]["prompts"] = {};
      for (const [role, index] of roles) {
        if (index === null || index === undefined) continue;
        const { tokens } = await renderPrompt(query.prompt, index, config, models);
        prompts[role] = { text: promptText(tokens, base), tokens };
      }
      return { prompts };
    }
  }
}

/** The prompt as one would write it: control tokens by their names. */
function promptText(tokens: readonly number[], { vocabulary }: LoadedModel): string {
  const encoder = new TextEncoder();
  const bytes = tokens.map((id) =>
    vocabulary.isControl(id) ? encoder.encode(vocabulary.rawText(id)) : vocabulary.bytes(id),
  );
  return Buffer.concat(bytes).toString("utf8");
}
