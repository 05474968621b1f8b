import type { SamplingSettings } from "../config/fusion-config.js";
import type { CacheType, RopeOverrides } from "../config/model-source.js";
import type { ChatOptions, ChatTurn, ThinkingForm, ToolForm, ToolTelling } from "./chat-types.js";
import type { AdapterFacts } from "./adapter-file.js";
import type { ModelFacts } from "./model-facts.js";
import type { Device, MemoryByPlace, Placement } from "./placement-types.js";

export * from "./chat-types.js";
export * from "./placement-types.js";

/** What the engine may ask of native code. Implemented over libllama in this room; scripted in the engine's tests. */

/** Token of a vocabulary: an index from 0. */
export type Token = number;

/** Writes chats for a model. */
export interface ChatRenderer {
  /** The prompt of a chat, tokenized, with exactly one BOS where the vocabulary asks for it. */
  renderChat(turns: readonly ChatTurn[], options?: ChatOptions): Promise<RenderedPrompt>;
  /** How its template writes calls of functions; null: it has no place for them. */
  readonly toolForm: ToolForm | null;
  /** What of it the template writes by itself. */
  readonly toolTelling: ToolTelling;
  /** How its template marks what the model thinks; null: it knows no thinking. */
  readonly thinking: ThinkingForm | null;
}

/** A model file that has been loaded: weights, vocabulary, tokenizer, and the chat template in the file. */
export interface LoadedModel extends AsyncDisposable, ChatRenderer {
  readonly path: string;
  readonly name: string;
  readonly architecture: string;
  readonly quantization: string;
  readonly numParameters: number;
  /** Bytes of all tensors. */
  readonly sizeBytes: number;
  /** Tokens that the model was trained to hold. */
  readonly contextTrain: number;
  readonly placement: Placement;
  readonly vocabulary: Vocabulary;
  /** What its file says of it. */
  readonly facts: ModelFacts;
  /** Adapters that were loaded with it, by their paths. */
  readonly adapters: ReadonlyMap<string, AdapterFacts>;
  /**
   * Tokens of plain text. No BOS is added.
   *
   * @param special control tokens that are written out (`<|im_end|>`) become their ids.
   * @param isContinued it goes on after other text: no space is put before it. Default: false
   */
  tokenize(text: string, special: boolean, isContinued?: boolean): Token[];
  /** Does what `tokenize` does; a long text off the event loop. */
  tokenizeAside(text: string, special: boolean, isContinued?: boolean): Promise<Token[]>;
  /** Whether the file brings a chat template that works; without one a stand-in renders chats. */
  readonly hasChatTemplate: boolean;
  /** What is wrong with the file's own template, and what stands in for it; null: nothing, or it has none. */
  readonly chatTemplateWarning: string | null;
  /**
   * This model with another template.
   *
   * @throws ShouldersError `invalid_request` where the template does not work
   */
  withTemplate(text: string): ChatRenderer;
  createContext(options: ContextOptions): ModelContext;
}

export interface RenderedPrompt {
  /** What the template wrote; null: there is none. */
  text: string | null;
  tokens: Token[];
  /** Strings that end an answer under this template, besides the end-of-sequence tokens. */
  stopStrings: string[];
  /** How what is thought is marked; null: nothing is. */
  thinking: ThinkingForm | null;
  /** The answer begins within a thought. */
  opensThought: boolean;
}

/** Tokens by which a model is asked for what stands between two texts: each stands before its part. */
export interface Infill {
  prefix: Token;
  suffix: Token;
  middle: Token;
}

export interface Vocabulary {
  /** Number of ids, padding included. */
  readonly size: number;
  readonly bos: Token | null;
  readonly addsBos: boolean;
  /** What ends an answer: the end of a turn, where there is such a token, else of the text; null: nothing does. */
  readonly endToken: Token | null;
  /** null, or left out: it has none. */
  readonly infill?: Infill | null;
  isEndOfGeneration(token: Token): boolean;
  isControl(token: Token): boolean;
  /** Whether its file says that it is no text: a control token, or one that is not used. */
  isReserved(token: Token): boolean;
  /** The token's own bytes as they appear in a text; empty for control tokens. Cached: do not write into it. */
  bytes(token: Token): Uint8Array;
  /** The token as the file names it (its raw vocabulary entry), for comparison and messages. */
  rawText(token: Token): string;
  /** Control tokens that stand in this text are shown from now on: `bytes` are those of their names. */
  show(text: string): void;
}

/** A LoRA adapter, and how much of it counts. */
export interface AdapterUse {
  path: string;
  /** Factor of what it adds to each matrix, beside α ÷ rank. */
  scale: number;
}

export interface ContextOptions {
  /** Cells of sequence memory, shared by all sequences. */
  numCells: number;
  numSequences: number;
  /** Most tokens in one batch. */
  batchTokens: number;
  /** Most rows of logits in one batch. */
  maxRows: number;
  threads: number;
  /** `threads` is what was set: `setThreads` changes nothing. Default: false. */
  keepsThreads?: boolean;
  /** Most tokens computed at once. Default: 512. */
  microBatch?: number;
  /** Default: auto. */
  flashAttention?: FlashAttention;
  /** Default: f16. */
  cacheTypes?: { keys: CacheType; values: CacheType };
  /** Default: what the file says. */
  rope?: RopeOverrides;
  /** Layers with a sliding window keep a window's cells: then sequences cannot be cut back. Default: false. */
  windowCells?: boolean;
  /** The model computes with this adapter here; it was loaded with the model. Default: without any. */
  adapter?: AdapterUse;
}

export type FlashAttention = "auto" | "on" | "off";

/** What a model would take, found out without loading it. */
export interface Measured {
  memory: MemoryByPlace;
  /** Layers that can be placed on a device, the output counted as one. */
  numLayers: number;
  /** Device to how many of them lie there. */
  layersByDevice: ReadonlyMap<string, number>;
  vocabulary: MeasuredVocabulary;
}

/** What a model's tokens take, beside its buffers. */
export interface MeasuredVocabulary {
  size: number;
  /** Models with the same digest share one tokenizer when they are loaded together. */
  digest: string;
  /** Of the tokenizer. */
  bytes: number;
}

/** Asks libllama what models would take. Keeps what it has read of each file until it is disposed. */
export interface Measurer extends Disposable {
  /**
   * A model with a context of it; with an adapter only what that and its context take beside the model.
   *
   * @throws ShouldersError `model_file_invalid`, `adapter_invalid`, or `fusion_config_invalid`: libllama refuses such a
   *   context.
   */
  measure(path: string, placement: Placement, options: ContextOptions): Measured;
}

/** A batch being filled. Buffers are made once with the context; `clear` starts the next one. */
export interface Batch {
  readonly numTokens: number;
  /** How many of them want a row. */
  readonly numRows: number;
  readonly capacity: number;
  /** Most rows. */
  readonly maxRows: number;
  clear(): void;
  /** @returns the number of the row to ask `logits` for, never given again, or −1 when `wantsRow` is false. */
  add(token: Token, position: number, sequenceId: number, wantsRow: boolean): number;
}

/** Sequence memory and compute buffers of one model. One decode at a time. */
export interface ModelContext extends AsyncDisposable {
  readonly batch: Batch;
  readonly numCells: number;
  /** Bytes of cells, of compute buffers and of the rows at the start. */
  readonly memoryBytes: number;
  /**
   * Decodes the batch off the event loop.
   * @throws ShouldersError `decode_failed`, naming the model.
   */
  decode(): Promise<void>;
  /** Threads of the decodes that follow: of one token, and of more. */
  setThreads(single: number, batch: number): void;
  /**
   * A view of a row of the last decode (length: vocabulary size). The next decode writes over it.
   * @param row its number, as the batch gave it; that of an earlier decode is refused.
   */
  logits(row: number): Float32Array;
  /** Forgets positions [from, to) of a sequence; `to` null: to its end. */
  removePositions(sequenceId: number, from: number, to: number | null): void;
  /** Forgets the positions of a sequence from one on, if its memory can. @returns whether it has. */
  takeBack(sequenceId: number, from: number): boolean;
  /** Lets `to` share the cells of positions [0, length) of `from`. */
  copyPrefix(from: number, to: number, length: number): void;
}

/** Parameters of one request's sampler chain. */
export interface SamplerOptions extends SamplingSettings {
  logitBias: readonly { token: Token; bias: number }[];
  /** How many of the last tokens the penalties look at; −1: all. */
  penaltyLastTokens: number;
  /** 32-bit unsigned. */
  seed: number;
}

/** What a chain made of a row. */
export interface SampledToken {
  token: Token;
  /** Of the processed distribution; null: nobody asked. */
  processed: Processed | null;
}

export interface Processed {
  /** Log-probability of the token that was drawn, nats. */
  logprob: number;
  /** The candidates that are left, best first. */
  candidates: { token: Token; logprob: number }[];
}

export interface SampleRequest {
  /** Index of the token in the answer: with the seed, it fixes the noise of the draw. */
  position: number;
  /** How many processed candidates to report; null: nothing of the processed distribution. */
  numCandidates: number | null;
}

export interface SamplerChain extends Disposable {
  /** Draws from a row of logits (not changed). The drawn token is not yet accepted. */
  sample(logits: Float32Array, request: SampleRequest): SampledToken;
  /** Tells the penalties which token was taken. */
  accept(token: Token): void;
}

export interface LoadModelOptions {
  placement: Placement;
  onProgress: (fraction: number) => void;
  /** Its vocabulary alone: no weights are read, and no context can be made. Default: false. */
  isVocabulary?: boolean;
  /**
   * Models that are released after it: where one has the same tokenizer, libllama keeps none for this one, and texts
   * and tokens are told by that one's. Default: none.
   */
  siblings?: readonly LoadedModel[];
  /** Paths of adapters that its contexts may use: libllama wants all of them before the first context. Default: none. */
  adapters?: readonly string[];
}

/** The one native door: opened once a process, after it has checked itself. */
export interface NativeLibrary extends AsyncDisposable {
  readonly llamaVersion: string;
  readonly nodeLlamaCppVersion: string;
  readonly backend: string;
  readonly devices: string[];
  /** Asked anew: what is free changes. Also those of RPC servers that were added. */
  listDevices(): Device[];
  /**
   * Connects an RPC server, whose devices are there from now on. The process ends where it is gone: greet it before.
   *
   * @param plugin path of libggml's plug-in for RPC
   * @param server host:port
   * @throws ShouldersError `library_mismatch`: the plug-in cannot be loaded
   */
  addServer(plugin: string, server: string): void;
  /** Asks every device of a server something, off the event loop. A server that is gone ends the process. */
  touchServers(): Promise<void>;
  createMeasurer(): Measurer;
  /**
   * @throws ShouldersError `model_file_invalid` (missing, truncated, foreign: names the path), `adapter_invalid` or
   *   `out_of_memory`.
   */
  loadModel(path: string, options: LoadModelOptions): Promise<LoadedModel>;
  createSamplerChain(options: SamplerOptions, vocabularySize: number): SamplerChain;
}
