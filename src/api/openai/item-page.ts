import { z } from "zod";
import { fieldError } from "../../errors.js";
import type { ItemList, ResponseItem } from "../../wire/response-item.js";

/** Lists of items, page by page. */

export const itemsQuerySchema = z.looseObject({
  limit: z.coerce.number().int().min(1).max(100).optional().describe("Most items. Default: 20."),
  order: z.enum(["asc", "desc"]).optional().describe("asc: oldest first. Default: desc."),
  after: z.string().optional().describe("Id of the item after which to go on."),
});

interface PageQuery {
  limit?: number | undefined;
  order?: "asc" | "desc" | undefined;
  after?: string | undefined;
}

/** @param items oldest first */
export function pageOf(
  items: readonly ResponseItem[],
  { limit = 20, order = "desc", after }: PageQuery,
): ItemList {
  const all = order === "asc" ? items : [...items].reverse();
  const before = after === undefined ? -1 : all.findIndex(({ id }) => id === after);
  if (after !== undefined && before < 0) throw fieldError("after", "no item of this id is in the list");
  const data = all.slice(before + 1, before + 1 + limit);
  return {
    object: "list",
    data,
    first_id: data[0]?.id ?? "",
    last_id: data.at(-1)?.id ?? "",
    has_more: before + 1 + limit < all.length,
  };
}
