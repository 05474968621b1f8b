import { basename } from "node:path";

import koffi from "koffi";
import { GgufInsights, InsufficientMemoryError, readGgufFileInfo } from "node-llama-cpp";

import { invariant, ShouldersError } from "../errors.js";
import type { NativeFunctions, Pointer } from "./abi.js";
import { callAsync, progressCallbackType } from "./bindings.js";
import type { ChatTemplate } from "./chat-template.js";
import { createChatTemplate } from "./chat-template.js";
import { LlamaContext } from "./context.js";
import type { GgufSummary } from "./gguf-file.js";
import { checkModelFile } from "./gguf-file.js";
import type { NativeHandle } from "./library.js";
import { gibibytes, memoryLimit } from "./memory.js";
import { logLinesArrived } from "./native-log.js";
import { RunLimit } from "./pre-tokenizers.js";
import { Tokenizer } from "./tokenizer.js";
import type {
  ChatOptions,
  ChatTurn,
  ContextOptions,
  LoadedModel,
  LoadModelOptions,
  ModelContext,
  RenderedPrompt,
  Token,
  ToolForm,
} from "./types.js";
import { LlamaVocabulary } from "./vocabulary.js";

/**
 * Checks a model file, plans its layers on the GPU and loads it off the event loop.
 *
 * @param onRelease called once when the model has been released.
 * @throws ShouldersError `model_file_invalid` or `out_of_memory`, naming the path.
 */
export async function loadModel(
  handle: NativeHandle,
  path: string,
  options: LoadModelOptions,
  onRelease: (model: LlamaModel) => void,
): Promise<LlamaModel> {
  const file = checkModelFile(path);
  checkMemory(handle, file);
  const gpuLayers = await planGpuLayers(handle, file, options);
  const pointer = await loadWeights(handle, path, gpuLayers, options.onProgress);
  try {
    checkKind(handle.native, pointer, path);
    return new LlamaModel(handle, pointer, file, gpuLayers, onRelease);
  } catch (error) {
    handle.native.llama_model_free(pointer);
    throw error;
  }
}

/** A model that this machine could never hold is refused before it pushes everything else out of memory. */
function checkMemory({ usesDevices }: NativeHandle, file: GgufSummary): void {
  const limit = memoryLimit();
  if (!usesDevices && file.tensorBytes > limit)
    throw outOfMemory(file.path, `it takes ${gibibytes(file.tensorBytes)} of ${gibibytes(limit)} of memory`);
}

function outOfMemory(path: string, reason: string, cause?: unknown): ShouldersError {
  return new ShouldersError(
    "out_of_memory",
    `Model ${path} does not fit: ${reason}. Use a smaller or a more quantized file.`,
    cause === undefined ? {} : { cause },
  );
}

/** @returns how many layers go to the GPU: node-llama-cpp's plan for this much context, or what was set. */
async function planGpuLayers(
  { llama, usesDevices }: NativeHandle,
  file: GgufSummary,
  { source, contextTokens }: LoadModelOptions,
): Promise<number> {
  if (!usesDevices) return 0;
  if (source.gpuLayers !== "auto") return source.gpuLayers;
  try {
    const info = await readGgufFileInfo(file.path, { sourceType: "filesystem", logWarnings: false });
    const insights = await GgufInsights.from(info, llama);
    const plan = await insights.configurationResolver.resolveModelGpuLayersV2(
      { fitContext: { contextSize: contextTokens } },
      { defaultContextFlashAttention: "auto", defaultContextSwaFullCache: true },
    );
    return plan.gpuLayers;
  } catch (cause) {
    if (cause instanceof InsufficientMemoryError)
      throw outOfMemory(file.path, `with ${contextTokens} tokens of context, ${cause.message}`, cause);
    throw cause;
  }
}

/** A list of devices ends with null; this one names none. It lives as long as the process. */
const noDevices = koffi.alloc("void *", 1) as Pointer;
koffi.encode(noDevices, "void *", null);

async function loadWeights(
  { native, log, usesDevices }: NativeHandle,
  path: string,
  gpuLayers: number,
  onProgress: (fraction: number) => void,
): Promise<Pointer> {
  const mark = log.mark();
  // Called from the loading thread, which waits until the event loop has run it. True: go on.
  const callback = koffi.register((fraction: number) => {
    onProgress(fraction);
    return true;
  }, progressCallbackType);
  try {
    const pointer = await callAsync(native.llama_model_load_from_file, path, {
      ...native.llama_model_default_params(),
      n_gpu_layers: gpuLayers,
      ...(usesDevices ? {} : { devices: noDevices }),
      progress_callback: callback,
    });
    if (pointer !== null) return pointer;
  } finally {
    koffi.unregister(callback);
  }
  await logLinesArrived();
  const reason = log.reasonSince(mark);
  if (/alloc|out of memory/i.test(reason)) throw outOfMemory(path, reason);
  throw new ShouldersError("model_file_invalid", `Model file ${path} cannot be loaded: ${reason}.`);
}

/** Only models whose memory can be cut back at any position take part in fusion. */
function checkKind(native: NativeFunctions, model: Pointer, path: string): void {
  const kinds = [
    ["an encoder model", native.llama_model_has_encoder(model) || !native.llama_model_has_decoder(model)],
    ["a recurrent model", native.llama_model_is_recurrent(model)],
    ["a hybrid (partly recurrent) model", native.llama_model_is_hybrid(model)],
    ["a diffusion model", native.llama_model_is_diffusion(model)],
  ] as const;
  const found = kinds.find(([, is]) => is);
  if (found)
    throw new ShouldersError(
      "model_file_invalid",
      `Model file ${path} is ${found[0]}; only decoder-only transformers can be fused.`,
    );
}

/** What libllama notes about each cell, at least: its position and the sequences that share it. */
const bookkeepingBytes = 48;

/** Bytes of keys and values (float16) of one cell in all layers. */
function keyValueBytes(native: NativeFunctions, model: Pointer, file: GgufSummary): number {
  const given = (name: string) => Number(file.values.get(`${file.architecture}.attention.${name}`) ?? NaN);
  const headLength = native.llama_model_n_embd(model) / Math.max(native.llama_model_n_head(model), 1);
  const keyLength = given("key_length") || headLength;
  const valueLength = given("value_length") || headLength;
  const numHeads = Math.max(native.llama_model_n_head_kv(model), 1);
  return 2 * native.llama_model_n_layer(model) * numHeads * (keyLength + valueLength);
}

export class LlamaModel implements LoadedModel {
  readonly path: string;
  readonly name: string;
  readonly architecture: string;
  readonly quantization: string;
  readonly numParameters: number;
  readonly sizeBytes: number;
  readonly contextTrain: number;
  readonly gpuLayers: number;
  readonly vocabulary: LlamaVocabulary;
  /** How chats are rendered; its `source` says whose template it is. */
  readonly chatTemplate: ChatTemplate;
  readonly #handle: NativeHandle;
  /** Bytes of main memory that a cell takes. */
  readonly #cellBytes: number;
  readonly #tokenizer: Tokenizer;
  readonly #contexts = new Set<LlamaContext>();
  readonly #onRelease: (model: LlamaModel) => void;
  #pointer: Pointer | null;
  #release: Promise<void> | null = null;

  constructor(
    handle: NativeHandle,
    pointer: Pointer,
    file: GgufSummary,
    gpuLayers: number,
    onRelease: (model: LlamaModel) => void,
  ) {
    const { native } = handle;
    this.#handle = handle;
    this.#pointer = pointer;
    this.#onRelease = onRelease;
    this.path = file.path;
    this.architecture = file.architecture;
    const name = file.values.get("general.name");
    this.name = typeof name === "string" && name !== "" ? name : basename(file.path, ".gguf");
    const quantization = native.llama_ftype_name(native.llama_model_ftype(pointer)) ?? "unknown";
    this.quantization = quantization.replace("(guessed) ", "");
    this.numParameters = Number(native.llama_model_n_params(pointer));
    this.sizeBytes = Number(native.llama_model_size(pointer));
    this.contextTrain = native.llama_model_n_ctx_train(pointer);
    this.gpuLayers = Math.min(gpuLayers, native.llama_model_n_layer(pointer) + 1);
    this.#cellBytes = bookkeepingBytes + (this.gpuLayers > 0 ? 0 : keyValueBytes(native, pointer, file));
    const vocabulary = native.llama_model_get_vocab(pointer);
    invariant(vocabulary !== null, "a model without a vocabulary");
    this.vocabulary = new LlamaVocabulary(native, vocabulary, () => this.#pointer === null);
    this.#tokenizer = new Tokenizer(native, vocabulary, this.vocabulary, RunLimit.of(file.values));
    const textOf = (token: Token | null) => (token === null ? "" : this.vocabulary.rawText(token));
    this.chatTemplate = createChatTemplate({
      text: native.llama_model_chat_template(pointer, null),
      bosText: textOf(this.vocabulary.bos),
      eosText: textOf(this.vocabulary.eos),
      architecture: this.architecture,
      modelName: this.name,
      fileName: basename(file.path),
    });
  }

  get hasChatTemplate(): boolean {
    return this.chatTemplate.problem === null;
  }

  get chatTemplateWarning(): string | null {
    return this.chatTemplate.warning;
  }

  tokenize(text: string, special: boolean): Token[] {
    this.#ready();
    return this.#tokenizer.tokenize(text, special);
  }

  async tokenizeAside(text: string, special: boolean): Promise<Token[]> {
    this.#ready();
    return this.#tokenizer.tokenizeAside([text], special);
  }

  get toolForm(): ToolForm | null {
    return this.chatTemplate.toolForm;
  }

  async renderChat(turns: readonly ChatTurn[], options: ChatOptions = {}): Promise<RenderedPrompt> {
    this.#ready();
    return this.#tokenizer.renderChat(this.chatTemplate, turns, options);
  }

  createContext(options: ContextOptions): ModelContext {
    const context = new LlamaContext(
      {
        native: this.#handle.native,
        log: this.#handle.log,
        model: this.#ready(),
        path: this.path,
        vocabularySize: this.vocabulary.size,
        usesGpu: this.gpuLayers > 0,
        flashAttention: this.#handle.flashAttention,
        cellBytes: this.#cellBytes,
        onRelease: (released) => this.#contexts.delete(released),
      },
      options,
    );
    this.#contexts.add(context);
    return context;
  }

  /** Also releases its contexts, after their decodes. */
  [Symbol.asyncDispose](): Promise<void> {
    return (this.#release ??= this.#releaseOnce());
  }

  async #releaseOnce(): Promise<void> {
    const pointer = this.#ready();
    for (const context of this.#contexts) await context[Symbol.asyncDispose]();
    await this.#tokenizer.close();
    this.#pointer = null;
    this.#handle.native.llama_model_free(pointer);
    this.#onRelease(this);
  }

  #ready(): Pointer {
    invariant(this.#pointer !== null, `model ${this.path} used after it was released`);
    return this.#pointer;
  }
}
