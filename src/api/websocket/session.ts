import { randomUUID } from "node:crypto";
import type { WebSocket } from "ws";
import { jsonExcess } from "../../config/json-size.js";
import { fieldError, ShouldersError } from "../../errors.js";
import type { ApiContext } from "../context.js";
import { outcomeOf, type Outcome } from "../metrics.js";
import { toOpenAiError } from "../openai-error.js";
import type { WriteGrammar } from "../completion/answer-grammar.js";
import { tryPlan } from "../completion/grammar-desk.js";
import type { GrammarTask } from "../completion/grammar-thread.js";
import type { Requester } from "../completion/plan.js";
import { parseRequest } from "../parse.js";
import { clientFrameSchema, type ClientFrame, type ServerFrame } from "../../wire/frames.js";
import { answerFeedback } from "./feedback.js";
import { planJob, type Asked, type Job, type JobKind } from "./job.js";

export const streamRoute = "/v1/stream";

/** One client on the WebSocket and its running responses. */
export class StreamSession {
  readonly #context: ApiContext;
  readonly #socket: WebSocket;
  /** Name of the key that opened it. */
  readonly owner: string;
  readonly party: string;
  readonly #running = new Map<string, AbortController>();
  /** Frames that are not handled yet; while there are any, no more are read. */
  readonly #frames: { bytes: Buffer; isBinary: boolean }[] = [];
  #hasAnsweredPing = true;
  #isClosing = false;
  #numWaiting = 0;

  constructor(context: ApiContext, socket: WebSocket, { owner, party }: Requester) {
    this.#context = context;
    this.owner = owner;
    this.party = party;
    this.#socket = socket;
    socket.on("message", (data, isBinary) => this.#take(data as Buffer, isBinary));
    socket.on("ping", (data) => this.#answer(() => socket.pong(data)));
    socket.on("pong", () => {
      this.#hasAnsweredPing = true;
    });
    socket.on("close", () => this.#cancelAll());
    // A broken frame or connection: `close` follows, with the code that tells why.
    socket.on("error", () => undefined);
    const { engine, limits } = context;
    this.#reply({
      type: "session.created",
      session: {
        id: `sess-${randomUUID().replaceAll("-", "")}`,
        models: engine.description?.configs.map(({ id }) => id) ?? [],
        limits: { responses: limits.socketResponses, frame_bytes: limits.socketFrameBytes },
      },
    });
  }

  /** Pings, or ends the connection when the ping before had no answer. */
  checkAlive(): void {
    if (!this.#hasAnsweredPing) {
      this.#socket.terminate();
      return;
    }
    this.#hasAnsweredPing = false;
    this.#socket.ping();
  }

  get isIdle(): boolean {
    return this.#running.size === 0;
  }

  /** Another key has fewer sockets than this one's. */
  giveWay(): void {
    this.#drop(1013, "Others need the socket.");
  }

  /** Closes with 1001 as soon as the running responses are done. */
  closeWhenIdle(): void {
    this.#isClosing = true;
    if (this.#running.size === 0) this.#socket.close(1001, "The server is shutting down.");
  }

  /** Every running response fails with this. */
  cut(reason: ShouldersError): void {
    for (const controller of this.#running.values()) controller.abort(reason);
  }

  terminate(): void {
    this.#socket.terminate();
  }

  /** Frames are handled in their turn; while one waits, no more are read. */
  #take(bytes: Buffer, isBinary: boolean): void {
    this.#frames.push({ bytes, isBinary });
    if (this.#frames.length === 1) this.#context.turns.take(this.party, () => this.#handleNext());
    if (this.#frames.length > 0) this.#socket.pause();
  }

  #handleNext(): void {
    const [frame] = this.#frames;
    if (frame) this.#receive(frame.bytes, frame.isBinary);
    this.#frames.shift();
    if (this.#frames.length > 0) this.#context.turns.take(this.party, () => this.#handleNext());
    else if (this.#socket.isPaused) this.#socket.resume();
  }

  #receive(bytes: Buffer, isBinary: boolean): void {
    if (this.#socket.readyState !== this.#socket.OPEN) return;
    if (isBinary) {
      this.#drop(1003, "Frames must be JSON text.");
      return;
    }
    let eventId: string | null = null;
    try {
      const value = parseJson(bytes);
      eventId = eventIdOf(value);
      this.#handle(parseRequest(clientFrameSchema, value));
    } catch (thrown) {
      const { error } = toOpenAiError(ShouldersError.from(thrown)).body;
      this.#reply({ type: "error", error: eventId === null ? error : { ...error, event_id: eventId } });
    }
  }

  #handle(frame: ClientFrame): void {
    switch (frame.type) {
      case "response.create":
        this.#create(frame.response, "response");
        return;
      case "verdict.create":
        this.#create(frame.verdict, "verdict");
        return;
      case "response.cancel":
        this.#cancel(frame.response_id);
        return;
      case "feedback.create":
      case "feedback.delete":
      case "feedback.list":
        void answerFeedback(this.#context, this.owner, frame).then((answer) => this.#reply(answer));
        return;
      case "ping":
        this.#reply({ type: "pong", ...(frame.event_id != null && { event_id: frame.event_id }) });
    }
  }

  #create({ id: givenId, ...body }: { id?: string | null | undefined }, kind: JobKind): void {
    const { metrics, log, gate, models } = this.#context;
    metrics.requestStarted();
    const asked = { givenId: givenId ?? null, body, kind };
    const leaves: (() => void)[] = [];
    const leave = () => leaves.splice(0).forEach((end) => end());
    try {
      leaves.push(gate.limiter.enter(this.owner));
      const model = "model" in body && typeof body.model === "string" ? body.model : "";
      const held = models.tryHold(model);
      if (held !== null) leaves.push(held);
      else if (models.has(model)) {
        void this.#createLater(asked, model, leaves).finally(leave);
        return;
      }
      this.#begin(asked)
        .catch((error: unknown) => log.error({ err: error }, "response failed"))
        .finally(leave);
    } catch (thrown) {
      leave();
      const { status, code } = ShouldersError.from(thrown);
      this.#ended({ model: "none", outcome: outcomeOf(status), code });
      throw thrown;
    }
  }

  /** @throws ShouldersError at once, before anything runs. */
  #begin(asked: Asked): Promise<void> {
    const tried = tryPlan((writeGrammar) => this.#plan(asked, writeGrammar));
    if ("task" in tried) return this.#beginLater(asked, tried.task);
    const id = asked.givenId ?? tried.plan.planId;
    this.#checkFree(id, asked.kind);
    return this.#run(id, tried.plan);
  }

  /** Waits until its grammar is written, and begins then; never throws. */
  async #beginLater(asked: Asked, task: GrammarTask): Promise<void> {
    await this.#after(asked, async (signal) => {
      const writeGrammar = await this.#context.grammars.write({ party: this.party, signal }, task);
      return () => {
        const job = this.#plan(asked, writeGrammar);
        return this.#run(asked.givenId ?? job.planId, job);
      };
    });
  }

  /** Waits until the model is loaded, says how far it is, and begins then; never throws. */
  async #createLater(asked: Asked, model: string, leaves: (() => void)[]): Promise<void> {
    const { models, limits } = this.#context;
    let progress = 0;
    const named = asked.givenId === null ? {} : { response_id: asked.givenId };
    const tell = () => this.#reply({ type: "model.loading", ...named, model, progress });
    const timer = setInterval(tell, limits.loadProgressMs);
    tell();
    try {
      await this.#after(asked, async (signal) => {
        const onProgress = (now: number) => (progress = now);
        leaves.push(await models.hold(model, { signal, onProgress }));
        clearInterval(timer);
        return () => this.#begin(asked);
      });
    } finally {
      clearInterval(timer);
    }
  }

  /** Runs what cannot begin at once, which may be cancelled meanwhile; never throws. */
  async #after(asked: Asked, wait: (signal: AbortSignal) => Promise<() => Promise<void>>): Promise<void> {
    const key = asked.givenId ?? `waiting ${++this.#numWaiting}`;
    const controller = new AbortController();
    try {
      this.#checkFree(key, asked.kind);
      this.#running.set(key, controller);
      const begin = await wait(controller.signal).finally(() => this.#running.delete(key));
      await begin();
    } catch (thrown) {
      // Aborted for no reason of ours: the client has cancelled it, or left.
      const isCancelled = controller.signal.aborted && !(controller.signal.reason instanceof ShouldersError);
      const error = isCancelled
        ? new ShouldersError("invalid_request", "The response was cancelled before it began.")
        : ShouldersError.from(thrown);
      if (error.status === 500) this.#context.log.error({ err: error }, "response failed");
      const { model = "none" } = asked.body as { model?: string };
      this.#ended({ model, outcome: isCancelled ? "aborted" : outcomeOf(error.status), code: error.code });
      this.#reply({ type: "error", error: toOpenAiError(error).body.error });
      if (this.#isClosing) this.closeWhenIdle();
    }
  }

  /** @throws ShouldersError where a response of this socket that runs has the id */
  #checkFree(id: string, kind: JobKind): void {
    if (this.#running.has(id))
      throw fieldError(`${kind}.id`, `response "${id}" is still running; choose another id`);
  }

  #plan(asked: Asked, writeGrammar: WriteGrammar): Job {
    const most = this.#context.limits.socketResponses;
    if (this.#running.size >= most)
      throw new ShouldersError(
        "too_many_responses",
        `A socket runs at most ${most} responses at a time; wait for one to end.`,
      );
    return planJob(this.#context, asked, {
      requester: { owner: this.owner, party: this.party },
      writeGrammar,
    });
  }

  async #run(id: string, { planId, model, run }: Job): Promise<void> {
    const controller = new AbortController();
    this.#running.set(id, controller);
    const outcome = await run({ id, signal: controller.signal, send: this.#send });
    this.#running.delete(id);
    this.#ended({ requestId: planId, model, outcome });
    if (this.#isClosing) this.closeWhenIdle();
  }

  /** The one end of a response, in metrics and log. */
  #ended(end: { requestId?: string; model: string; outcome: Outcome; code?: string }): void {
    const { metrics, log } = this.#context;
    const { model, outcome } = end;
    metrics.requestEnded({ route: streamRoute, model, owner: this.owner, outcome });
    log.info({ route: streamRoute, key: this.owner, ...end }, "request ended");
  }

  #cancel(id: string): void {
    const controller = this.#running.get(id);
    if (controller === undefined)
      throw fieldError("response_id", "no running response on this socket has this id");
    controller.abort();
  }

  #cancelAll(): void {
    for (const controller of this.#running.values()) controller.abort();
  }

  /** A frame of a response; resolves when the connection has taken it, so that a slow reader slows only its own. */
  readonly #send = async (frame: ServerFrame): Promise<void> => {
    if (this.#socket.readyState !== this.#socket.OPEN) return;
    await new Promise<void>((resolve) => {
      const patience = setTimeout(() => {
        this.#drop(1013, "Frames were not read in time.");
        resolve();
      }, this.#context.limits.drainTimeoutMs);
      this.#socket.send(JSON.stringify(frame), () => {
        clearTimeout(patience);
        resolve();
      });
    });
  };

  /** An answer to one frame. A client that sends without reading is dropped before it fills the memory. */
  #reply(frame: ServerFrame): void {
    this.#answer(() => this.#socket.send(JSON.stringify(frame)));
  }

  #answer(send: () => void): void {
    if (this.#socket.readyState !== this.#socket.OPEN) return;
    if (this.#socket.bufferedAmount > this.#context.limits.socketHardMarkBytes)
      this.#drop(1013, "Frames were not read in time.");
    else send();
  }

  #drop(code: number, reason: string): void {
    this.#cancelAll();
    this.#socket.close(code, reason);
  }
}

function parseJson(bytes: Buffer): unknown {
  const excess = jsonExcess(bytes);
  if (excess !== null) throw new ShouldersError("invalid_json", `The frame cannot be taken: ${excess}.`);
  try {
    return JSON.parse(bytes.toString("utf8")) as unknown;
  } catch {
    throw new ShouldersError("invalid_json", "The frame is not valid JSON.");
  }
}

/** Also of a frame that is wrong otherwise. */
function eventIdOf(value: unknown): string | null {
  if (typeof value !== "object" || value === null || !("event_id" in value)) return null;
  return typeof value.event_id === "string" && value.event_id.length <= 128 ? value.event_id : null;
}
