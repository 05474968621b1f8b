import { ShouldersError } from "../errors.js";

/** @param servers RPC servers of its models: one that is lost ends the process */
export function diedError(
  code: number | null,
  signal: string | null,
  servers: readonly string[] = [],
): ShouldersError {
  const cause =
    servers.length === 0 ? "" : `, as it does when an RPC server is lost (${servers.join(", ")}),`;
  return new ShouldersError(
    "engine_died",
    `The engine process ended (${signal ?? `exit code ${code}`})${cause} and is being restarted: try again in a moment.`,
  );
}

/** How a child was when it ended before it was ready. */
export interface EarlyDeath {
  /** A backend on trial, and whether its first tokens came too late. */
  trial: { isOn: boolean; isLate: boolean };
  /** How long it had not got on when it was killed for that; null: it was not. */
  stalledMs: number | null;
  /** The file that it was loading. */
  path: string | null;
  /** RPC servers of its models. */
  servers: readonly string[];
}

export function diedEarlyError(
  { trial, stalledMs, path, servers }: EarlyDeath,
  code: number | null,
  signal: string | null,
): ShouldersError {
  if (trial.isOn) return diedOnTrialError(trial.isLate, code, signal);
  if (servers.length > 0) return diedWithServersError(servers, stalledMs, signal ?? `exit code ${code}`);
  return stalledMs === null ? diedLoadingError(path, code, signal) : stalledError(path, stalledMs);
}

export function diedOnTrialError(
  isLate: boolean,
  code: number | null,
  signal: string | null,
): ShouldersError {
  const reason = isLate
    ? "the engine process did not decode its first tokens in time and was killed."
    : `the engine process ended at its first decode (${signal ?? `exit code ${code}`}).`;
  return new ShouldersError("engine_died", reason);
}

/** The kernel kills a process that takes more memory than there is; it cannot say so itself. */
function diedLoadingError(path: string | null, code: number | null, signal: string | null): ShouldersError {
  return new ShouldersError(
    "engine_died",
    `The engine process ended while it loaded ${path ?? "its library"} (${signal ?? `exit code ${code}`}). The file ` +
      `may be damaged or of a kind that this llama.cpp cannot run: try it alone with "check". If memory ran out, ` +
      `lower context.tokens or context.sequences, or use smaller or more quantized files.`,
  );
}

/** libllama ends the process, or waits for ever, where a server does not do its part. */
function diedWithServersError(
  servers: readonly string[],
  stalledMs: number | null,
  how: string,
): ShouldersError {
  const what =
    stalledMs === null ? `ended (${how})` : `did not get on for ${stalledMs / 1000} s and was ended`;
  return new ShouldersError(
    "engine_died",
    `The engine process ${what} while it gave layers to RPC servers ${servers.join(", ")}. One of them was lost, ` +
      `hangs, or has too little memory: see what it printed, and whether it is still running.`,
  );
}

function stalledError(path: string | null, timeoutMs: number): ShouldersError {
  return new ShouldersError(
    "engine_died",
    `Loading ${path ?? "the library"} has not got on for ${timeoutMs / 1000} s and was ended. Can its disk be read?`,
  );
}
