/** OpenAI's `error.type` for each family of failures. */
export const errorTypes = [
  "invalid_request_error",
  "authentication_error",
  "not_found_error",
  "rate_limit_error",
  "server_error",
] as const;
type ErrorType = (typeof errorTypes)[number];

interface ErrorDefinition {
  /** HTTP status when the error reaches an HTTP client before the first byte of the answer. */
  status: number;
  type: ErrorType;
}

const badRequest = { status: 400, type: "invalid_request_error" } as const;
const notFound = { status: 404, type: "not_found_error" } as const;
const serverFault = { status: 500, type: "server_error" } as const;
const notReady = { status: 503, type: "server_error" } as const;

/** Every error of the program, once. The message is given where it is thrown and says what to do. */
const errorDefinitions = {
  // Requests
  invalid_json: badRequest,
  invalid_request: badRequest,
  unsupported_field: badRequest,
  context_length_exceeded: badRequest,
  invalid_api_key: { status: 401, type: "authentication_error" },
  host_forbidden: { status: 403, type: "invalid_request_error" },
  operator_required: { status: 403, type: "invalid_request_error" },
  rate_limited: { status: 429, type: "rate_limit_error" },
  expectation_failed: { status: 417, type: "invalid_request_error" },
  headers_too_large: { status: 431, type: "invalid_request_error" },
  request_timeout: { status: 408, type: "invalid_request_error" },
  model_not_found: { status: 404, type: "invalid_request_error" },
  trace_not_found: notFound,
  response_not_found: notFound,
  conversation_not_found: notFound,
  store_unavailable: notReady,
  route_not_found: notFound,
  method_not_allowed: { status: 405, type: "invalid_request_error" },
  unsupported_media_type: { status: 415, type: "invalid_request_error" },
  payload_too_large: { status: 413, type: "invalid_request_error" },
  queue_timeout: { status: 503, type: "server_error" },
  queue_full: { status: 429, type: "rate_limit_error" },
  too_many_responses: { status: 429, type: "rate_limit_error" },
  upgrade_required: { status: 426, type: "invalid_request_error" },
  origin_forbidden: { status: 403, type: "invalid_request_error" },
  too_many_connections: notReady,
  server_closing: notReady,
  // Set-up
  settings_invalid: badRequest,
  fusion_config_invalid: badRequest,
  evaluation_invalid: badRequest,
  calibration_invalid: badRequest,
  library_mismatch: serverFault,
  model_file_invalid: badRequest,
  adapter_invalid: badRequest,
  adapter_has_no_effect: badRequest,
  vocabulary_mismatch: badRequest,
  out_of_memory: { status: 507, type: "server_error" },
  // Generation
  rows_invalid: badRequest,
  non_finite_logits: serverFault,
  decode_failed: serverFault,
  engine_not_ready: notReady,
  engine_died: notReady,
  base_unavailable: notReady,
  rpc_unreachable: notReady,
  rpc_busy: notReady,
  rpc_version: badRequest,
  rpc_not_a_server: badRequest,
  rpc_not_built: serverFault,
  remote_failed: { status: 502, type: "server_error" },
  internal: serverFault,
} as const satisfies Record<string, ErrorDefinition>;

export type ErrorCode = keyof typeof errorDefinitions;
export const errorCodes = Object.keys(errorDefinitions) as ErrorCode[];

/** Plain data of an error: what crosses the pipe between engine and server. */
export type ErrorData = {
  code: ErrorCode;
  /** Path of the field at fault in the request, dotted (`messages.0.content`), or null. */
  param: string | null;
} & (
  | { message: string }
  /** Why the field cannot be taken; see `fieldError`. */
  | { reason: string }
);

interface ErrorOptions {
  param?: string | null;
  cause?: unknown;
  retryAfterSeconds?: number | null;
}

/** Longest path of a field that is repeated to a client, which may have made it up. */
const longestParam = 200;

/** The only error that is thrown on purpose: a code from the table, a message that says what to do. */
export class ShouldersError extends Error {
  readonly code: ErrorCode;
  readonly param: string | null;
  /** Why the field cannot be taken, from which the message is made; null: the message is a sentence of its own. */
  readonly reason: string | null;
  /** Time after which a new try may succeed; null: as the status says. */
  readonly retryAfterSeconds: number | null;

  constructor(code: ErrorCode, told: string | { reason: string }, options: ErrorOptions = {}) {
    const param = options.param?.slice(0, longestParam) ?? null;
    const message = typeof told === "string" ? told : fieldMessage(param, told.reason);
    super(message, options.cause === undefined ? undefined : { cause: options.cause });
    this.name = "ShouldersError";
    this.code = code;
    this.param = param;
    this.reason = typeof told === "string" ? null : told.reason;
    this.retryAfterSeconds = options.retryAfterSeconds ?? null;
  }

  get status(): number {
    return errorDefinitions[this.code].status;
  }

  get type(): ErrorType {
    return errorDefinitions[this.code].type;
  }

  /** The same fault, of the field by the name that this client knows it by. */
  at(param: string): ShouldersError {
    const { code, message, reason, cause, retryAfterSeconds } = this;
    return new ShouldersError(code, reason === null ? message : { reason }, {
      param,
      cause,
      retryAfterSeconds,
    });
  }

  /** The same with the place of what is wrong before its message: `file:line:column field`. */
  withPlace(place: string): ShouldersError {
    return new ShouldersError(this.code, `${place}: ${this.message}`, {
      param: this.param,
      cause: this.cause ?? this,
    });
  }

  toData(): ErrorData {
    const { code, message, reason, param } = this;
    return reason === null ? { code, message, param } : { code, reason, param };
  }

  static fromData(data: ErrorData): ShouldersError {
    const { code, param } = data;
    return new ShouldersError(code, "reason" in data ? { reason: data.reason } : data.message, { param });
  }

  /** Wraps whatever was thrown; what is not ours becomes `internal` and keeps its cause. */
  static from(thrown: unknown): ShouldersError {
    if (thrown instanceof ShouldersError) return thrown;
    return new ShouldersError("internal", "Internal error: see the server's log.", { cause: thrown });
  }
}

/**
 * A field of a request that cannot be taken.
 *
 * @param param its path, dotted; empty: the whole request
 * @param reason what is wrong, without the field's name and a full stop: `expected a number`
 */
export function fieldError(
  param: string,
  reason: string,
  code: "invalid_request" | "unsupported_field" = "invalid_request",
): ShouldersError {
  return new ShouldersError(code, { reason }, { param: param === "" ? null : param });
}

/** The sentence that a client gets of a field error. */
function fieldMessage(param: string | null, reason: string): string {
  // eslint-disable-next-line no-restricted-syntax -- the one place
  const field = param === null ? "Invalid request" : `Invalid '${param}'`;
  return `${field}: ${reason}${reason.endsWith("?") ? "" : "."}`;
}

/** Runs what may refuse a field, and gives the field the name that the client of this route knows it by. */
export function withFieldNames<Result>(nameOf: (param: string) => string, run: () => Result): Result {
  try {
    return run();
  } catch (thrown) {
    if (!(thrown instanceof ShouldersError) || thrown.param === null) throw thrown;
    throw thrown.at(nameOf(thrown.param));
  }
}

/** A condition that only a fault in this program can break. */
export function invariant(condition: unknown, message: string): asserts condition {
  if (!condition) throw new ShouldersError("internal", `Broken invariant: ${message}`);
}

/** The value itself, which only a fault in this program can leave out. @throws ShouldersError `internal` */
export function present<Value>(value: Value | null | undefined, what: string): Value {
  if (value === null || value === undefined)
    throw new ShouldersError("internal", `Broken invariant: there is no ${what}.`);
  return value;
}

/** What the operating system calls what went wrong (`ENOENT`); null: it is not of the system. */
export function systemCode(thrown: unknown): string | null {
  return thrown instanceof Error && "code" in thrown && typeof thrown.code === "string" ? thrown.code : null;
}
