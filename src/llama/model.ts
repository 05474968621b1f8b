import { basename } from "node:path";

import { invariant, present, ShouldersError } from "../errors.js";
import { type AdapterFacts, checkAdapterFile } from "./adapter-file.js";
import type { Pointer } from "./abi.js";
import { createChatTemplate, type ChatTemplate, type ChatTemplateOptions } from "./chat-template.js";
import { LlamaContext } from "./context.js";
import { loadAdapters, type LoadedAdapter } from "./load-adapters.js";
import { checkKind, loadWeights } from "./load-weights.js";
import type { GgufSummary } from "./gguf-file.js";
import { checkModelFile } from "./gguf-file.js";
import { describeToken, factsOf, type ModelFacts } from "./model-facts.js";
import type { NativeHandle } from "./native-handle.js";
import { PlacedParameters } from "./parameters.js";
import { RunLimit } from "./pre-tokenizers.js";
import { Tokenizer } from "./tokenizer.js";
import { withoutTokenizer } from "./shared-tokenizer.js";
import { marksOf } from "./types.js";
import type {
  ChatOptions,
  ChatRenderer,
  ChatTurn,
  ContextOptions,
  LoadedModel,
  LoadModelOptions,
  ModelContext,
  Placement,
  RenderedPrompt,
  ThinkingForm,
  Token,
  ToolForm,
  ToolTelling,
} from "./types.js";
import { LlamaVocabulary } from "./vocabulary.js";

/**
 * Checks a model file and loads it off the event loop.
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
  const { isVocabulary = false, siblings = [] } = options;
  const file = checkModelFile(path, options.placement.metadata, !isVocabulary);
  const adapterFacts = (options.adapters ?? []).map((adapter) => checkAdapterFile(adapter, file));
  const bare = withoutTokenizer(file);
  const lender = siblings.find(
    (model): model is LlamaModel =>
      bare !== null && model instanceof LlamaModel && model.tokenizerDigest === file.tokenizerDigest,
  );
  const overrides = (lender && bare) ?? file.overrides;
  const parameters = new PlacedParameters(options.placement, handle.devices, overrides);
  try {
    const pointer = await loadWeights(handle, path, { parameters, ...options, isVocabulary });
    try {
      checkKind(handle.native, pointer, path);
      const adapters = await loadAdapters(handle, pointer, adapterFacts);
      const { placement } = options;
      const loaded = { pointer, file, parameters, placement, adapters, lender: lender ?? null };
      return new LlamaModel(handle, loaded, onRelease);
    } catch (error) {
      handle.native.llama_model_free(pointer);
      throw error;
    }
  } catch (error) {
    parameters.free();
    throw error;
  }
}

/** As libllama reads them, which knows what a file leaves out. */
function specialTokensOf(vocabulary: LlamaVocabulary): Pick<ModelFacts, "firstToken" | "endToken"> {
  const describe = (token: Token | null) =>
    token === null ? "none" : describeToken(token, vocabulary.rawText(token));
  return {
    firstToken: vocabulary.addsBos ? describe(vocabulary.bos) : "none",
    endToken: describe(vocabulary.eos),
  };
}

/** A model that has been loaded, with what belongs to it. */
interface LoadedFile {
  pointer: Pointer;
  file: GgufSummary;
  parameters: PlacedParameters;
  placement: Placement;
  /** By their paths. */
  adapters: ReadonlyMap<string, LoadedAdapter>;
  /** The model whose vocabulary this one has too, and keeps none of its own. */
  lender: LlamaModel | null;
}

/** Templates of requests and configs that are kept. */
const mostRenderers = 8;

export class LlamaModel implements LoadedModel {
  readonly path: string;
  readonly name: string;
  readonly architecture: string;
  readonly quantization: string;
  readonly numParameters: number;
  readonly sizeBytes: number;
  readonly contextTrain: number;
  readonly placement: Placement;
  readonly vocabulary: LlamaVocabulary;
  readonly tokenizerDigest: string;
  readonly facts: ModelFacts;
  readonly adapters: ReadonlyMap<string, AdapterFacts>;
  /** How chats are rendered; its `source` says whose template it is. */
  readonly chatTemplate: ChatTemplate;
  readonly toolForm: ToolForm | null;
  readonly #handle: NativeHandle;
  readonly #parameters: PlacedParameters;
  readonly #adapters: ReadonlyMap<string, LoadedAdapter>;
  readonly #tokenizer: Tokenizer;
  readonly #lender: LlamaModel | null;
  readonly #contexts = new Set<LlamaContext>();
  /** Of templates that are not the file's, by their texts. */
  readonly #renderers = new Map<string, ChatRenderer>();
  readonly #onRelease: (model: LlamaModel) => void;
  #pointer: Pointer | null;
  #release: Promise<void> | null = null;

  constructor(
    handle: NativeHandle,
    { pointer, file, parameters, placement, adapters, lender }: LoadedFile,
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
    const numLayers = native.llama_model_n_layer(pointer) + 1;
    this.placement = { ...placement, gpuLayers: Math.min(placement.gpuLayers, numLayers) };
    this.#parameters = parameters;
    this.#adapters = adapters;
    this.adapters = new Map([...adapters].map(([path, { facts }]) => [path, facts]));
    this.#lender = lender;
    this.tokenizerDigest = file.tokenizerDigest;
    const vocabulary = lender?.vocabulary.pointer ?? native.llama_model_get_vocab(pointer);
    invariant(vocabulary !== null, "a model without a vocabulary");
    this.vocabulary = new LlamaVocabulary(native, vocabulary, () => this.#isReleased);
    this.facts = { ...factsOf(file), ...specialTokensOf(this.vocabulary) };
    this.#tokenizer = new Tokenizer(native, vocabulary, this.vocabulary, RunLimit.of(file.values));
    this.chatTemplate = createChatTemplate({
      ...this.#templateParts(),
      text: native.llama_model_chat_template(pointer, null),
      toolUseText: native.llama_model_chat_template(pointer, "tool_use"),
    });
    this.toolForm = this.#formOf(this.chatTemplate);
  }

  /** What templates are told of the file. */
  #templateParts(): Omit<ChatTemplateOptions, "text"> {
    const textOf = (token: Token | null) => (token === null ? "" : this.vocabulary.rawText(token));
    return {
      bosText: textOf(this.vocabulary.bos),
      eosText: textOf(this.vocabulary.eos),
      architecture: this.architecture,
      modelName: this.name,
      fileName: basename(this.path),
    };
  }

  withTemplate(text: string): ChatRenderer {
    const known = this.#renderers.get(text);
    if (known) return known;
    const template = createChatTemplate({
      ...this.#templateParts(),
      text,
      fileName: "the request or config",
    });
    if (template.problem !== null)
      throw new ShouldersError("invalid_request", `The chat template does not work: ${template.problem}.`, {
        param: "chat_template",
      });
    this.vocabulary.show(marksOf(template.thinking).join(" "));
    const renderer: ChatRenderer = {
      toolForm: this.#formOf(template),
      toolTelling: template.toolTelling,
      thinking: template.thinking,
      renderChat: async (turns, options = {}) => {
        this.#ready();
        return this.#tokenizer.renderChat(template, turns, options);
      },
    };
    if (this.#renderers.size >= mostRenderers)
      for (const oldest of [...this.#renderers.keys()].slice(0, 1)) this.#renderers.delete(oldest);
    this.#renderers.set(text, renderer);
    return renderer;
  }

  #formOf({ toolForm }: ChatTemplate): ToolForm | null {
    return toolForm && { ...toolForm, ending: this.#withoutEnd(toolForm.ending) };
  }

  get toolTelling(): ToolTelling {
    return this.chatTemplate.toolTelling;
  }

  /** A text up to the first token that ends an answer: it comes as no text. */
  #withoutEnd(text: string): string {
    const end = this.#tokenizer
      .tokenize(text, true)
      .find((token) => this.vocabulary.isEndOfGeneration(token));
    const at = end === undefined ? -1 : text.indexOf(this.vocabulary.rawText(end));
    return at < 0 ? text : text.slice(0, at);
  }

  get hasChatTemplate(): boolean {
    return this.chatTemplate.problem === null;
  }

  get chatTemplateWarning(): string | null {
    return this.chatTemplate.warning;
  }

  tokenize(text: string, special: boolean, isContinued = false): Token[] {
    this.#ready();
    return this.#tokenizer.tokenize(text, special, isContinued);
  }

  async tokenizeAside(text: string, special: boolean, isContinued = false): Promise<Token[]> {
    this.#ready();
    return this.#tokenizer.tokenizeAside(isContinued ? ["", text] : [text], special);
  }

  get thinking(): ThinkingForm | null {
    return this.chatTemplate.thinking;
  }

  async renderChat(turns: readonly ChatTurn[], options: ChatOptions = {}): Promise<RenderedPrompt> {
    this.#ready();
    return this.#tokenizer.renderChat(this.chatTemplate, turns, options);
  }

  createContext(options: ContextOptions): ModelContext {
    const { adapter } = options;
    const loaded = adapter && present(this.#adapters.get(adapter.path), `adapter ${adapter.path}`);
    const context = new LlamaContext(
      {
        native: this.#handle.native,
        log: this.#handle.log,
        model: this.#ready(),
        path: adapter?.path ?? this.path,
        adapter: loaded === undefined ? null : { pointer: loaded.pointer, scale: adapter?.scale ?? 1 },
        vocabularySize: this.vocabulary.size,
        usesGpu: this.placement.devices.length > 0,
        flashAttention: this.#handle.flashAttention,
        devices: this.placement.devices,
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
    const pointer = present(this.#pointer, "model");
    for (const context of this.#contexts) await context[Symbol.asyncDispose]();
    await this.#tokenizer.close();
    this.#pointer = null;
    this.#handle.native.llama_model_free(pointer);
    this.#parameters.free();
    this.#onRelease(this);
  }

  get #isReleased(): boolean {
    return this.#pointer === null || (this.#lender !== null && this.#lender.#isReleased);
  }

  #ready(): Pointer {
    invariant(!this.#isReleased, `model ${this.path} used after it was released`);
    return present(this.#pointer, "model");
  }
}
