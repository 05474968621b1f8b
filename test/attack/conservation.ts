import { get } from "./requests.js";
import { keys, type Target } from "./target.js";

export interface Accounts {
  /** Requests that were begun and have no outcome, or the other way round. */
  unaccounted: number;
  running: number;
  waiting: number;
}

/** Started = ok + client errors + server errors + aborted, and the gauges of what goes on. */
export async function conservationOf(target: Target): Promise<Accounts> {
  const { text } = await get(target, "/metrics", { key: keys.other, whole: true });
  const sum = (name: string) =>
    [...text.matchAll(new RegExp(`^shoulders_${name}(?:\\{.*\\})? (\\S+)$`, "gm"))].reduce(
      (total, [, value]) => total + Number(value),
      0,
    );
  return {
    unaccounted: sum("requests_started_total") - sum("requests_total"),
    running: sum("sequences_running"),
    waiting: sum("requests_waiting"),
  };
}
