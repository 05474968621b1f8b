import { fieldError, present, ShouldersError } from "../errors.js";
import type { ChatTurn, LoadedModel, Token, Tool, RenderedPrompt, ThinkingForm } from "../llama/types.js";
import { nameOf } from "../llama/model-facts.js";
import type { LoadedConfig } from "./loaded-models.js";
import { rendererOf } from "./renderer.js";
import { paramOf, tooLong } from "./prompt-size.js";
import { textFedTo } from "./own/share-text.js";
import { fedTo } from "./token-roles.js";
import type { Choice, GenerationRequest, GivenText, Prompt, ToolText } from "../protocol/protocol.js";
import { asPlainTurns, asToldTurns, knowsForm } from "./tool-prompts.js";

/** A request's prompt for each model of its config (by model index), and the strings that end its answer. */
export interface ModelPrompts {
  tokensOf: Map<number, Token[]>;
  stopStrings: string[];
  /**
   * How what is thought is marked, whether the answer begins within it, and whether it may be thought about at all
   * where it is held to a grammar; null: nothing is.
   */
  thinking: { form: ThinkingForm; isOpen: boolean; isAllowed: boolean } | null;
  /** By choice the first tokens of the answer, which are taken instead of drawn. */
  forced: Token[][];
  /** What the client expects the answer to be. */
  predicted: Token[];
}

export interface PromptParts {
  request: GenerationRequest;
  choices: readonly Pick<Choice, "forced">[];
  config: LoadedConfig;
  models: readonly LoadedModel[];
  /** Asked before each model's part of the work. */
  isWanted: () => boolean;
}

/**
 * Renders and tokenizes the prompt for each model that takes part, and what is given of the answer.
 *
 * @returns null where the request is wanted no longer.
 * @throws ShouldersError `context_length_exceeded` with both numbers, `invalid_request` for an empty prompt or
 * an id outside the common vocabulary.
 */
export async function buildPrompts(
  { request, choices, config, models, isWanted }: PromptParts,
  modelIndices: readonly number[],
): Promise<ModelPrompts | null> {
  const base = present(models[config.base.model], "model");
  const prefix = await given(request.answerPrefix, base, config);
  const forced: Token[][] = [];
  for (const choice of choices) forced.push([...prefix, ...(await given(choice.forced, base, config))]);
  const predicted = await given(request.prediction, base, config);
  const isAllForced = request.forced !== null;
  const numForced = Math.max(...forced.map(({ length }) => length));
  const numAnswer = numForced + (isAllForced ? 0 : Math.min(request.maxTokens ?? 1, 1));
  const tokensOf = new Map<number, Token[]>();
  const stopStrings = new Set(request.stop);
  const param = paramOf(request);
  let thinking: Pick<RenderedPrompt, "thinking" | "opensThought"> = { thinking: null, opensThought: false };
  // Experts that are adapters of one model read the same.
  const known = new Map<LoadedModel, RenderedPrompt>();
  for (const index of modelIndices) {
    if (!isWanted()) return null;
    const model = present(models[index], "model");
    const rendered = known.get(model) ?? (await renderPrompt(request.prompt, index, config, models));
    known.set(model, rendered);
    if (index === config.base.model) for (const stop of rendered.stopStrings) stopStrings.add(stop);
    if (index === config.thinker) thinking = rendered;
    const { tokens } = rendered;
    if (tokens.length === 0)
      throw new ShouldersError("invalid_request", "The prompt has no tokens: send at least one.", { param });
    checkLength(tokens.length, numAnswer, config.resolved.config.context.tokens, param);
    tokensOf.set(index, tokens);
  }
  const { prompt } = request;
  const isRead = prompt.type === "chat" && !isAllForced;
  const isAllowed = isRead && prompt.isThinking !== false && prompt.ending !== "continue";
  return {
    tokensOf,
    stopStrings: isAllForced ? [] : [...stopStrings],
    forced,
    predicted,
    thinking:
      isRead && thinking.thinking !== null
        ? { form: thinking.thinking, isOpen: thinking.opensThought, isAllowed }
        : null,
  };
}

function checkLength(numPrompt: number, numAnswer: number, contextTokens: number, param: string): void {
  if (numPrompt + numAnswer <= contextTokens) return;
  const places = numAnswer === 1 ? "one of them for the answer" : `${numAnswer} of them for the completion`;
  throw tooLong(`${contextTokens} tokens, ${places}, and the prompt has ${numPrompt}`, param);
}

/**
 * The prompt as one model gets it. A chat is rendered by the model's own template, or by that of another model
 * of the config where its file has none (an untuned base often has none, and its experts do); the base alone
 * also gets the config's few-shot examples, after the system message.
 */
export async function renderPrompt(
  prompt: Prompt,
  index: number,
  config: LoadedConfig,
  models: readonly LoadedModel[],
): Promise<RenderedPrompt> {
  const model = present(models[index], "model");
  switch (prompt.type) {
    case "chat": {
      const { ending = "answer", isThinking = null, effort = null } = prompt;
      const variables = JSON.parse(prompt.variables ?? "{}") as Record<string, unknown>;
      const options = { ending, isThinking, effort, variables };
      const tools = (prompt.tools ?? []).map(toTool);
      const examples = index === config.base.model ? config.resolved.config.fewShot : [];
      const renderer =
        prompt.template === undefined
          ? rendererOf(index, config, models)
          : model.withTemplate(prompt.template);
      const turns = withExamples(prompt.messages, examples);
      const asPlain = () => renderer.renderChat(asPlainTurns(turns, tools, config.toolForm), options);
      if (!knowsForm(renderer, config.toolForm)) return asPlain();
      const told = asToldTurns(turns, tools, renderer);
      try {
        return await renderer.renderChat(told.turns, { ...options, tools: told.tools });
      } catch (error) {
        if (tools.length === 0) throw error;
        // Templates refuse schemas that they have no words for.
        return await asPlain().catch(() => Promise.reject(ShouldersError.from(error)));
      }
    }
    case "text":
      if (prompt.suffix !== undefined)
        return { text: null, tokens: await infillTokens(prompt.text, prompt.suffix, model), ...plain };
      return {
        text: prompt.text,
        tokens: withBos(await model.tokenizeAside(prompt.text, true), model),
        ...plain,
      };
    case "tokens":
      checkIds(prompt.tokens, config.vocabularySize, "prompt");
      return { text: null, tokens: tokensFor(index, prompt.tokens, config, models), ...plain };
  }
}

/** As models were trained to fill in, and llama-server asks them to. @throws ShouldersError where it was not */
async function infillTokens(text: string, suffix: string, model: LoadedModel): Promise<Token[]> {
  const { infill } = model.vocabulary;
  if (infill == null)
    throw fieldError(
      "suffix",
      `${nameOf(model.facts)} has no tokens for filling in; leave it out`,
      "unsupported_field",
    );
  const before = await model.tokenizeAside(text, false, true);
  const after = await model.tokenizeAside(suffix, false, true);
  return withBos([infill.prefix, ...before, infill.suffix, ...after, infill.middle], model);
}

/** What a model reads of tokens that are given as the base's. */
function tokensFor(
  index: number,
  tokens: Token[],
  { reader, roles, base }: LoadedConfig,
  models: readonly LoadedModel[],
): Token[] {
  if (reader === null || index === base.model) return fedTo(roles.get(index), tokens);
  const [model, of] = [present(models[index], "model"), present(models[base.model], "model")];
  return textFedTo({ reader, model, base: of }, tokens);
}

/** Of a prompt that is no chat. */
const plain = { stopStrings: [], thinking: null, opensThought: false };

function toTool({ parameters, ...told }: ToolText): Tool {
  return { ...told, parameters: JSON.parse(parameters) as object };
}

/** @throws ShouldersError `invalid_request` when an id is outside the vocabulary. */
export function checkIds(
  tokens: readonly number[] | Int32Array,
  vocabularySize: number,
  param: string,
): void {
  const wrong = tokens.find((token) => token >= vocabularySize);
  if (wrong !== undefined)
    throw new ShouldersError(
      "invalid_request",
      `Token id ${wrong} is outside the vocabulary: use ids from 0 to ${vocabularySize - 1}.`,
      { param },
    );
}

async function given(text: GivenText | null, model: LoadedModel, config: LoadedConfig): Promise<Token[]> {
  if (text === null) return [];
  if (text.type === "text") return model.tokenizeAside(text.text, false, true);
  checkIds(text.tokens, config.vocabularySize, "fusion");
  return text.tokens;
}

function withExamples(
  messages: readonly ChatTurn[],
  examples: readonly { user: string; assistant: string }[],
): ChatTurn[] {
  const firstTurn = messages.findIndex((message) => message.role !== "system");
  const at = firstTurn < 0 ? messages.length : firstTurn;
  const turns = examples.flatMap(({ user, assistant }): ChatTurn[] => [
    { role: "user", content: user },
    { role: "assistant", content: assistant },
  ]);
  return [...messages.slice(0, at), ...turns, ...messages.slice(at)];
}

/** The tokens with exactly one BOS before them where the vocabulary asks for it. */
export function withBos(tokens: Token[], model: LoadedModel): Token[] {
  const { bos, addsBos } = model.vocabulary;
  return addsBos && bos !== null && tokens[0] !== bos ? [bos, ...tokens] : tokens;
}
