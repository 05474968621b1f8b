import type { SamplingSettings } from "../config/fusion-config.js";
import type { ChatEnding, ChatTurn } from "../llama/types.js";
import type { StrategyConfig } from "../strategies/registry.js";
import type { PriorRequest } from "../strategies/strategy.js";
import type { TraceLevel } from "../wire/token-record.js";

export type {
  ArgumentTags,
  ChatEnding,
  ChatTurn as ChatMessage,
  ThinkingForm,
  ToolForm,
} from "../llama/types.js";
export { bareQuote, toolIdMark } from "../llama/types.js";

/** A function that an answer may call, as it crosses the pipe. */
export interface ToolText {
  name: string;
  description: string;
  /** JSON schema of its arguments, as JSON: whatever a client nested in it, the pipe sees one text. */
  parameters: string;
}

export type Prompt =
  /**
   * `ending`: the prompt ends where an answer begins (default), in the last message, or after it. `tools`: functions
   * that the answer may call.
   */
  | {
      type: "chat";
      messages: ChatTurn[];
      ending?: ChatEnding;
      tools?: ToolText[];
      /** Whether, and how much, the models are to think; null or left out: as their templates have it. */
      isThinking?: boolean | null;
      effort?: string | null;
      /** JSON of what else the templates may ask for. */
      variables?: string;
      /** Writes the prompt in place of the models' own templates. */
      template?: string;
    }
  /** `suffix`: the answer is what stands between the two. */
  | { type: "text"; text: string; suffix?: string }
  | { type: "tokens"; tokens: number[] };

/** Text or tokens that are given instead of drawn. */
export type GivenText = { type: "text"; text: string } | { type: "tokens"; tokens: number[] };

export interface CallOpening {
  /** Each begins calls, wherever it stands. */
  texts: string[];
  /** Each begins calls where an answer begins with it. */
  leading: string[];
}

export interface GenerationRequest {
  /** Unique among live requests. */
  requestId: string;
  /** Who asks: cached prefixes are never shared between owners. */
  owner: string;
  /** Places are shared evenly between parties: the owner or, where nobody shows a key, the client's address. */
  party: string;
  configId: string;
  prompt: Prompt;
  /** The beginning of the answer: taken as given, each token with its record, before the rest is drawn. */
  answerPrefix: GivenText | null;
  /** Teacher forcing: these tokens are taken instead of drawn ones, each with its record; then the request ends. */
  forced: GivenText | null;
  /** What the answer will be, as far as the client knows: a guess that changes nothing but how fast it comes. */
  prediction: GivenText | null;
  /** GBNF with a rule `root`, which the answer must match; null: any answer. */
  grammar: string | null;
  /** Most tokens that are drawn; null: until the end of sequence or a full context. */
  maxTokens: number | null;
  /** Fewest tokens of the answer before one may end it, as far as its grammar allows; stop strings do. */
  minTokens: number;
  stop: string[];
  /** What calls of functions begin with: stop strings are looked for before it only. null: there are none. */
  callOpening: CallOpening | null;
  /** Tokens that end the answer, as an end-of-sequence token does. */
  stopTokens: number[];
  sampling: SamplingSettings;
  /** 32-bit; null: drawn at random. */
  seed: number | null;
  /** Added to the fused logits before the other samplers. */
  logitBias: { token: number; bias: number }[];
  /** How many alternatives to report per token; null: none and no logprobs. */
  topLogprobs: number | null;
  /** `processed`: after penalties, temperature and truncation. `unrestricted`: before the plausible sets, too. */
  logprobs: "fused" | "processed" | "unrestricted";
  /** Replaces the config's strategy for this request. Ids are checked against the config by the server. */
  strategy: StrategyConfig | null;
  /**
   * Strategies that every token is also weighed by, each as if it were the answer's, from the same rows
   * (`GeneratedToken.alsoBy`). They need no model that the answer's own strategy leaves out. A card tells them nothing.
   */
  alsoBy: readonly StrategyConfig[];
  /** Replaces the bounds of these experts, by id. */
  bounds: Record<string, [number, number]> | null;
  /** Changes the shares that a mixture begins with; null: the strategy's. */
  prior: PriorRequest | null;
  /** Bounds on how far the base is moved, at a token and in the whole answer; null: none but the config's. */
  budget: { tokenNats: number | null; replyNats: number | null } | null;
  /**
   * Whether tokens may be found before the base has been asked, where that changes none of them. rows: the base is asked
   * all the same, for every token's record.
   */
  speculation: "on" | "off";
  audit: "none" | "rows";
  /**
   * Total variation of the answer's law that a mixture may spend on leaving the base's component out; 0: none. Of use at
   * temperature 1 with nothing cut off, penalised, biased or held to a grammar.
   */
  loss: number;
  /** Whether `done` is to bring the prompt's feature. */
  wantsFeature: boolean;
  /** Whether each token is to bring what its models give it by themselves (`GeneratedToken.members`). */
  wantsMembers: boolean;
  trace: TraceLevel;
}

/** One of several answers to a prompt; of one that is given, its text. */
export type Choice = Pick<GenerationRequest, "requestId" | "seed" | "forced">;

/** What a request is when nothing special is asked of it. */
export const plainRequest: Omit<
  GenerationRequest,
  "requestId" | "owner" | "party" | "configId" | "prompt" | "sampling"
> = {
  answerPrefix: null,
  forced: null,
  prediction: null,
  grammar: null,
  maxTokens: null,
  minTokens: 0,
  stop: [],
  callOpening: null,
  stopTokens: [],
  seed: null,
  logitBias: [],
  topLogprobs: null,
  logprobs: "fused",
  strategy: null,
  alsoBy: [],
  bounds: null,
  prior: null,
  budget: null,
  speculation: "on",
  audit: "none",
  loss: 0,
  wantsFeature: false,
  wantsMembers: false,
  trace: "off",
};
