import { z } from "zod";
import { countSchema } from "./numbers.js";
import { named } from "./registry.js";

/** Conversations that responses go on with. */

export const conversationSchema = named(
  "Conversation",
  z.strictObject({
    id: z.string(),
    object: z.literal("conversation"),
    created_at: countSchema.describe("Unix time, seconds."),
    metadata: z.record(z.string(), z.string()),
  }),
);

export const deletedConversationSchema = named(
  "DeletedConversation",
  z.strictObject({ id: z.string(), object: z.literal("conversation.deleted"), deleted: z.literal(true) }),
);

export type Conversation = z.output<typeof conversationSchema>;
export type DeletedConversation = z.output<typeof deletedConversationSchema>;
