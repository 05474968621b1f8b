import { ShouldersError } from "../errors.js";
import type { ChatTurn, LoadedModel, Token } from "../llama/types.js";
import type { LoadedConfig } from "./loaded-models.js";
import type { GenerationRequest, Prompt } from "./protocol.js";

/** A request's prompt for each model of its config (by model index), and the strings that end its answer. */
export interface ModelPrompts {
  tokensOf: Map<number, Token[]>;
  stopStrings: string[];
}

/**
 * Renders and tokenizes the prompt for each model that takes part. A chat is rendered by each model's own
 * template; the base alone also gets the config's few-shot examples, after the system message.
 *
 * @throws ShouldersError `context_length_exceeded` with both numbers, `invalid_request` for an empty prompt or
 * an id outside the common vocabulary.
 */
export function buildPrompts(
  request: GenerationRequest,
  config: LoadedConfig,
  modelIndices: readonly number[],
  models: readonly LoadedModel[],
): ModelPrompts {
  const { fewShot, context } = config.resolved.config;
  const tokensOf = new Map<number, Token[]>();
  const stopStrings = new Set(request.stop);
  for (const index of modelIndices) {
    const model = models[index] as LoadedModel;
    const examples = index === config.base ? fewShot : [];
    const rendered = render(request.prompt, model, examples, config.vocabularySize);
    if (index === config.base) for (const stop of rendered.stopStrings) stopStrings.add(stop);
    const param = request.prompt.type === "chat" ? "messages" : "prompt";
    if (rendered.tokens.length === 0)
      throw new ShouldersError("invalid_request", "The prompt has no tokens: send at least one.", { param });
    // One place must be left for an answer.
    if (rendered.tokens.length > context.tokens - 1)
      throw new ShouldersError(
        "context_length_exceeded",
        `This model's context holds ${context.tokens} tokens, one of them for the answer, and the prompt has ` +
          `${rendered.tokens.length}. Shorten the prompt, or raise context.tokens in the fusion config.`,
        { param },
      );
    tokensOf.set(index, rendered.tokens);
  }
  return { tokensOf, stopStrings: [...stopStrings] };
}

function render(
  prompt: Prompt,
  model: LoadedModel,
  examples: readonly { user: string; assistant: string }[],
  vocabularySize: number,
): { tokens: Token[]; stopStrings: string[] } {
  switch (prompt.type) {
    case "chat":
      return model.renderChat(withExamples(prompt.messages, examples));
    case "text":
      return { tokens: withBos(model.tokenize(prompt.text, true), model), stopStrings: [] };
    case "tokens": {
      const wrong = prompt.tokens.find((token) => token >= vocabularySize);
      if (wrong !== undefined)
        throw new ShouldersError(
          "invalid_request",
          `Token id ${wrong} is outside the vocabulary: use ids from 0 to ${vocabularySize - 1}.`,
          { param: "prompt" },
        );
      return { tokens: prompt.tokens, stopStrings: [] };
    }
  }
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

function withBos(tokens: Token[], model: LoadedModel): Token[] {
  const { bos, addsBos } = model.vocabulary;
  return addsBos && bos !== null && tokens[0] !== bos ? [bos, ...tokens] : tokens;
}
