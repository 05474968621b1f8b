import { present, ShouldersError } from "../errors.js";
import type { ChatRenderer, LoadedModel } from "../llama/types.js";
import type { LoadedConfig, LoadedMember } from "./loaded-config.js";

type RenderingConfig = Pick<LoadedConfig, "resolved" | "base" | "reference" | "experts" | "roles">;

/**
 * Who writes a model's chats: the model itself, with the config's template or that of its own file; or another model of
 * the config where its file has none.
 *
 * @throws ShouldersError `fusion_config_invalid`: the config's template does not work
 */
export function rendererOf(
  index: number,
  { resolved, base, reference, experts, roles }: RenderingConfig,
  models: readonly LoadedModel[],
): ChatRenderer {
  const { id, chatTemplate } = resolved.config;
  const own = present(models[index], "model");
  if (chatTemplate !== undefined) {
    try {
      return own.withTemplate(chatTemplate);
    } catch (error) {
      const { message } = ShouldersError.from(error);
      throw new ShouldersError("fusion_config_invalid", `Config "${id}": ${message}`, {
        param: "chatTemplate",
        cause: error,
      });
    }
  }
  const others = [...experts, reference ?? base, base].map(({ model }) => models[model]);
  const found = [own, ...others].find((model) => model?.hasChatTemplate) ?? own;
  // Where control tokens are others, each model needs its own.
  const isShared = roles.size === 0 && resolved.config.vocabulary !== "own";
  if (found === own || isShared || found.facts.chatTemplate === null) return found;
  return own.withTemplate(found.facts.chatTemplate);
}

/** The base, or an expert where only that marks its thoughts, with a mark that is shared by its id. */
export function thinkerOf(
  config: RenderingConfig,
  models: readonly LoadedModel[],
  shared: ReadonlySet<string>,
): number {
  const formOf = ({ model }: LoadedMember) => rendererOf(model, config, models).thinking;
  const expert = config.experts.find((member) => shared.has(formOf(member)?.closing ?? ""));
  return (formOf(config.base) === null && expert ? expert : config.base).model;
}
