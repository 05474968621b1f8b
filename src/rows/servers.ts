import { ShouldersError } from "../errors.js";
import type { RemoteStats, RowReply, SequenceReply } from "./types.js";

/** What the servers that are asked over HTTP have in common. */

export interface HttpServerOptions {
  name: string;
  url: string;
  apiKey: string | null;
  timeoutMs: number;
  model: string | undefined;
  top: number;
}

export function noStats(): RemoteStats {
  return { requests: 0, retries: 0, failures: 0, roundTrips: 0, bytesSent: 0, bytesReceived: 0 };
}

/** What goes wrong ends one sequence, and is counted. */
export async function asReply(stats: RemoteStats, ask: () => Promise<RowReply[]>): Promise<SequenceReply> {
  try {
    return await ask();
  } catch (thrown) {
    stats.failures++;
    return ShouldersError.from(thrown);
  }
}
