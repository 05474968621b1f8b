import express, { type RequestHandler } from "express";
import { ShouldersError } from "../../errors.js";

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

/** Reads a JSON body. `strict: false`: that it must be an object is for the schema to say. */
export function jsonBody(bytes: number): RequestHandler[] {
  return [requireJson, express.json({ limit: bytes, strict: false })];
}
