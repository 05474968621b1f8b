import { randomUUID } from "node:crypto";
import type { WebSocket } from "ws";
import { jsonExcess } from "../../config/json-size.js";
import { fieldError, ShouldersError } from "../../errors.js";
import { requireEngine, type ApiContext } from "../context.js";
import { outcomeOf, type Outcome } from "../metrics.js";
import { toOpenAiError } from "../openai-error.js";
import { planCompletion, type Requester } from "../completion/plan.js";
import { isDebate } from "../fusion/debate.js";
import { planJudgement } from "../fusion/judge.js";
import { parseRequest } from "../parse.js";
import { clientFrameSchema, type ClientFrame, type ServerFrame } from "../../wire/frames.js";
import { runSocketDebate } from "./debate.js";
import { answerFeedback } from "./feedback.js";
import { runResponse, type SocketResponse } from "./response.js";
import { runVerdict } from "./verdict.js";

export const streamRoute = "/v1/stream";

type JobKind = "response" | "verdict";

/** What a frame asked for, understood. */
interface Job {
  planId: string;
  model: string;
  run: (parts: Omit<SocketResponse, "plan">) => Promise<Outcome>;
}

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
  #numLoading = 0;

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
    const leaves: (() => void)[] = [];
    const leave = () => leaves.splice(0).forEach((end) => end());
    try {
      leaves.push(gate.limiter.enter(this.owner));
      const model = "model" in body && typeof body.model === "string" ? body.model : "";
      const held = models.tryHold(model);
      if (held !== null) leaves.push(held);
      else if (models.has(model)) {
        const asked = { model, givenId: givenId ?? null, body, kind };
        void this.#createLater(asked, leaves).finally(leave);
        return;
      }
      this.#begin(givenId ?? null, body, kind)
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
  #begin(givenId: string | null, body: object, kind: JobKind): Promise<void> {
    const job = this.#plan(body, kind);
    const id = givenId ?? job.planId;
    if (this.#running.has(id))
      throw fieldError(`${kind}.id`, `response "${id}" is still running; choose another id`);
    return this.#run(id, job);
  }

  /** Waits until the model is loaded, says how far it is, and begins then; never throws. */
  async #createLater(
    { model, givenId, body, kind }: { model: string; givenId: string | null; body: object; kind: JobKind },
    leaves: (() => void)[],
  ): Promise<void> {
    const { models, limits } = this.#context;
    const key = givenId ?? `loading ${++this.#numLoading}`;
    const controller = new AbortController();
    this.#running.set(key, controller);
    let progress = 0;
    const named = givenId === null ? {} : { response_id: givenId };
    const tell = () => this.#reply({ type: "model.loading", ...named, model, progress });
    const timer = setInterval(tell, limits.loadProgressMs);
    tell();
    try {
      const onProgress = (now: number) => (progress = now);
      leaves.push(await models.hold(model, { signal: controller.signal, onProgress }));
      this.#running.delete(key);
      clearInterval(timer);
      await this.#begin(givenId, body, kind);
    } catch (thrown) {
      this.#running.delete(key);
      // Aborted for no reason of ours: the client has cancelled it, or left.
      const isCancelled = controller.signal.aborted && !(controller.signal.reason instanceof ShouldersError);
      const error = isCancelled
        ? new ShouldersError("invalid_request", "The response was cancelled while its model was loading.")
        : ShouldersError.from(thrown);
      this.#ended({ model, outcome: isCancelled ? "aborted" : outcomeOf(error.status), code: error.code });
      this.#reply({ type: "error", error: toOpenAiError(error).body.error });
      if (this.#isClosing) this.closeWhenIdle();
    } finally {
      clearInterval(timer);
    }
  }

  /** @throws ShouldersError */
  #plan(body: object, kind: JobKind): Job {
    const most = this.#context.limits.socketResponses;
    if (this.#running.size >= most)
      throw new ShouldersError(
        "too_many_responses",
        `A socket runs at most ${most} responses at a time; wait for one to end.`,
      );
    const options = {
      requester: { owner: this.owner, party: this.party },
      description: requireEngine(this.#context),
      keptTrace: this.#context.keptTrace,
      replica: this.#context.replica,
      fieldName: (param: string) => `${kind}.${param}`,
    };
    if (kind === "verdict") {
      const plan = planJudgement(body, options);
      return {
        ...{ planId: plan.id, model: plan.model },
        run: (parts) =>
          isDebate(plan)
            ? runSocketDebate(this.#context, { plan, ...parts })
            : runVerdict(this.#context, { plan, ...parts }),
      };
    }
    const plan = planCompletion("messages" in body ? "chat" : "text", body, options);
    return {
      ...{ planId: plan.id, model: plan.model },
      run: (parts) => runResponse(this.#context, { plan, ...parts }),
    };
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
