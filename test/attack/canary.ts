import { type ChildProcess, fork } from "node:child_process";
import { once } from "node:events";

/** What one probe of the canary has seen. */
export interface Seen {
  /** How long each question waited for the end of its answer, ms. */
  waits: number[];
  /** Of streams: when their first text was there, ms. */
  firsts: number[];
  /** How often an answer was another than 200, by status or error. */
  failures: Record<string, number>;
}

export interface CanaryReport {
  livez: Seen;
  chat: Seen;
}

export interface CanaryOptions {
  url: string;
  /** Of another owner than the attacker's. */
  key: string;
  model: string;
}

/** A neighbour who goes on asking while others attack: `/livez` every 50 ms, a chat of 4 tokens every 200 ms. */
export class Canary implements AsyncDisposable {
  readonly #process: ChildProcess;

  constructor(options: CanaryOptions) {
    this.#process = fork(new URL("./canary.mjs", import.meta.url), { execArgv: [] });
    this.#process.send({ ...options, livezEveryMs: 50, chatEveryMs: 200 });
  }

  /** Waits for an answer to questions that are asked from here on, and tells of all since the last report. */
  async report(): Promise<CanaryReport> {
    const reported = once(this.#process, "message");
    this.#process.send("report");
    const [report] = (await reported) as [CanaryReport];
    return report;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    const exited = once(this.#process, "exit");
    this.#process.disconnect();
    await exited;
  }
}

export const worst = ({ waits }: Seen): number => Math.max(0, ...waits);

export function median(values: readonly number[]): number {
  const sorted = [...values].sort((a, b) => a - b);
  return sorted[Math.floor(sorted.length / 2)] ?? NaN;
}

/** What neighbours may feel of an attack. */
export interface Bounds {
  livezMs: number;
  chatMs: number;
  /** Of server and engine together, beyond what they held when idle. */
  growthMb: number;
}

/** The promise. `idle`: of the same server before anybody attacks it. */
export function exactBounds(idle: CanaryReport, stepMs: number): Bounds {
  return { livezMs: 250, chatMs: median(idle.chat.waits) + stepMs + 500, growthMb: 200 };
}

/** How many times longer than the longest wait of the idle server a wait may be where other programs run as well. */
const timesIdle = 10;

/**
 * What a machine that does other things as well can be held to: a stall that ends a service is seconds long. V8 keeps
 * up to some 100 MB of garbage before it collects it.
 */
export function generousBounds(idle: CanaryReport): Bounds {
  return {
    livezMs: Math.max(1500, timesIdle * worst(idle.livez)),
    chatMs: Math.max(4000, timesIdle * worst(idle.chat)),
    growthMb: 300,
  };
}
