import { basename } from "node:path";
import type { RequestHandler } from "express";
import type { ConfigDescription, ModelDescription } from "../../protocol/protocol.js";
import type { StrategyChoice } from "../../strategies/registry.js";
import type { ConfigBody, ConfigList, ModelBody, StrategyChoiceBody } from "../../wire/config.js";
import { toSampling } from "../completion/records.js";
import { findConfig, requireEngine, type ApiContext } from "../context.js";

/** `GET /v1/fusion/configs` */
export function listConfigs(context: ApiContext): RequestHandler<object, ConfigList> {
  return (_request, response) => {
    const { configs } = requireEngine(context);
    response.json({ object: "list", data: configs.map(toConfig) });
  };
}

/** `GET /v1/fusion/configs/{id}` */
export function getConfig(context: ApiContext): RequestHandler<{ id: string }, ConfigBody> {
  return (request, response) => {
    response.json(toConfig(findConfig(requireEngine(context), request.params.id)));
  };
}

function toConfig(config: ConfigDescription): ConfigBody {
  const { id, description, example, base, reference, experts, strategy } = config;
  return {
    object: "fusion.config",
    id,
    description,
    example,
    base: toModel(base),
    reference: reference && toModel(reference),
    experts: experts.map((expert) => {
      const { bounds, component } = expert;
      return { ...toModel(expert), bounds: [...bounds], component };
    }),
    strategy,
    strategy_in_words: config.strategyInWords,
    policies: config.policies && { ...config.policies.arms },
    warnings: config.warnings.map(({ code, message, advice }) => ({ code, message, advice })),
    strategy_choices: config.strategyChoices.map(toChoice),
    vocabulary_size: config.vocabularySize,
    context_tokens: config.contextTokens,
    sequences: config.sequences,
    sampling: toSampling(config.sampling),
  };
}

function toModel(model: ModelDescription): ModelBody {
  const { id, path, name, architecture, quantization, devices, adapter } = model;
  return {
    id,
    file: basename(path),
    name,
    architecture,
    quantization,
    num_parameters: model.numParameters,
    size_bytes: model.sizeBytes,
    vocabulary_size: model.vocabularySize,
    context_train: model.contextTrain,
    gpu_layers: model.gpuLayers,
    devices,
    memory_bytes: Math.round(model.memoryBytes),
    adapter: adapter && { scale: adapter.scale, ranks: [...adapter.ranks], alpha: adapter.alpha },
  };
}

function toChoice({ label, words, settings, controls, solvedExperts }: StrategyChoice): StrategyChoiceBody {
  return { label, words, settings, controls: [...controls], solved_experts: [...solvedExperts] };
}
