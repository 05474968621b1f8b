import type { Confidence } from "../config/confidence.js";
import type { DebateAudit } from "../config/debate-audit.js";
import type { PoliciesConfig } from "../config/policies.js";
import type { SamplingSettings } from "../config/fusion-config.js";
import type { Buffers, ThinkingForm, ToolForm } from "../llama/types.js";
import type { ComponentConfig } from "../strategies/fields.js";
import type { StrategyChoice, StrategyConfig } from "../strategies/registry.js";

/** What an engine that has loaded its models says of itself. */

export interface ModelDescription {
  /** The file's name without directory and ending, made unique: the model's label in metrics and answers. */
  id: string;
  /** Of its own file: the adapter's, where it is one. */
  path: string;
  /** What makes it out of the reference, whose weights it shares; null: it is a model of its own. */
  adapter: {
    scale: number;
    /** Smallest and largest. */
    ranks: readonly [number, number];
    alpha: number;
    /** Of the reference's weights: what it would take as a model of its own. */
    modelBytes: number;
  } | null;
  name: string;
  architecture: string;
  quantization: string;
  numParameters: number;
  sizeBytes: number;
  vocabularySize: number;
  contextTrain: number;
  /** Layers on devices, the output counted as one. */
  gpuLayers: number;
  /** The devices that hold them. */
  devices: string[];
  /** Bytes of the sequence memory (KV cells) and of compute buffers of its context. */
  memoryBytes: number;
}

export interface ExpertDescription extends ModelDescription {
  bounds: readonly [number, number];
  /** How it takes part in a mixture that says nothing of it. */
  component: ComponentConfig;
}

/** What is probably wrong with a config that loads all the same. */
export interface Finding {
  /** Stable: `expert_is_reference`. */
  code: string;
  message: string;
  /** What to do. */
  advice: string;
}

/** What a few prompts have shown of a config's models. */
export interface MeasuredFigures {
  /** Expert id to the mean of KL(expert||reference) over the tokens, nats. */
  experts: Record<string, { klNats: number }>;
  /** −ln p of texts that the reference knows, nats a character; null: it knows none of those that were tried. */
  text: { baseNats: number; referenceNats: number; numTexts: number } | null;
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
  /** Strategies among which ratings choose; null: there is no choice. */
  policies: PoliciesConfig | null;
  /** What is probably wrong, and what to do. */
  warnings: Finding[];
  /** What a request may ask for instead. */
  strategyChoices: StrategyChoice[];
  /** What ends an answer in the base's vocabulary: its end of turn, or of text; null: it has none. */
  endToken: number | null;
  /** Length of the common vocabulary; rows are fused over it. */
  vocabularySize: number;
  /** Small models have other tokens than the base, whose number `vocabularySize` is. Default: false. */
  hasOtherVocabulary?: boolean;
  /** How the vocabularies differ, and what is done about it, for people. */
  vocabularyNotes: readonly string[];
  contextTokens: number;
  sequences: number;
  sampling: SamplingSettings;
  /** Fields of it that the base's file says. Default: none. */
  samplingOfFile?: readonly string[];
  /** How answers call functions. */
  toolForm: ToolForm;
  /** How answers mark what is thought before them; null: nothing is. */
  thinking: ThinkingForm | null;
  /** Requests may bring a chat template. */
  takesTemplates: boolean;
  /** How far verdicts lean on the base, as the calibration card found best; null: not at all. */
  confidence: Confidence | null;
  /** What an audit found of debates by this config as it is; null: nobody audited them. */
  debateAudit: DebateAudit | null;
  /** A digest of everything in the config that can change an answer: model files, settings, calibration card. */
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

/** How long steps take in the fastest way that was found: itself for steps of one token a model, `batch` for others. */
export interface DecodeTimings extends DecodeWay {
  batch: DecodeWay;
  /** Milliseconds a prompt token takes in a batch. */
  promptTokenMs: number;
}

/** Model id to ms of batches of so many tokens with so many rows, the smallest first; of no model, as long as nobody timed them. */
export type BatchCurves = Record<string, { tokens: number; rows: number; ms: number }[]>;

/** How steps are decoded here, and how that is known. */
export interface DecodePlan extends DecodeTimings {
  curves: BatchCurves;
  /** Ways were timed by this engine process, or by an earlier one with the same models on the same machine. */
  source: "measured" | "cache";
  /** The number of threads was set; only the mode was chosen. */
  areThreadsSet: boolean;
}

/** What was planned for a device or for main memory. */
export interface PlaceMemory {
  /** The device's name, or `main memory`. */
  name: string;
  /** What device it is. */
  description: string;
  /** Before anything was loaded. */
  freeBytes: number;
  totalBytes: number;
  /** It is main memory, or a device without memory of its own. */
  isUnified: boolean;
  buffers: Buffers;
  /** Layers that lie there, where it is a device. Default: none. */
  numLayers?: number;
  /** An estimate of the programs themselves, vocabularies and fusion kernel, in main memory. */
  programBytes: number;
}

export interface EngineDescription {
  pid: number;
  /** A step that takes longer than this hangs: a generous multiple of what a step was measured to take. */
  stepTimeoutMs: number;
  library: { llama: string; nodeLlamaCpp: string; backend: string; devices: string[] };
  kernel: "simd" | "reference";
  decoding: DecodePlan;
  /** What both processes are going to hold, by place: every device, and main memory last. */
  memory: PlaceMemory[];
  configs: ConfigDescription[];
  /** Configs whose engine has ended and is being started again. */
  restarting?: string[];
}
