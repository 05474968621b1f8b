import { collectDefaultMetrics } from "prom-client";
import type { Engine } from "../protocol/protocol.js";
import type { CloseReason } from "./access/connections.js";
import { AnswerMetrics, type CompletionTimer } from "./answer-metrics.js";
import { observeEngine } from "./engine-metrics.js";
import { Meters } from "./meters.js";

/** `client_error` and `server_error` by status; `aborted`: the client left before the end. */
export const outcomes = ["ok", "client_error", "server_error", "aborted"] as const;
export type Outcome = (typeof outcomes)[number];

export function outcomeOf(status: number): Outcome {
  if (status >= 500) return "server_error";
  return status >= 400 ? "client_error" : "ok";
}

export interface ServerFigures {
  connections: () => number;
  webSockets: () => number;
  takesFeedback: () => boolean;
  droppedLogLines: () => number;
}

export interface RequestLabels {
  /** The route's pattern, never a client's path. */
  route: string;
  /** Id of a loaded config, or none. */
  model: string;
  /** Name of the API key. */
  owner: string;
  outcome: Outcome;
}

/** Every metric of the server, in a registry of its own. */
export class Metrics extends Meters {
  readonly #started = this.counter("requests_started_total", "Requests begun; each ends in one outcome.");
  readonly #requests = this.counter("requests_total", "Requests ended.", ["route", "model", "outcome"]);
  readonly #keyRequests = this.counter("key_requests_total", "Requests ended, by API key.", [
    "key",
    "outcome",
  ]);
  readonly #closed = this.counter(
    "connections_closed_total",
    "Connections that the server ended, or did not take, for what their peers did.",
    ["reason"],
  );
  readonly #answers = new AnswerMetrics(this.registry);

  constructor(engine: Engine) {
    super();
    collectDefaultMetrics({ register: this.registry });
    observeEngine(this, engine);
  }

  /** What the server tells of itself. */
  observeServer(read: ServerFigures): void {
    this.gauge("connections", "Open connections.", (gauge) => gauge.set(read.connections()));
    this.gauge("websockets", "Open WebSockets.", (gauge) => gauge.set(read.webSockets()));
    this.gauge("feedback_on", "Whether ratings and responses can be kept now.", (gauge) =>
      gauge.set(Number(read.takesFeedback())),
    );
    this.gauge("log_lines_dropped", "Log lines lost, because nobody took them.", (gauge) =>
      gauge.set(read.droppedLogLines()),
    );
  }

  /** The metrics, but for what is told of other keys. */
  async textFor(owner: string): Promise<string> {
    const lines = (await this.registry.metrics()).split("\n");
    const isOfAnother = (line: string) =>
      line.startsWith("shoulders_key_") && !line.includes(`{key="${owner}"`);
    return lines.filter((line) => !isOfAnother(line)).join("\n");
  }

  connectionClosed(reason: CloseReason): void {
    this.#closed.inc({ reason });
  }

  requestStarted(): void {
    this.#started.inc();
  }

  requestEnded(labels: RequestLabels): void {
    const { route, model, owner, outcome } = labels;
    this.#requests.inc({ route, model, outcome });
    this.#keyRequests.inc({ key: owner, outcome });
  }

  startCompletion(config: string, owner: string): CompletionTimer {
    return this.#answers.start(config, owner);
  }
}
