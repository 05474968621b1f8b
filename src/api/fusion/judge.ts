import { setMaxListeners } from "node:events";
import { z } from "zod";
import { confidenceSchema } from "../../config/confidence.js";
import { debateSchema, type DebateSettings, lawSchema, settleDebate } from "../../config/debate.js";
import { fieldError, ShouldersError, withFieldNames } from "../../errors.js";
import type {
  Asker,
  ConfigDescription,
  Engine,
  EngineQuery,
  GenerationRequest,
} from "../../protocol/protocol.js";
import { judge, type Judged, type JudgeOptions } from "../../verdicts/judge.js";
import type { Law } from "../../verdicts/read-candidates.js";
import { withoutPrompt } from "../../verdicts/debate/debate.js";
import { normalisations } from "../../verdicts/verdict.js";
import { toRounded } from "../../wire/numbers.js";
import type { Judgement, VerdictAnswer } from "../../wire/verdict.js";
import { findConfig, type ApiContext } from "../context.js";
import { givenTokens } from "../completion/fusion-fields.js";
import { choicesOf, planCompletion, traceId, type ChoicePlan, type PlanOptions } from "../completion/plan.js";
import { runCompletion } from "../completion/run-completion.js";
import { chatSchema } from "../openai/schemas.js";
import { ignoredOf, totalUsage } from "../openai/shapes.js";
import { parseRequest } from "../parse.js";

/** Most candidates of a prompt, and about as many are read at a time of all prompts. */
const mostCandidates = 64;
const mostPrompts = 256;
const labelPlace = "{label}";
/** Most bytes of an answer's JSON, which is held whole: each prompt's part has every candidate. */
const mostBytes = 16 * 1024 * 1024;
/** About what a character takes, as text and as token, and what a candidate and a law take besides. */
const costs = { character: 8, candidate: 100, law: 60 };

const promptFields = {
  messages: chatSchema.shape.messages.nullish(),
  prompt: z
    .union([z.string().min(1), givenTokens], { error: "expected text or token ids" })
    .nullish()
    .describe("Text or token ids, instead of messages."),
};

const texts = z.array(z.string().min(1)).min(1).max(mostCandidates);

export const judgeSchema = z
  .strictObject({
    model: chatSchema.shape.model,
    ...promptFields,
    prompts: z
      .array(
        z
          .strictObject(promptFields)
          .refine(({ messages, prompt }) => (messages == null) !== (prompt == null), {
            path: ["messages"],
            error: "give either messages or a prompt",
          }),
      )
      .min(1)
      .max(mostPrompts)
      .nullish()
      .describe("Several prompts, each with messages or a prompt of its own, about the same candidates."),
    candidates: texts
      .nullish()
      .describe("Texts, one of which is the answer. Behind a prompt of plain text they stand as they are."),
    labels: texts.nullish().describe("Instead of candidates: names of classes."),
    template: z
      .string()
      .refine((text) => text.includes(labelPlace), `expected a text with ${labelPlace} in it`)
      .nullish()
      .describe(`How a label stands in an answer. Default: ${labelPlace}.`),
    laws: z
      .array(lawSchema)
      .min(1)
      .nullish()
      .describe("Who judges: fused (default), base, expert:ID. The first is the one that is asked."),
    normalise: z
      .enum(normalisations)
      .nullish()
      .describe(
        "sum (default) of the tokens' log-probabilities, which favours short texts; their mean; end: the sum with that of the answer's end.",
      ),
    confidence: confidenceSchema
      .nullish()
      .describe(
        "How far the verdict leans on the base's best. Default: the calibration card's, else not at all.",
      ),
    debate: debateSchema
      .nullish()
      .describe("Two advocates argue for opposing candidates before a panel of experts judges."),
    document: z
      .string()
      .min(1)
      .nullish()
      .describe("What advocates quote from; the panel gets what they say alone. For debates."),
    stream: z.boolean().nullish().describe("Tells a debate as it goes on, as server-sent events."),
    fusion: chatSchema.shape.fusion,
  })
  .refine(
    (body) => [body.messages, body.prompt, body.prompts].filter((given) => given != null).length === 1,
    {
      path: ["messages"],
      error: "give messages, a prompt, or prompts",
    },
  )
  .refine(({ candidates, labels }) => (candidates == null) !== (labels == null), {
    path: ["candidates"],
    error: "give either candidates or labels",
  })
  .refine(({ labels, template }) => template == null || labels != null, {
    path: ["template"],
    error: "it is for labels; leave it out",
  });

type JudgeBody = z.output<typeof judgeSchema>;

export interface JudgePlan extends Pick<VerdictAnswer, "id" | "created" | "model" | "system_fingerprint"> {
  ignored: string[];
  prompts: ChoicePlan[];
  candidates: { text: string; label: string | null }[];
  options: JudgeOptions;
  endToken: number | null;
  /** null: nobody argues. */
  debate: DebateSettings | null;
  document: string | null;
  isStream: boolean;
}

/** @throws ShouldersError that names the field at fault, as the client calls it. */
export function planJudgement(body: unknown, options: PlanOptions): JudgePlan {
  const { fieldName: nameOf = (param: string) => param, description } = options;
  const { read, config, laws, debate } = withFieldNames(nameOf, () => {
    const parsed = parseRequest(judgeSchema, body);
    const found = findConfig(description, parsed.model);
    checkSize(parsed);
    const debate = debateOf(parsed, found);
    return { read: parsed, config: found, laws: lawsOf(parsed, found), debate };
  });
  const id = traceId(debate === null ? "judge-" : "debate-", options);
  const { model, fusion } = read;
  const plans = (read.prompts ?? [read]).map(({ messages, prompt }, index) => {
    const place = (param: string) =>
      read.prompts != null && /^(messages|prompt)\b/.test(param) ? `prompts.${index}.${param}` : param;
    const own = { ...options, fieldName: (param: string) => nameOf(place(param)) };
    return messages == null
      ? planCompletion("text", { model, prompt, fusion }, own)
      : // What is thought is no answer.
        planCompletion("chat", { model, messages, fusion, enable_thinking: false }, own);
  });
  const [first] = plans;
  return {
    ...{
      id,
      created: first?.created ?? 0,
      model: config.id,
      system_fingerprint: first?.systemFingerprint ?? "",
    },
    ignored: first?.ignored ?? [],
    prompts: plans.flatMap((plan, index) => {
      const [choice] = choicesOf(plan);
      if (choice === undefined) return [];
      const requestId = index === 0 ? id : `${id}-p${index}`;
      return [{ ...choice, request: requestFor({ ...choice.request, requestId }, read) }];
    }),
    candidates: candidatesOf(read),
    options: { laws, normalise: read.normalise ?? "sum", confidence: read.confidence ?? config.confidence },
    endToken: config.endToken,
    ...{ debate, document: read.document ?? null, isStream: read.stream ?? false },
  };
}

/** @throws ShouldersError for what does not go with a debate, or with none */
function debateOf(body: JudgeBody, { experts }: ConfigDescription): DebateSettings | null {
  const { debate, document, stream, prompts, prompt, laws, confidence } = body;
  if (debate == null) {
    if (document != null) throw fieldError("document", "it is for debates: leave it out");
    if (stream === true) throw fieldError("stream", "only debates are streamed: leave it out");
    return null;
  }
  if (prompts != null) throw fieldError("prompts", "a debate is about one: give messages or a prompt");
  if (prompt != null && typeof prompt !== "string")
    throw fieldError("prompt", "a debate is about a text: give text instead of token ids");
  if (laws != null) throw fieldError("laws", "the panel of the debate judges: leave it out");
  if (confidence != null) throw fieldError("confidence", "the panel of the debate judges: leave it out");
  if (candidatesOf(body).length < 2) throw fieldError("candidates", "a debate needs two at least");
  return settleDebate(debate, {
    experts: experts.map(({ id }) => id),
    hasDocument: document != null,
    isChat: body.messages != null,
  });
}

function requestFor(request: GenerationRequest, { fusion }: JudgeBody): GenerationRequest {
  // Under a plausible set most candidates would get nothing.
  return { ...request, maxTokens: null, logprobs: fusion?.logprobs ?? "unrestricted" };
}

function candidatesOf({ candidates, labels, template }: JudgeBody): JudgePlan["candidates"] {
  if (labels == null) return (candidates ?? []).map((text) => ({ text, label: null }));
  return labels.map((label) => ({
    text: (template ?? labelPlace).replaceAll(labelPlace, () => label),
    label,
  }));
}

/** @throws ShouldersError: the answer would be too long to be held. */
function checkSize(body: JudgeBody): void {
  const { prompts, laws } = body;
  const each = costs.candidate + costs.law * (laws?.length ?? 1);
  const bytes = candidatesOf(body).reduce((sum, { text }) => sum + each + costs.character * text.length, 0);
  const most = Math.floor(mostBytes / bytes);
  if ((prompts?.length ?? 1) > Math.max(1, most))
    throw fieldError("prompts", `with candidates of this length send at most ${most} prompts at a time`);
}

/** @throws ShouldersError for an unknown expert, or a law that is named twice. */
function lawsOf({ laws }: JudgeBody, config: ConfigDescription): [Law, ...Law[]] {
  const experts = config.experts.map((expert) => expert.id);
  const [first = "fused", ...others] = laws ?? [];
  const all: [Law, ...Law[]] = [first, ...others];
  all.forEach((law, index) => {
    if (all.indexOf(law) < index) throw fieldError(`laws.${index}`, `"${law}" is there already`);
    const id = law.startsWith("expert:") ? law.slice("expert:".length) : null;
    if (id !== null && !experts.includes(id))
      throw fieldError(
        `laws.${index}`,
        `no expert "${id.slice(0, 64)}"; known: ${experts.join(", ") || "none"}`,
      );
  });
  return all;
}

/**
 * Judges all prompts, a few at a time. @returns null: the client has left.
 * @throws ShouldersError of the engine, or the reason with which the signal was aborted
 */
export async function runJudgement(
  context: ApiContext,
  plan: JudgePlan,
  signal: AbortSignal,
): Promise<VerdictAnswer | null> {
  const { prompts, candidates } = plan;
  const atOnce = Math.max(1, Math.floor(mostCandidates / candidates.length));
  const own = new AbortController();
  const either = AbortSignal.any([signal, own.signal]);
  // Every question about a candidate's tokens listens.
  setMaxListeners(0, either);
  const judged: Judged[] = [];
  try {
    for (let from = 0; from < prompts.length; from += atOnce) {
      const some = prompts.slice(from, from + atOnce);
      judged.push(...(await Promise.all(some.map((one) => judgeOne(context, plan, one, either)))));
    }
  } catch (thrown) {
    own.abort();
    // Aborted for no reason of ours: the client has left.
    if (signal.aborted && !(signal.reason instanceof ShouldersError)) return null;
    throw thrown;
  }
  return answerOf(plan, judged);
}

async function judgeOne(
  context: ApiContext,
  { candidates, options, endToken }: JudgePlan,
  choice: ChoicePlan,
  signal: AbortSignal,
): Promise<Judged> {
  const { request } = choice;
  return judge({
    engine: queriesOf(context, choice),
    generate: (asked, either) => {
      const countsPrompt = asked.requestId === request.requestId;
      return runCompletion(context, { ...choice, countsPrompt, request: asked }, either);
    },
    ...{ request, options, endToken, signal },
    candidates: candidates.map(({ text }) => text),
  });
}

/** The engine's queries; what is wrong with a field has the client's name for it. */
export function queriesOf(context: ApiContext, { fieldName }: ChoicePlan): Pick<Engine, "query"> {
  const rename = (thrown: unknown) => {
    const error = ShouldersError.from(thrown);
    throw error.param === null ? error : error.at(fieldName(error.param));
  };
  return {
    query: <Q extends EngineQuery>(query: Q, asker?: Asker) =>
      context.engine.query(query, asker).catch(rename),
  };
}

function answerOf(plan: JudgePlan, judged: readonly Judged[]): VerdictAnswer {
  const { id, created, model, system_fingerprint, ignored, options } = plan;
  const usages = judged.flatMap((one) =>
    one.usages.map((usage, index) => (index === 0 ? usage : withoutPrompt(usage))),
  );
  return {
    id,
    object: "fusion.verdict",
    ...{ created, model, system_fingerprint },
    normalise: options.normalise,
    confidence: options.confidence ?? { alpha: 0, threshold: 0 },
    verdicts: judged.map((one, index) => judgementOf(plan.candidates, one, index)),
    usage: totalUsage(usages, { numAnswers: 1 }),
    ...ignoredOf({ ignored }),
  };
}

/** A verdict as it is told. */
export function judgementOf(candidates: JudgePlan["candidates"], judged: Judged, index: number): Judgement {
  const { scores, probabilities, probability, best, choice, agreement, isSettled, tokens } = judged;
  const at = (byLaw: Record<string, number[]>, candidate: number) =>
    Object.fromEntries(
      Object.entries(byLaw).map(([law, values]) => [law, toRounded(values[candidate] ?? 0)]),
    );
  return {
    index,
    candidates: candidates.map(({ text, label }, candidate) => ({
      text,
      ...(label !== null && { label }),
      tokens: tokens[candidate] ?? [],
      logprob: at(scores, candidate),
      probability: at(probabilities, candidate),
      verdict: toRounded(probability[candidate] ?? 0),
    })),
    best,
    verdict: choice,
    agreement: toRounded(Math.min(1, agreement)),
    settled: isSettled,
  };
}
