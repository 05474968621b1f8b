import type { ShouldersError } from "../errors.js";
import type { RowEntries } from "./partial-row.js";

/** What is asked of a row. */
export interface RowWish {
  /** How many of its best entries; the server may have a limit. "all": the row. */
  top: number | "all";
  /** Tokens whose entries are wanted beside. */
  ids: readonly number[];
}

/** What one sequence wants of a decode. */
export interface SequenceRows {
  sequenceId: number;
  /** All its tokens, those of this decode at their end. */
  tokens: readonly number[];
  /** Rows after the tokens at these places, in order; none: the tokens are only to be read. */
  rows: readonly { position: number; wish: RowWish }[];
}

/** A row: all its logits, or some entries. */
export type RowReply = Float32Array | RowEntries;

/** The rows of one sequence in the order in which they were asked for, or why there are none. */
export type SequenceReply = RowReply[] | ShouldersError;

/** What was sent and received, since the start. */
export interface RemoteStats {
  /** Requests, or messages, that were sent, retries included. */
  requests: number;
  /** Those that had to be sent again. */
  retries: number;
  /** Sequences that ended because the server could not be asked. */
  failures: number;
  /** Decodes that waited for the server. */
  roundTrips: number;
  bytesSent: number;
  bytesReceived: number;
}

/** What came since. */
export function statsSince(now: RemoteStats, before: RemoteStats): RemoteStats {
  return {
    requests: now.requests - before.requests,
    retries: now.retries - before.retries,
    failures: now.failures - before.failures,
    roundTrips: now.roundTrips - before.roundTrips,
    bytesSent: now.bytesSent - before.bytesSent,
    bytesReceived: now.bytesReceived - before.bytesReceived,
  };
}

/** A server that has the base: it is told sequences of tokens, and gives rows. */
export interface RowServer extends AsyncDisposable {
  /** Whose answers these are, for messages: `vllm at http://127.0.0.1:8000`. */
  readonly name: string;
  readonly stats: RemoteStats;
  /** Most entries of a row that can be asked for; known once it was proved. */
  readonly mostTop: number;
  /** Whether entries of single tokens can be asked for; known once it was proved. */
  readonly givesIds: boolean;
  /** Ends after its time-out at the latest. Never throws: what fails, fails for its sequence. */
  fetch(wanted: readonly SequenceRows[]): Promise<SequenceReply[]>;
  /** Tokens of a text, control tokens not looked for and none added. @throws ShouldersError `base_unavailable` */
  tokenize(text: string): Promise<readonly number[]>;
  /**
   * Finds out what it can do.
   *
   * @param contextTokens what sequences may come to hold.
   * @throws ShouldersError `base_unavailable`, or `fusion_config_invalid`: it cannot do what the config wants.
   */
  prove(contextTokens: number): Promise<void>;
  /** A sequence is cut back to so many tokens. */
  cut(sequenceId: number, length: number): void;
  /** A sequence that was empty begins with the first tokens of another. */
  copyPrefix(from: number, to: number, length: number): void;
}
