import type { Response } from "express";
import type { ShouldersError } from "../../errors.js";
import type { Outcome } from "../metrics.js";

/** What the middlewares and routes know of one request. */
export interface RequestLocals {
  requestId: string;
  /** Pattern of the route that took it. */
  route: string;
  /** Id of a loaded config, or none. */
  model: string;
  /** Name of the key that was shown. */
  owner: string;
  /** Who shares evenly in what is given out: the key's name or, where there are no keys, the client's address. */
  party: string;
  /** Set where the status does not tell: a stream that failed. */
  outcome: Outcome | null;
  error: ShouldersError | null;
}

export function localsOf(response: Response): RequestLocals {
  return response.locals as RequestLocals;
}
