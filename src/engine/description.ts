import type { SamplingSettings } from "../config/fusion-config.js";
import type { ComponentConfig } from "../strategies/fields.js";
import type { StrategyChoice, StrategyConfig } from "../strategies/registry.js";
import type { ToolForm } from "../llama/types.js";

/** What an engine that has loaded its models says of itself. */

export interface ModelDescription {
  /** The file's name without directory and ending, made unique: the model's label in metrics and answers. */
  id: string;
  path: string;
  name: string;
  architecture: string;
  quantization: string;
  numParameters: number;
  sizeBytes: number;
  vocabularySize: number;
  contextTrain: number;
  gpuLayers: number;
  /** Bytes of the sequence memory (KV cells) and of compute buffers of its context. */
  memoryBytes: number;
}

export interface ExpertDescription extends ModelDescription {
  bounds: readonly [number, number];
  /** How it takes part in a mixture that says nothing of it. */
  component: ComponentConfig;
}

export interface ConfigDescription {
  id: string;
  description: string;
  /** A question to try. */
  example: string | null;
  base: ModelDescription;
  reference: ModelDescription | null;
  experts: ExpertDescription[];
  strategy: StrategyConfig;
  /** What the strategy does, in one sentence. */
  strategyInWords: string;
  /** What a request may ask for instead. */
  strategyChoices: StrategyChoice[];
  /** Length of the common vocabulary; rows are fused over it. */
  vocabularySize: number;
  contextTokens: number;
  sequences: number;
  sampling: SamplingSettings;
  /** How answers call functions. */
  toolForm: ToolForm;
  /** Of everything in the config that can change an answer: model files, settings, calibration card. */
  digest: string;
}

/** A way to decode the models of a step. */
export interface DecodeWay {
  /** All models at the same time, or one after the other. */
  mode: "together" | "in-turn";
  /** Model id to threads of its decode. */
  threads: Record<string, number>;
  /** Milliseconds of such a step when it was measured. */
  stepMs: number;
}

/**
 * How steps are decoded here: what was fastest when it was measured at start, or what was set. The plan itself
 * is for steps of one token a model; `batch` is for all others.
 */
export interface DecodePlan extends DecodeWay {
  batch: DecodeWay;
  /** Milliseconds a prompt token takes in a batch. */
  promptTokenMs: number;
  isMeasured: boolean;
}

export interface EngineDescription {
  pid: number;
  /** A step that takes longer than this hangs: a generous multiple of what was measured at start. */
  stepTimeoutMs: number;
  library: { llama: string; nodeLlamaCpp: string; backend: string; devices: string[] };
  kernel: "simd" | "reference";
  decoding: DecodePlan;
  /** What both processes are going to hold. */
  memory: {
    weightsBytes: number;
    /** Cells and compute buffers. */
    contextsBytes: number;
    /** The programs themselves, vocabularies and fusion kernel: an estimate. */
    programBytes: number;
  };
  configs: ConfigDescription[];
}
