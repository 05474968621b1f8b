import { ShouldersError } from "../../errors.js";
import type { ClientFrame, ServerFrame } from "../../wire/frames.js";
import type { ApiContext } from "../context.js";
import { feedbackQuerySchema, listOf, rate, unrate } from "../fusion/feedback.js";
import { toOpenAiError } from "../openai-error.js";

type FeedbackFrame = Extract<ClientFrame, { type: `feedback.${string}` }>;

/** What a socket is answered about ratings: the same as over HTTP. Never throws. */
export async function answerFeedback(
  context: ApiContext,
  owner: string,
  frame: FeedbackFrame,
): Promise<ServerFrame> {
  const event = frame.event_id == null ? {} : { event_id: frame.event_id };
  try {
    const leave = context.gate.limiter.enter(owner);
    try {
      return { ...(await answerOf(context, owner, frame)), ...event };
    } finally {
      leave();
    }
  } catch (thrown) {
    return { type: "error", error: { ...toOpenAiError(ShouldersError.from(thrown)).body.error, ...event } };
  }
}

async function answerOf({ feedback: log }: ApiContext, owner: string, frame: FeedbackFrame) {
  switch (frame.type) {
    case "feedback.create":
      return { type: "feedback.created", feedback: await rate(log, owner, frame) } as const;
    case "feedback.delete":
      return { type: "feedback.deleted", feedback: await unrate(log, owner, frame.trace) } as const;
    case "feedback.list": {
      const { model, limit, after } = frame;
      const query = feedbackQuerySchema.parse({
        ...(model != null && { model }),
        ...(limit != null && { limit }),
        ...(after != null && { after }),
      });
      return { type: "feedback.listed", feedback: await listOf(log, owner, query) } as const;
    }
  }
}
