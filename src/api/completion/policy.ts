import { createHash } from "node:crypto";
import type { PoliciesConfig } from "../../config/policies.js";
import { fieldError } from "../../errors.js";
import type { PolicyDraw } from "../../feedback/feedback-log.js";
import type { PolicyRules } from "../../feedback/policy-desk.js";
import type { ConfigDescription, GenerationRequest } from "../../protocol/protocol.js";
import type { ApiContext } from "../context.js";
import type { ChatBody, TextBody } from "../openai/schemas.js";

/** How an answer comes to its policy. */
export interface PolicyPlan {
  policies: PoliciesConfig;
  /** null: it is drawn. */
  id: string | null;
  /** What tells conversations apart. */
  conversation: string;
  /** Nothing was answered in it before, and it has no name. */
  begins: boolean;
}

export function rulesOf({ arms, choose, explore, halfLife }: PoliciesConfig): PolicyRules {
  return { ids: Object.keys(arms), choose, explore, halfLife };
}

/** @throws ShouldersError for a policy that there is not */
export function policyOf(body: ChatBody | TextBody, { policies }: ConfigDescription): PolicyPlan | null {
  const { policy = null, ...fusion } = body.fusion ?? {};
  const own = [fusion.strategy, fusion.weights, fusion.bounds, fusion.prior, fusion.budget, fusion.loss];
  const isOwn = own.some((value) => value != null);
  if (policy !== null && (policies === null || isOwn))
    throw fieldError(
      "fusion.policy",
      policies === null
        ? "this model has no policies; leave it out"
        : "give either a policy or a strategy of your own",
    );
  if (policies === null || isOwn) return null;
  const id = policy === null || policy === "auto" ? null : policy;
  if (id !== null && !(id in policies.arms))
    throw fieldError(
      "fusion.policy",
      `no policy "${id}"; known: auto, ${Object.keys(policies.arms).join(", ")}`,
    );
  return { policies, id, ...conversationOf(body) };
}

/** Told by its name, or by how it began. */
function conversationOf(body: ChatBody | TextBody): Pick<PolicyPlan, "conversation" | "begins"> {
  const name = body.metadata?.["conversation"];
  if (typeof name === "string") return { conversation: `name ${digestOf(name)}`, begins: false };
  if (!("messages" in body)) return { conversation: `text ${digestOf(body.prompt)}`, begins: true };
  const { messages } = body as ChatBody;
  const first = messages.findIndex(({ role }) => role === "user");
  return {
    conversation: `begins ${digestOf(messages.slice(0, first + 1))}`,
    begins: !messages.some(({ role }) => role === "assistant"),
  };
}

const digestOf = (value: unknown): string =>
  createHash("sha256").update(JSON.stringify(value)).digest("base64url").slice(0, 22);

/** What of a plan says how its answers are drawn. */
interface Drawn {
  policy: PolicyPlan | null;
  request: Pick<GenerationRequest, "owner" | "configId" | "strategy">;
  draw: PolicyDraw | null;
}

/** The plan with the strategy of its policy, which all its answers share. */
export async function withPolicy<Plan extends Drawn>(
  { policies: desk }: ApiContext,
  plan: Plan,
): Promise<Plan> {
  const { policy, request } = plan;
  if (policy === null) return plan;
  const { policies, id, ...conversation } = policy;
  const place = { owner: request.owner, model: request.configId };
  const draw =
    id === null
      ? await desk.draw(place, rulesOf(policies), conversation)
      : { id, probability: 1, gamma: 0, isDrawn: false };
  return { ...plan, draw, request: { ...request, strategy: policies.arms[draw.id] ?? request.strategy } };
}
