import type { RequestHandler } from "express";
import type { z } from "zod";

/** One route: what express serves, and what the OpenAPI document says of it. */
export interface Route {
  method: "GET" | "POST" | "DELETE";
  /** Express's pattern; also the label in metrics and logs. */
  path: string;
  /** Its id in the OpenAPI document. */
  operation: string;
  /** One line for the OpenAPI document. */
  summary: string;
  body?: z.ZodType;
  query?: z.ZodType;
  /** Its body names the model that answers, which is kept loaded meanwhile. */
  holdsModel?: boolean;
  /** Its good answer, where that is JSON. */
  json?: z.ZodType;
  /** Of an answer as server-sent events: what the data of each is, the last one's `[DONE]` apart. */
  event?: z.ZodType;
  /** Of a WebSocket: the frames that it sends. */
  frame?: z.ZodType;
  /** Its errors, where they are not as OpenAI writes them. */
  error?: z.ZodType;
  /** A media type of its good answer that is plain text. */
  text?: string;
  handler: RequestHandler<{ id: string }>;
}

/** A route whose handler answers JSON: what it answers has to be of the schema's type. */
export function jsonRoute<Json extends z.ZodType>(
  route: Route & { json: Json; handler: RequestHandler<{ id: string }, z.output<Json>> },
): Route {
  return route;
}
