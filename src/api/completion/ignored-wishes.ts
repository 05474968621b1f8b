import type { ChatBody, TextBody } from "../openai/schemas.js";

/** Chats refuse it. */
const isUnasked = (body: ChatBody | TextBody): boolean =>
  body.logprobs == null && (body.top_logprobs ?? 0) > 0;

/** What is known and annotates only. */
export function ignoredWishes(body: ChatBody | TextBody): string[] {
  const { store, metadata, service_tier: tier } = body;
  const { verbosity = null } = "messages" in body ? (body as ChatBody) : {};
  return [
    ...(verbosity !== null && verbosity !== "medium" ? ["verbosity"] : []),
    ...(isUnasked(body) ? ["top_logprobs"] : []),
    ...("add_special_tokens" in body && body.add_special_tokens === false ? ["add_special_tokens"] : []),
    ...(store === true ? ["store"] : []),
    ...(Object.keys(metadata ?? {}).length > 0 ? ["metadata"] : []),
    ...(tier != null && tier !== "auto" && tier !== "default" ? ["service_tier"] : []),
  ];
}
