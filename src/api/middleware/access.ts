import type { RequestHandler } from "express";
import { allBusy } from "../access/connections.js";
import { anonymous } from "../access/key-ring.js";
import { ShouldersError } from "../../errors.js";
import type { ApiContext } from "../context.js";
import { isHealth } from "../health.js";
import { localsOf } from "./locals.js";
import { operations } from "./observe.js";

/** Lets in who may come in, before any route is looked for; what needs a key also counts against its limits. */
export function access({ gate, connections }: ApiContext): RequestHandler {
  return (request, response, next) => {
    response.set("X-Content-Type-Options", "nosniff");
    gate.checkOrigin(request);
    const { origin } = request.headers;
    if (gate.hasOrigins) response.vary("Origin");
    if (gate.isListedOrigin(origin)) {
      response.set({
        "Access-Control-Allow-Origin": origin,
        "Access-Control-Expose-Headers": "X-Request-Id, X-Shoulders-Trace, X-Shoulders-Replica, Retry-After",
      });
      if (request.method === "OPTIONS" && request.headers["access-control-request-method"] !== undefined) {
        response.set({
          "Access-Control-Allow-Methods": "GET, POST, DELETE",
          "Access-Control-Allow-Headers": request.get("access-control-request-headers") ?? "",
          "Access-Control-Max-Age": "600",
        });
        response.status(204).end();
        return;
      }
    }
    const owner = gate.identify(request);
    localsOf(response).owner = owner ?? anonymous;
    localsOf(response).party = gate.partyOf(request, owner);
    if (connections.isReserved(request.socket) && !isHealth(request.url)) throw allBusy();
    if (owner !== null && !operations.has(request.path)) {
      response.once("close", gate.limiter.enter(owner));
      if (gate.hasKeys) response.once("close", connections.enterOwner(owner));
    }
    const { expect } = request.headers;
    if (expect !== undefined && expect.toLowerCase() !== "100-continue")
      throw new ShouldersError("expectation_failed", "The only known Expect header is '100-continue'.");
    next();
  };
}
