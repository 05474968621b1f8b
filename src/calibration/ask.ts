import { randomUUID } from "node:crypto";
import { samplingSchema } from "../config/fusion-config.js";
import type { ComponentConfig } from "../strategies/fields.js";
import { fixedWeights, type StrategyConfig } from "../strategies/registry.js";
import { defaultFloor } from "../strategies/mixture.js";
import { plainRequest } from "../protocol/protocol.js";
import type {
  Engine,
  GenerationEvent,
  GenerationRequest,
  GeneratedToken,
  OtherLaw,
  Prompt,
} from "../protocol/protocol.js";
import { ShouldersError, invariant } from "../errors.js";
import { answerTokens, spaced } from "../verdicts/answer-tokens.js";

/** A prompt with the answer that is wanted, if it is known. */
export interface Example {
  /** null: it fits none. */
  expert: string | null;
  prompt: Extract<Prompt, { type: "chat" } | { type: "text" }>;
  answer: string | null;
  /** Of a multiple choice: the candidates, the answer among them. */
  choices?: readonly string[];
}

/** Where to ask: a started engine, one of its configs. */
export interface Asked {
  engine: Engine;
  configId: string;
  signal: AbortSignal;
}

/** How likely one answer is. */
export interface AnswerScore {
  numTokens: number;
  /** Tokens that are the most likely ones; the end of the answer counts as one. */
  numAgreed: number;
  /** Sum over the tokens, nats. */
  logprob: number;
}

const greedy = samplingSchema.parse({ temperature: 0 });
/** What a token counts that a plausible set excludes: finite, or one such token would hide all others. */
const leastLogprob = -20;

/** A mixture as answers take it: shares at the start by expert id and `base`, how each expert speaks. */
export const mixtureOf = (
  prior: Record<string, number>,
  components: Record<string, ComponentConfig>,
): StrategyConfig => ({ type: "mixture", prior, components, floor: defaultFloor });

export async function run(
  { engine, configId, signal }: Asked,
  request: Partial<GenerationRequest> & { prompt: Prompt },
): Promise<{ text: string; tokens: GeneratedToken[]; done: Extract<GenerationEvent, { type: "done" }> }> {
  let text = "";
  const tokens: GeneratedToken[] = [];
  const requester = { owner: "calibrate", party: "calibrate" };
  const whole = { ...plainRequest, ...requester, requestId: randomUUID(), configId, sampling: greedy };
  for await (const event of engine.generate({ ...whole, maxTokens: 1, ...request }, signal)) {
    if (event.type === "accepted") continue;
    tokens.push(...event.tokens);
    if (event.type === "done") return { text, tokens, done: event };
    text += event.text;
  }
  signal.throwIfAborted();
  throw new ShouldersError("engine_died", "The engine ended an answer without its end.");
}

/**
 * A prompt as others would write it: without the mark at its end, with a full stop, with a question mark. Where a prompt
 * ends says much to a small model, and nothing about which expert it is for. Plain text ends in a form of its own.
 */
export function readingsOf(prompt: Example["prompt"]): Example["prompt"][] {
  const last = prompt.type === "chat" ? prompt.messages.at(-1) : undefined;
  if (prompt.type !== "chat" || last === undefined) return [prompt];
  const bare = last.content.replace(/[\s\p{P}]+$/u, "");
  const contents = new Set([last.content, bare, `${bare}.`, `${bare}?`]);
  return [...contents].map((content) => ({
    ...prompt,
    messages: [...prompt.messages.slice(0, -1), { ...last, content }],
  }));
}

/**
 * What the reference's rows say about a prompt: the number that routing uses, by the same path. No expert is decoded.
 * @throws ShouldersError `calibration_invalid` for a prompt of one token.
 */
export async function featureOfPrompt(asked: Asked, prompt: Prompt): Promise<Float64Array> {
  const { done } = await run(asked, { prompt, strategy: mixtureOf({ base: 1 }, {}), wantsFeature: true });
  if (done.feature === null)
    throw new ShouldersError("calibration_invalid", "A prompt of one token tells nothing: give longer ones.");
  return Float64Array.from(done.feature);
}

/** Longest answer of its own that an expert is asked for. */
const mostOwnTokens = 64;

/** What an expert answers by itself, greedily. */
async function ownAnswer(asked: Asked, prompt: Prompt, expert: string): Promise<number[]> {
  const alone = { kind: "alone", weight: 1, plausibility: null } as const;
  const strategy = mixtureOf({ [expert]: 1 }, { [expert]: alone });
  const { tokens, done } = await run(asked, { prompt, strategy, maxTokens: mostOwnTokens });
  const ids = tokens.map(({ record }) => record.token.id);
  return done.finishReason === "stop" ? ids.slice(0, -1) : ids;
}

async function givenTokens(asked: Asked, prompt: Example["prompt"], answer: string): Promise<number[]> {
  const [tokens = []] = await answerTokens(asked, prompt, [spaced(prompt, answer)]);
  return tokens;
}

/** An answer to an expert's prompt, to be scored. */
export interface Answer {
  expert: string;
  prompt: Example["prompt"];
  tokens: number[];
}

/** The answer that is wanted, or where none is known the expert's own. */
export async function answerOf(asked: Asked, { expert, prompt, answer }: Example): Promise<Answer> {
  invariant(expert !== null, "prompts that fit no expert have no answers");
  const tokens =
    answer === null ? await ownAnswer(asked, prompt, expert) : await givenTokens(asked, prompt, answer);
  return { expert, prompt, tokens };
}

/** The widest set over which settings are tried: of a base elsewhere all of it is asked for. Here nothing hangs on it. */
const widestSet: ComponentConfig["plausibility"] = { ratio: 0.02, of: "joint" };

/** A strategy that decodes the models which others need: of all experts, or of one. It has a row of each at every token. */
const rowsOf = (expert: string | null): StrategyConfig =>
  expert === null
    ? fixedWeights({}, widestSet)
    : mixtureOf({ [expert]: 1 }, { [expert]: { kind: "fused", weight: 1, plausibility: widestSet } });

/**
 * How likely each of several strategies finds an answer, by teacher forcing, and whether it would end there. The models
 * read the answer once.
 *
 * @param expert the only one that any of the strategies runs; null: all may be run.
 * @returns scores in the order of the strategies
 */
export async function scoreAnswer(
  asked: Asked,
  { prompt, tokens }: { prompt: Prompt; tokens: number[] },
  { strategies, expert }: { strategies: readonly StrategyConfig[]; expert: string | null },
): Promise<AnswerScore[]> {
  const { tokens: answered } = await run(asked, {
    prompt,
    answerPrefix: { type: "tokens", tokens },
    strategy: rowsOf(expert),
    alsoBy: strategies,
  });
  return strategies.map((_, index) => {
    const laws = answered.map(({ record, alsoBy = [] }) => ({
      token: record.token.id,
      ...(alsoBy[index] as OtherLaw),
    }));
    const given = laws.slice(0, tokens.length);
    const last = laws[tokens.length]?.best;
    const hasEnded = last?.isEnd === true;
    // Of another token than an end only what it leaves is known.
    const endLogprob = hasEnded ? last.logprob : Math.log(-Math.expm1(last?.logprob ?? 0));
    const logprobs = [...given.map(({ logprob }) => logprob), endLogprob];
    return {
      numTokens: tokens.length + 1,
      numAgreed: given.filter(({ token, best }) => token === best.token).length + (hasEnded ? 1 : 0),
      logprob: logprobs.reduce((sum, logprob) => sum + Math.max(logprob, leastLogprob), 0),
    };
  });
}
