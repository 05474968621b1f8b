import { present } from "../errors.js";
import type { ModelSlot } from "./loaded-models.js";
import type { Sequence } from "./sequence.js";
import { isEndFor } from "./token-roles.js";

/** Whether a token that is drawn ends the answer: for its request, or for any of its models. */
export function endsAnswer(
  { config, request, allCursors }: Sequence,
  token: number,
  slots: readonly ModelSlot[],
): boolean {
  const isEndOf = (model: number) =>
    isEndFor(present(slots[model], "slot").model.vocabulary, config.roles.get(model), token);
  return (
    request.stopTokens.includes(token) ||
    allCursors.some(({ model }) => (config.reader === null || model === config.base.model) && isEndOf(model))
  );
}
