import { inOrder } from "../config/members.js";
import { fork, type ChildProcess } from "node:child_process";
import { once } from "node:events";
import type { Socket } from "node:net";
import type { Logger } from "pino";
import { ShouldersError } from "../errors.js";
import { Backends } from "./backends.js";
import { lifelineDescriptor } from "./lifeline.js";
import { Mailbox } from "./mailbox.js";
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
  QueryOutcome,
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

/** CUDA may have to compile for a new GPU first. */
const trialTimeoutMs = 120_000;

/** How long a child may take to end by itself before it is killed. */
const closeTimeoutMs = 10_000;
/** A child that has closed its pipe and has not ended after this time never will. */
const endTimeoutMs = 2_000;
const defaultLoadTimeoutMs = 120_000;
/** Deaths within this time count towards the back-off. */
const deathWindowMs = 60_000;
const freeRestarts = 3;
const maxBackoffMs = 30_000;
/** How often a child is asked whether it gets on. */
const watchIntervalMs = 1_000;
/**
 * Unread events of one request: past the first number its sequence is paused, down to the second it goes on. A full
 * trace has ten candidates of every model at each token, some 23 KB with eight experts.
 */
const unread = { pauseAt: 64, resumeAt: 16 };
const unreadFull = { pauseAt: 16, resumeAt: 4 };

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
  return client;
}

/** The server's handle on the engine child: fails what was running when it dies, and starts another one. */
class EngineClient implements Engine {
  readonly #options: StartEngineOptions;
  readonly #mailboxes = new Map<string, Mailbox<GenerationEvent>>();
  /** What was asked in this turn of the event loop. */
  readonly #outbox = new Map<string, GenerationRequest>();
  readonly #queries = new Map<string, (outcome: QueryOutcome) => void>();
  #numQueries = 0;
  #numRestarts = 0;
  readonly #stepListeners: ((sample: StepSample) => void)[] = [];
  #child: ChildProcess | null = null;
  #description: EngineDescription | null = null;
  /** What a child has found out and the next one need not. */
  #timings: KnownTimings | null = null;
  #stats = noStats;
  #deathTimes: number[] = [];
  #restartTimer: NodeJS.Timeout | null = null;
  #watchTimer: NodeJS.Timeout | null = null;
  /** Time since the child last showed that it gets on, in turns of the watch: a standstill of this process does not count. */
  #silentMs = 0;
  /** The file that the child last told of, until it is ready. */
  #loadingPath: string | null = null;
  #hasStalled = false;
  #isClosed = false;
  readonly #backends: Backends;

  constructor(options: StartEngineOptions) {
    const { configs, settings, log } = options;
    this.#options = options;
    this.#backends = new Backends({ requested: settings.backend, configs, log });
  }

  get description(): EngineDescription | null {
    return this.#description;
  }

  get stats(): EngineStats {
    return this.#stats;
  }

  get numRestarts(): number {
    return this.#numRestarts;
  }

  async query<Q extends EngineQuery>(
    query: Q,
    { party, signal }: Partial<Asker> = {},
  ): Promise<QueryResults[Q["type"]]> {
    this.#checkReady();
    signal?.throwIfAborted();
    const queryId = `query-${++this.#numQueries}`;
    let leave: () => void = () => undefined;
    const outcome = await new Promise<QueryOutcome>((resolve, reject) => {
      this.#queries.set(queryId, resolve);
      leave = () => {
        // The reason is whatever the signal's owner gave: an error of ours, or an AbortError.
        // eslint-disable-next-line @typescript-eslint/prefer-promise-reject-errors
        reject(signal?.reason);
        if (this.#queries.delete(queryId)) this.#send({ type: "cancel", requestId: queryId });
      };
      signal?.addEventListener("abort", leave, { once: true });
      this.#send({ type: "query", queryId, party: party ?? "", query });
    }).finally(() => signal?.removeEventListener("abort", leave));
    if (outcome.error) throw ShouldersError.fromData(outcome.error);
    return outcome.result as QueryResults[Q["type"]];
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
        const final = this.#backends.failed(ShouldersError.from(error));
        if (final !== null) throw final;
      }
    }
  }

  async #startOn(choice: BackendChoice): Promise<void> {
    const { configs, settings, entry, loadTimeoutMs = defaultLoadTimeoutMs } = this.#options;
    const paths = configs.flatMap(({ members }) => inOrder(members).map(({ path }) => path));
    const child = fork(entry ?? new URL("./child.js", import.meta.url), {
      serialization: "advanced",
      // Checking model files leaves garbage that V8 would keep room for; the child collects it once it has loaded.
      execArgv: ["--expose-gc"],
      // Every model's decode occupies a thread of libuv's pool while it runs; file and DNS work needs some too.
      // With an arena a thread, glibc would keep far more memory than is in use.
      env: {
        MALLOC_ARENA_MAX: "2",
        ...process.env,
        UV_THREADPOOL_SIZE: String(Math.max(4, new Set(paths).size + 2)),
      },
      // What native code prints must not mix with an answer on standard output.
      stdio: ["ignore", 2, 2, "ipc", "pipe"],
    });
    this.#child = child;
    this.#loadingPath = null;
    this.#hasStalled = false;
    const lifeline = child.stdio[lifelineDescriptor] as Socket | undefined;
    lifeline?.unref();
    lifeline?.on("error", () => undefined);
    child.once("disconnect", () => setTimeout(() => child.kill("SIGKILL"), endTimeoutMs).unref());
    this.#watchWith(loadTimeoutMs);
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
          this.#watchWith(message.description.stepTimeoutMs);
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
        reject(
          trial.isOn
            ? diedOnTrialError(trial.isLate, code, signal)
            : this.#hasStalled
              ? stalledError(this.#loadingPath, loadTimeoutMs)
              : diedLoadingError(this.#loadingPath, code, signal),
        );
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
      ...(request.trace === "full" ? unreadFull : unread),
      onFull,
    });
    this.#mailboxes.set(requestId, mailbox);
    const stop = () => mailbox.close();
    signal.addEventListener("abort", stop, { once: true });
    this.#submit(request);
    try {
      for await (const event of mailbox) {
        yield event;
        if (event.type === "done") return;
      }
    } finally {
      signal.removeEventListener("abort", stop);
      // Still there unless `done` or a failure came: the reader has left early.
      if (this.#mailboxes.delete(requestId) && !this.#outbox.delete(requestId))
        this.#send({ type: "cancel", requestId });
    }
  }

  #submit(request: GenerationRequest): void {
    if (this.#outbox.size === 0) queueMicrotask(() => this.#flush());
    this.#outbox.set(request.requestId, request);
  }

  /** Answers to one prompt are asked for together: what they share crosses the pipe and is read once. */
  #flush(): void {
    const groups: GenerationRequest[][] = [];
    for (const request of this.#outbox.values()) {
      const group = groups.find(([first]) => first && areChoices(first, request));
      if (group) group.push(request);
      else groups.push([request]);
    }
    this.#outbox.clear();
    for (const group of groups) {
      const choices = group.map(({ requestId, seed }) => ({ requestId, seed }));
      this.#send({ type: "submit", request: group[0] as GenerationRequest, choices });
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
    const exited = once(child, "exit");
    // One that still loads holds nothing that must be released, and may be too busy to hear.
    if (this.#description === null) child.kill("SIGKILL");
    else this.#send({ type: "shutdown" });
    const killer = setTimeout(() => child.kill("SIGKILL"), closeTimeoutMs);
    await exited;
    clearTimeout(killer);
  }

  #receive(message: Exclude<FromEngine, { type: "proved" | "ready" | "loadFailed" }>): void {
    if (message.type !== "pong") this.#silentMs = 0;
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
        if (message.step) for (const listener of this.#stepListeners) listener(message.step);
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
        this.#queries.get(message.queryId)?.(message.outcome);
        this.#queries.delete(message.queryId);
        break;
      case "pong":
        // A child that answers gets on, unless one step has been running all the time.
        // The child's clock also runs while both stood still: it may only lower what the watch has counted.
        this.#silentMs = Math.min(this.#silentMs, message.stepAgeMs ?? 0);
        break;
    }
  }

  #watchWith(timeoutMs: number): void {
    if (this.#watchTimer) clearInterval(this.#watchTimer);
    this.#silentMs = 0;
    this.#watchTimer = setInterval(() => this.#watch(timeoutMs), watchIntervalMs);
    this.#watchTimer.unref();
  }

  /** Kills a child that has not got on for longer than any step may take, whether or not it owes answers. */
  #watch(timeoutMs: number): void {
    if (this.#silentMs < timeoutMs) {
      this.#silentMs += watchIntervalMs;
      this.#send({ type: "ping" });
      return;
    }
    this.#options.log.error({ timeoutMs }, "the engine process hangs and is killed");
    this.#hasStalled = true;
    this.#child?.kill("SIGKILL");
  }

  #onExit(child: ChildProcess, code: number | null, signal: string | null): void {
    if (this.#child !== child) return;
    this.#child = null;
    if (this.#watchTimer) clearInterval(this.#watchTimer);
    const wasReady = this.#description !== null;
    this.#description = null;
    this.#stats = noStats;
    for (const mailbox of this.#mailboxes.values()) mailbox.fail(diedError(code, signal));
    this.#mailboxes.clear();
    for (const settle of this.#queries.values())
      settle({ result: null, error: diedError(code, signal).toData() });
    this.#queries.clear();
    if (this.#isClosed || !wasReady) return;
    this.#options.log.error({ code, signal }, "the engine process ended unexpectedly");
    this.#scheduleRestart();
  }

  #scheduleRestart(): void {
    const now = Date.now();
    this.#deathTimes = [...this.#deathTimes.filter((time) => now - time < deathWindowMs), now];
    const reason = `its engine died ${this.#deathTimes.length} times within a minute.`;
    if (this.#deathTimes.length >= freeRestarts && this.#backends.gaveOut(reason)) this.#deathTimes = [];
    const excess = this.#deathTimes.length - freeRestarts;
    const delayMs = excess > 0 ? Math.min(maxBackoffMs, 1000 * 2 ** excess) : 0;
    this.#restartTimer = setTimeout(() => {
      this.#numRestarts++;
      this.#options.log.warn("starting a new engine process");
      this.start().catch((error: unknown) => {
        this.#options.log.error({ err: error }, "the engine could not be restarted");
        if (!this.#isClosed) this.#scheduleRestart();
      });
    }, delayMs);
  }

  #send(message: ToEngine): void {
    // Between a death and its exit event there is nobody to tell; the exit event settles every request.
    const child = this.#child;
    if (!child?.connected) return;
    const failed = (cause: unknown) => {
      if (child.connected) this.#notSent(message, cause);
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

/** Whether they differ in id and seed alone. */
function areChoices(one: GenerationRequest, other: GenerationRequest): boolean {
  const fields = Object.keys(one) as (keyof GenerationRequest)[];
  return fields.every((field) => field === "requestId" || field === "seed" || one[field] === other[field]);
}

function diedError(code: number | null, signal: string | null): ShouldersError {
  return new ShouldersError(
    "engine_died",
    `The engine process ended (${signal ?? `exit code ${code}`}) and is being restarted: try again in a moment.`,
  );
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
