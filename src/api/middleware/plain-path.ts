import type { RequestHandler } from "express";

/**
 * Paths as programs join them: an address that ends in `/` or `/v1`, and a path that begins so; and Azure's, where the
 * body names the model, too. It comes after the gate, which looks at a path as it was sent.
 */
export const plainPath: RequestHandler = (request, _response, next) => {
  if (request.url.startsWith("/")) request.url = request.url.replace(/^[^?]*/, joinedPath);
  next();
};

/** The path that was meant. */
export const joinedPath = (path: string): string =>
  path
    .replaceAll(/\/{2,}/g, "/")
    .replace(/^(?:\/v1)?\/openai\/(?:v1|deployments\/[^/]+)(?=\/)/, "/v1")
    .replace(/^(?:\/v1)+(?=\/v1\/)/, "");
