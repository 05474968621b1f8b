import express, { type Request, type RequestHandler } from "express";
import { jsonExcess } from "../../config/json-size.js";
import { ShouldersError } from "../../errors.js";
import type { Bodies } from "../access/bodies.js";
import type { Turns } from "../access/turns.js";
import { localsOf } from "./locals.js";

const requireJson: RequestHandler = (request, _response, next) => {
  if (!request.is("application/json") && hasBody(request.headers))
    throw new ShouldersError(
      "unsupported_media_type",
      "Send the body as JSON, with the header 'Content-Type: application/json'.",
    );
  next();
};

function hasBody(headers: NodeJS.Dict<string | string[]>): boolean {
  return headers["transfer-encoding"] !== undefined || Number(headers["content-length"] ?? 0) > 0;
}

/** Has the body read when there is room for it, and keeps the room until the answer is over. */
function whenThereIsRoom(bodies: Bodies, most: number): RequestHandler {
  return (request, response, next) => {
    const { "content-length": length, "content-encoding": encoding } = request.headers;
    // As large as it may be where it does not say, or is not what it says.
    const bytes = length === undefined || encoding !== undefined ? most : Math.min(most, Number(length));
    const { party } = localsOf(response);
    response.once("close", bodies.hold({ party, bytes, read: next }));
  };
}

const decoder = new TextDecoder();
/** Of UTF-8 and of what is a part of it. */
const utf8Names = new Set(["utf-8", "utf8", "us-ascii", "ascii"]);

/** In its turn: what comes after it up to the first wait is done in the same turn. */
function parseJson(turns: Turns): RequestHandler {
  return (request, response, next) => {
    const bytes: unknown = request.body;
    // There is none.
    if (!Buffer.isBuffer(bytes)) {
      next();
      return;
    }
    const parse = () => {
      // Whoever has left is answered nothing.
      if (response.destroyed) return;
      try {
        request.body = parsed(bytes, charsetOf(request));
      } catch (error) {
        next(error);
        return;
      }
      next();
    };
    turns.take(localsOf(response).party, parse);
  };
}

/** @throws ShouldersError */
function parsed(bytes: Buffer, charset: string): unknown {
  // In UTF-16 brackets and quotes could hide in other characters.
  if (!utf8Names.has(charset))
    throw new ShouldersError(
      "unsupported_media_type",
      "Send the body as UTF-8, plain or compressed with gzip, deflate or br.",
    );
  const excess = jsonExcess(bytes);
  if (excess !== null) throw new ShouldersError("invalid_json", `The body cannot be taken: ${excess}.`);
  // A common mistake of clients.
  if (bytes.length === 0) return {};
  try {
    return JSON.parse(decoder.decode(bytes)) as unknown;
  } catch {
    throw new ShouldersError("invalid_json", "The body is not valid JSON.");
  }
}

function charsetOf(request: Request): string {
  const [, charset = "utf-8"] =
    /;\s*charset\s*=\s*"?([^\s;"]+)/i.exec(request.headers["content-type"] ?? "") ?? [];
  return charset.toLowerCase();
}

/** Reads a JSON body of at most so many bytes. That it must be an object is for the schema to say. */
export function jsonBody(
  { bodies, turns }: { bodies: Bodies; turns: Turns },
  bytes: number,
): RequestHandler[] {
  const read = express.raw({ limit: bytes, type: "application/json" });
  return [requireJson, whenThereIsRoom(bodies, bytes), read, parseJson(turns)];
}
