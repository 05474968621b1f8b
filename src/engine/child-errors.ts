import { ShouldersError } from "../errors.js";

export function diedError(code: number | null, signal: string | null): ShouldersError {
  return new ShouldersError(
    "engine_died",
    `The engine process ended (${signal ?? `exit code ${code}`}) and is being restarted: try again in a moment.`,
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
}

export function diedEarlyError(
  { trial, stalledMs, path }: EarlyDeath,
  code: number | null,
  signal: string | null,
): ShouldersError {
  if (trial.isOn) return diedOnTrialError(trial.isLate, code, signal);
  return stalledMs === null ? diedLoadingError(path, code, signal) : stalledError(path, stalledMs);
}

function diedOnTrialError(isLate: boolean, code: number | null, signal: string | null): ShouldersError {
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

function stalledError(path: string | null, timeoutMs: number): ShouldersError {
  return new ShouldersError(
    "engine_died",
    `Loading ${path ?? "the library"} has not got on for ${timeoutMs / 1000} s and was ended. Can its disk be read?`,
  );
}
