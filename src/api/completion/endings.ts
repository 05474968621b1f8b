import { fieldError } from "../../errors.js";
import type { GenerationRequest } from "../../protocol/protocol.js";
import type { ChatBody, TextBody } from "../openai/schemas.js";

/**
 * What ends an answer besides its models.
 *
 * @param most tokens that are drawn; null: no bound
 * @throws ShouldersError for a least length of more than that
 */
export function endingsOf(
  { min_tokens: least, ignore_eos: isEndless, stop, stop_token_ids: stopTokens }: ChatBody | TextBody,
  most: number | null,
): Pick<GenerationRequest, "minTokens" | "stop" | "stopTokens"> {
  if (least != null && most !== null && least > most)
    throw fieldError("min_tokens", `${least} are more than max_tokens = ${most}`);
  return {
    minTokens: isEndless === true ? Infinity : (least ?? 0),
    stop: [stop ?? []].flat().filter((text) => text !== ""),
    stopTokens: stopTokens ?? [],
  };
}
