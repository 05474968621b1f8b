import type { LoadedFusionConfig } from "../config/load.js";
import type { Asked, Example } from "./ask.js";

export const referenceId = (configId: string): string => `${configId}.reference`;

/**
 * The config whose base is the reference of another, which may be loaded beside it: both share the file. None where there
 * is no reference.
 */
export function referenceAlone<Config extends Pick<LoadedFusionConfig, "config">>(loaded: Config): Config[] {
  const config = { ...loaded.config };
  const { id, reference } = config;
  if (reference === null) return [];
  // Without experts nothing is shared.
  delete config.sharedIds;
  const alone = { experts: [], fewShot: [], strategy: { type: "base" as const } };
  return [{ ...loaded, config: { ...config, ...alone, id: referenceId(id), base: reference } }];
}

/**
 * The config to read prompts in, for what the reference says of them: the reference's own, where it is loaded beside the
 * one that is asked, so that no large base reads them. But the same texts have to be the same tokens there, in a
 * vocabulary of the same size, or else the numbers would be others.
 */
export async function readerOf(
  { engine, configId, signal }: Asked,
  groups: readonly { examples: readonly Pick<Example, "prompt">[] }[],
): Promise<string> {
  const readerId = referenceId(configId);
  const sizeOf = (id: string) =>
    engine.description?.configs.find((config) => config.id === id)?.vocabularySize;
  if (sizeOf(readerId) !== sizeOf(configId)) return configId;
  for (const { examples } of groups) {
    const [example] = examples;
    if (example === undefined) continue;
    const tokensIn = async (id: string) => {
      const { prompts } = await engine.query({ type: "renderPrompt", configId: id, prompt: example.prompt });
      signal.throwIfAborted();
      return prompts["reference"]?.tokens.join(" ");
    };
    if ((await tokensIn(readerId)) !== (await tokensIn(configId))) return configId;
  }
  return readerId;
}
