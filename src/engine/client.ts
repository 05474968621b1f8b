import type { ChildProcess } from "node:child_process";
import type { Logger } from "pino";
import { serversOf } from "../config/rpc-servers.js";
import { ShouldersError, systemCode } from "../errors.js";
import { modelPaths } from "../config/members.js";
import { Backends, trialTimeoutMs } from "./backends.js";
import { diedEarlyError, diedError } from "./child-errors.js";
import { Deaths } from "./deaths.js";
import { ElectingEngine } from "./electing-engine.js";
import { endOf, forkChild } from "./fork-child.js";
import { Mailbox } from "./mailbox.js";
import { OpenQueries } from "./open-queries.js";
import { Outbox } from "./outbox.js";
import { Watch } from "./watch.js";
import type {
  Asker,
  BackendChoice,
  Engine,
  EngineDescription,
  EngineQuery,
  EngineSettings,
  EngineStats,
  FromEngine,
  GenerationEvent,
  GenerationRequest,
  QueryResults,
  ResolvedFusionConfig,
  StepSample,
  ToEngine,
} from "../protocol/protocol.js";
import type { KnownTimings } from "../protocol/timings.js";

export interface StartEngineOptions {
  configs: ResolvedFusionConfig[];
  settings: EngineSettings;
  log: Logger;
  /** Fraction of a model file that is loaded, 0 to 1. */
  onProgress: (modelPath: string, fraction: number) => void;
  /** The child's entry; the compiled one beside this file unless told otherwise. */
  entry?: URL;
  /** How long a child may load without getting on. Default: two minutes. */
  loadTimeoutMs?: number;
  /** How long a backend that is on trial may take for its first tokens; default: `trialTimeoutMs`. */
  trialTimeoutMs?: number;
}

const defaultLoadTimeoutMs = 120_000;
/**
 * Unread events of one request: past the first number its sequence is paused, down to the second it goes on. A full
 * trace has ten candidates of every model at each token, some 23 KB with eight experts.
 */
const unread = { plain: { pauseAt: 64, resumeAt: 16 }, full: { pauseAt: 16, resumeAt: 4 } };

const noStats: EngineStats = { steps: 0, running: 0, waiting: 0, cached: 0, residentBytes: 0, cells: {} };

/**
 * Starts the engine in a child process and waits until every model is loaded.
 *
 * @throws ShouldersError what made loading fail; the child is gone then.
 */
export async function startEngine(options: StartEngineOptions): Promise<Engine> {
  const client = new EngineClient(options);
  try {
    await client.start();
  } catch (error) {
    await client.close();
    throw error;
  }
  return new ElectingEngine(client, options);
}

/** The server's handle on the engine child: fails what was running when it dies, and starts another one. */
class EngineClient implements Engine {
  readonly #options: StartEngineOptions;
  readonly #mailboxes = new Map<string, Mailbox<GenerationEvent>>();
  readonly #outbox = new Outbox((request, choices) => this.#send({ type: "submit", request, choices }));
  readonly #queries = new OpenQueries((message) => this.#send(message));
  #numRestarts = 0;
  readonly #stepListeners: ((sample: StepSample) => void)[] = [];
  #child: ChildProcess | null = null;
  #description: EngineDescription | null = null;
  /** What a child has found out and the next one need not. */
  #timings: KnownTimings | null = null;
  #stats = noStats;
  readonly #deaths = new Deaths();
  #restartTimer: NodeJS.Timeout | null = null;
  readonly #watch = new Watch({
    ask: () => this.#send({ type: "ping" }),
    onStalled: (timeoutMs) => this.#killStalled(timeoutMs),
  });
  /** The file that the child last told of, until it is ready. */
  #loadingPath: string | null = null;
  #hasStalled = false;
  #isClosed = false;
  readonly #backends: Backends;
  /** RPC servers, whose faults end the child whatever it computes on. */
  readonly #servers: readonly string[];
  #trouble: string | null = null;

  constructor(options: StartEngineOptions) {
    const { configs, settings, log } = options;
    this.#options = options;
    this.#servers = serversOf(configs);
    this.#backends = new Backends({ requested: settings.backend, models: modelPaths(configs), log });
  }

  get description(): EngineDescription | null {
    return this.#description;
  }

  get trouble(): string | null {
    return this.#trouble;
  }

  get stats(): EngineStats {
    return this.#stats;
  }

  get numRestarts(): number {
    return this.#numRestarts;
  }

  async query<Q extends EngineQuery>(query: Q, asker: Partial<Asker> = {}): Promise<QueryResults[Q["type"]]> {
    this.#checkReady();
    return this.#queries.ask(query, asker);
  }

  onStep(listener: (sample: StepSample) => void): void {
    this.#stepListeners.push(listener);
  }

  /** Forks a child and resolves when it is ready, on the first backend that works. */
  async start(): Promise<void> {
    for (;;) {
      try {
        await this.#startOn(this.#backends.choice);
        this.#backends.settled();
        return;
      } catch (error) {
        if (this.#isClosed) throw error;
        const failure = ShouldersError.from(error);
        const isServers = this.#servers.length > 0 && failure.code === "engine_died";
        const final = isServers ? failure : this.#backends.failed(failure);
        if (final !== null) throw final;
      }
    }
  }

  async #startOn(choice: BackendChoice): Promise<void> {
    const { configs, settings, entry, loadTimeoutMs = defaultLoadTimeoutMs } = this.#options;
    const child = forkChild(entry ?? new URL("./child.js", import.meta.url), modelPaths(configs));
    this.#child = child;
    this.#loadingPath = null;
    this.#hasStalled = false;
    this.#watch.start(loadTimeoutMs);
    const trial = { isOn: choice.isTrial, isLate: false };
    const trialTimer = setTimeout(() => {
      trial.isLate = trial.isOn;
      if (trial.isOn) child.kill("SIGKILL");
    }, this.#options.trialTimeoutMs ?? trialTimeoutMs);
    const ready = new Promise<void>((resolve, reject) => {
      child.on("message", (message: FromEngine) => {
        if (message.type === "proved") {
          trial.isOn = false;
          this.#backends.proved();
        } else if (message.type === "ready") {
          this.#description = message.description;
          this.#trouble = null;
          this.#watch.start(message.description.stepTimeoutMs);
          resolve();
        } else if (message.type === "loadFailed") reject(ShouldersError.fromData(message.error));
        else this.#receive(message);
      });
      child.once("error", (error) => {
        reject(
          new ShouldersError("engine_died", "The engine process could not be started.", { cause: error }),
        );
      });
      child.once("exit", (code, signal) => {
        const stalledMs = this.#hasStalled ? loadTimeoutMs : null;
        const [path, servers] = [this.#loadingPath, this.#servers];
        reject(diedEarlyError({ trial, stalledMs, path, servers }, code, signal));
        this.#onExit(child, code, signal);
      });
      this.#send({ type: "load", configs, settings, choice, timings: this.#timings });
    });
    try {
      await ready;
    } catch (error) {
      // A child that could not load lives on, and another may be started in its place.
      child.kill("SIGKILL");
      throw error;
    } finally {
      clearTimeout(trialTimer);
    }
  }

  async *generate(request: GenerationRequest, signal: AbortSignal): AsyncGenerator<GenerationEvent, void> {
    this.#checkReady();
    if (signal.aborted) return;
    const { requestId } = request;
    const onFull = (isPaused: boolean) => this.#send({ type: "pause", requestId, isPaused });
    const mailbox = new Mailbox<GenerationEvent>({
      ...unread[request.trace === "full" ? "full" : "plain"],
      onFull,
    });
    this.#mailboxes.set(requestId, mailbox);
    const stop = () => mailbox.close();
    signal.addEventListener("abort", stop, { once: true });
    this.#outbox.push(request);
    try {
      for await (const event of mailbox) {
        yield event;
        if (event.type === "done") return;
      }
    } finally {
      signal.removeEventListener("abort", stop);
      // Still there unless `done` or a failure came: the reader has left early.
      if (this.#mailboxes.delete(requestId) && !this.#outbox.remove(requestId))
        this.#send({ type: "cancel", requestId });
    }
  }

  #checkReady(): void {
    if (this.#description === null)
      throw new ShouldersError("engine_not_ready", "The models are not loaded yet: try again in a moment.");
  }

  async close(): Promise<void> {
    this.#isClosed = true;
    if (this.#restartTimer) clearTimeout(this.#restartTimer);
    const child = this.#child;
    // One without an id could not even be started.
    if (!child?.pid || child.exitCode !== null || child.signalCode !== null) return;
    const ended = endOf(child);
    // One that still loads holds nothing that must be released, and may be too busy to hear.
    if (this.#description === null) child.kill("SIGKILL");
    else this.#send({ type: "shutdown" });
    await ended;
  }

  #hearStep(step: StepSample): void {
    this.#watch.stepTook(Object.values(step.decodeMs).reduce((sum, ms) => sum + ms, 0));
    for (const listener of this.#stepListeners) listener(step);
  }

  #receive(message: Exclude<FromEngine, { type: "proved" | "ready" | "loadFailed" }>): void {
    if (message.type !== "pong") this.#watch.gotOn();
    switch (message.type) {
      case "progress":
        this.#loadingPath = message.modelPath;
        this.#options.onProgress(message.modelPath, message.fraction);
        break;
      case "events":
        this.#stats = message.stats;
        for (const { requestId, event } of message.events) {
          this.#mailboxes.get(requestId)?.push(event);
          if (event.type === "done") this.#mailboxes.delete(requestId);
        }
        if (message.step) this.#hearStep(message.step);
        break;
      case "decoding":
        this.#timings = message.timings;
        if (this.#description) this.#description = { ...this.#description, decoding: message.decoding };
        break;
      case "failed":
        this.#mailboxes.get(message.requestId)?.fail(ShouldersError.fromData(message.error));
        this.#mailboxes.delete(message.requestId);
        break;
      case "answer":
        this.#queries.settle(message.queryId, message.outcome);
        break;
      case "pong":
        this.#watch.ponged(message.stepAgeMs);
        break;
    }
  }

  #killStalled(timeoutMs: number): void {
    this.#options.log.error({ timeoutMs }, "the engine process hangs and is killed");
    this.#hasStalled = true;
    this.#child?.kill("SIGKILL");
  }

  #onExit(child: ChildProcess, code: number | null, signal: string | null): void {
    if (this.#child !== child) return;
    this.#child = null;
    this.#watch.stop();
    const wasReady = this.#description !== null;
    this.#description = null;
    this.#stats = noStats;
    const error = diedError(code, signal, this.#servers);
    for (const mailbox of this.#mailboxes.values()) mailbox.fail(error);
    this.#mailboxes.clear();
    this.#queries.fail(error);
    if (this.#isClosed || !wasReady) return;
    this.#note(error);
    this.#options.log.error({ code, signal }, "the engine process ended unexpectedly");
    this.#scheduleRestart();
  }

  /** Remembers what everybody may be told: of others' faults, and no files. */
  #note({ code, message }: ShouldersError): void {
    const isServers = this.#servers.length > 0 && (code === "engine_died" || code.startsWith("rpc_"));
    this.#trouble = isServers ? message : null;
  }

  #scheduleRestart(): void {
    this.#deaths.add();
    const reason = `its engine died ${this.#deaths.count} times within a minute.`;
    if (this.#servers.length === 0 && this.#deaths.areMany && this.#backends.gaveOut(reason))
      this.#deaths.forget();
    this.#restartTimer = setTimeout(() => {
      this.#numRestarts++;
      this.#options.log.warn("starting a new engine process");
      this.start().catch((error: unknown) => {
        this.#note(ShouldersError.from(error));
        this.#options.log.error({ err: error }, "the engine could not be restarted");
        if (!this.#isClosed) this.#scheduleRestart();
      });
    }, this.#deaths.delayMs);
  }

  #send(message: ToEngine): void {
    // Between a death and its exit event there is nobody to tell; the exit event settles every request.
    const child = this.#child;
    if (!child?.connected) return;
    const failed = (cause: unknown) => {
      const hasEnded = !child.connected || systemCode(cause) === "EPIPE";
      if (!hasEnded) this.#notSent(message, cause);
    };
    try {
      child.send(message, (error) => {
        if (error) failed(error);
      });
    } catch (thrown) {
      failed(thrown);
    }
  }

  /** Ends what a message asked for that the pipe did not take: the child, which lives on, knows nothing of it. */
  #notSent(message: ToEngine, cause: unknown): void {
    const error = ShouldersError.from(cause).toData();
    this.#options.log.error({ err: cause, type: message.type }, "a message could not be sent to the engine");
    if (message.type === "submit")
      for (const { requestId } of message.choices) this.#receive({ type: "failed", requestId, error });
    if (message.type === "query")
      this.#receive({ type: "answer", queryId: message.queryId, outcome: { result: null, error } });
  }
}
