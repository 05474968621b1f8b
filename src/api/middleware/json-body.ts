import express, { type RequestHandler } from "express";
import { jsonExcess } from "../../config/json-size.js";
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

/** Before it is parsed. In UTF-16 brackets and quotes could hide in other characters. Express adds to what is thrown. */
function checkBody(_request: unknown, _response: unknown, bytes: Buffer, encoding: string): void {
  if (encoding !== "utf-8") throw Object.assign(new Error("not UTF-8"), { status: 415 });
  const excess = jsonExcess(bytes);
  if (excess !== null) throw Object.assign(new Error(excess), { status: 400, type: "json.excess" });
}

/** Reads a JSON body. `strict: false`: that it must be an object is for the schema to say. */
export function jsonBody(bytes: number): RequestHandler[] {
  return [requireJson, express.json({ limit: bytes, strict: false, verify: checkBody })];
}
