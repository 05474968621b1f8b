import WebSocket from "ws";
import { present, ShouldersError } from "../errors.js";
import { PassingFault, persist, unavailable } from "./persist.js";
import { noStats } from "./servers.js";
import type { RowServer, SequenceReply, SequenceRows } from "./types.js";
import { checkLength } from "./vllm.js";
import {
  readRows,
  rowsPath,
  type RowsAnswer,
  type RowsFrame,
  type RowsStep,
  rowsVersion,
  serverFrameSchema,
  type ServerRowsFrame,
} from "./wire.js";

export interface ShouldersServerOptions {
  name: string;
  url: string;
  apiKey: string | null;
  timeoutMs: number;
  model: string | undefined;
  /** Room that is reserved there. */
  sequences: number;
  cells: number;
  vocabularySize: number;
}

type Created = Extract<ServerRowsFrame, { type: "session.created" }>;

/** One connection that has been opened, and what waits for its answer. */
interface Session {
  socket: WebSocket;
  created: Created;
  /** Tokens of each sequence that are there. */
  held: Map<number, number>;
  /** The next frame that comes, or the reason why none will. */
  next: () => Promise<ServerRowsFrame | RowsAnswer>;
}

/** Asks a row server (`shoulders rows`) over one WebSocket. What is lost with a connection is told anew over the next. */
export class ShouldersServer implements RowServer {
  readonly name: string;
  readonly stats = noStats();
  readonly givesIds = true;
  readonly #options: ShouldersServerOptions;
  #session: Session | null = null;
  /** What was cut and copied since the last step. */
  #before: RowsStep["before"] = [];
  #numFrames = 0;
  #isClosed = false;

  constructor(options: ShouldersServerOptions) {
    this.name = options.name;
    this.#options = options;
  }

  get mostTop(): number {
    return this.#options.vocabularySize;
  }

  async fetch(wanted: readonly SequenceRows[]): Promise<SequenceReply[]> {
    this.stats.roundTrips++;
    try {
      const { sequences } = await this.#persist((session, leftMs) => this.#step(session, wanted, leftMs));
      this.stats.failures += sequences.filter((reply) => reply instanceof ShouldersError).length;
      return sequences;
    } catch (thrown) {
      this.stats.failures += wanted.length;
      const error = ShouldersError.from(thrown);
      return wanted.map(() => error);
    }
  }

  async #step(session: Session, wanted: readonly SequenceRows[], leftMs: number): Promise<RowsAnswer> {
    const id = ++this.#numFrames;
    const append = wanted.map(({ sequenceId, tokens, rows }) => {
      const from = session.held.get(sequenceId) ?? 0;
      return {
        sequence: sequenceId,
        from,
        tokens: tokens.slice(from),
        rows: rows.map(({ position, wish }) => ({ at: position - from, top: wish.top, ids: [...wish.ids] })),
      };
    });
    const before = this.#before.splice(0);
    const answer = await this.#ask(session, { type: "step", id, before, append }, leftMs);
    if (!("sequences" in answer) || answer.sequences.length !== wanted.length)
      throw this.#garbled(session, answer);
    wanted.forEach(({ sequenceId, tokens }, index) => {
      const isThere = !(answer.sequences[index] instanceof ShouldersError);
      session.held.set(sequenceId, isThere ? tokens.length : 0);
    });
    return answer;
  }

  async tokenize(text: string): Promise<readonly number[]> {
    return this.#persist(async (session, leftMs) => {
      const answer = await this.#ask(session, { type: "tokenize", id: ++this.#numFrames, text }, leftMs);
      if ("sequences" in answer || answer.type !== "tokens") throw this.#garbled(session, answer);
      return answer.tokens;
    });
  }

  async prove(contextTokens: number): Promise<void> {
    const { model, vocabularySize } = this.#options;
    const { created } = await this.#persist((session) => Promise.resolve(session));
    checkLength(this.name, created.contextTokens, contextTokens);
    if (model !== undefined && model !== created.model)
      throw new ShouldersError(
        "fusion_config_invalid",
        `${this.name} serves ${created.model}, and the config wants ${model}.`,
        { param: "base.model" },
      );
    if (created.vocabularySize !== vocabularySize)
      throw new ShouldersError(
        "vocabulary_mismatch",
        `${this.name} has ${created.vocabularySize} tokens, and the file of the base's tokenizer ${vocabularySize}. ` +
          `Give a GGUF file of the same vocabulary.`,
        { param: "base.tokenizer" },
      );
  }

  cut(sequenceId: number, length: number): void {
    const session = this.#session;
    if (session === null || (session.held.get(sequenceId) ?? 0) <= length) return;
    session.held.set(sequenceId, length);
    this.#before.push({ cut: sequenceId, to: length });
  }

  copyPrefix(from: number, to: number, length: number): void {
    const session = this.#session;
    const shared = Math.min(length, session?.held.get(from) ?? 0);
    if (session === null || shared === 0) return;
    session.held.set(to, shared);
    this.#before.push({ copy: from, to, length: shared });
  }

  /** Works on the connection that is there, or a new one; a lost one is made anew as long as there is time. */
  #persist<Result>(work: (session: Session, leftMs: number) => Promise<Result>): Promise<Result> {
    const { timeoutMs } = this.#options;
    return persist(
      this.name,
      timeoutMs,
      async (leftMs) => {
        const untilMs = performance.now() + leftMs;
        const session = (this.#session ??= await this.#connect(leftMs));
        return work(session, Math.max(1, Math.ceil(untilMs - performance.now())));
      },
      () => this.stats.retries++,
    );
  }

  async #connect(leftMs: number): Promise<Session> {
    if (this.#isClosed) throw unavailable(this.name, "is not asked any more");
    const { url, apiKey, sequences, cells } = this.#options;
    const socket = new WebSocket(url.replace(/^http/, "ws") + rowsPath, {
      handshakeTimeout: leftMs,
      perMessageDeflate: false,
      maxPayload: 2 ** 30,
      ...(apiKey !== null && { headers: { Authorization: `Bearer ${apiKey}` } }),
    });
    const next = framesOf(socket, this.name, (bytes) => (this.stats.bytesReceived += bytes));
    const session: Session = { socket, created: none, held: new Map(), next };
    this.#before = [];
    socket.on("close", () => {
      if (this.#session === session) this.#session = null;
    });
    const created = await this.#answered(session, leftMs);
    if ("sequences" in created || created.type !== "session.created" || created.version !== rowsVersion)
      throw this.#garbled(session, created);
    session.created = created;
    const opened = await this.#ask(session, { type: "open", sequences, cells }, leftMs);
    if ("sequences" in opened || opened.type !== "opened") throw this.#garbled(session, opened);
    return session;
  }

  async #ask(session: Session, frame: RowsFrame, leftMs: number): Promise<ServerRowsFrame | RowsAnswer> {
    const text = JSON.stringify(frame);
    this.stats.requests++;
    this.stats.bytesSent += Buffer.byteLength(text);
    if (session.socket.readyState !== WebSocket.OPEN) throw new PassingFault("has ended the connection");
    session.socket.send(text);
    return this.#answered(session, leftMs);
  }

  /** An answer that does not come in time leaves open what the server has done: the connection goes. */
  async #answered(session: Session, leftMs: number): Promise<ServerRowsFrame | RowsAnswer> {
    const timer = setTimeout(() => session.socket.terminate(), leftMs);
    try {
      const answer = await session.next();
      if ("sequences" in answer || answer.type !== "error") return answer;
      session.socket.terminate();
      throw unavailable(this.name, `refuses: ${answer.error.message}`);
    } finally {
      clearTimeout(timer);
    }
  }

  #garbled(session: Session, answer: ServerRowsFrame | RowsAnswer): ShouldersError {
    session.socket.terminate();
    const what = "sequences" in answer ? "rows" : answer.type;
    return unavailable(
      this.name,
      `answers with ${what} where something else was asked; is it another version?`,
    );
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#isClosed = true;
    this.#session?.socket.terminate();
    await Promise.resolve();
  }
}

const none: Created = {
  type: "session.created",
  version: 0,
  model: "",
  vocabularySize: 0,
  contextTokens: 0,
};

/** Frames of a socket in their order, each asked for before the next comes. */
function framesOf(
  socket: WebSocket,
  name: string,
  onBytes: (bytes: number) => void,
): () => Promise<ServerRowsFrame | RowsAnswer> {
  const come: (ServerRowsFrame | RowsAnswer)[] = [];
  let waiter: { resolve: () => void; reject: (reason: unknown) => void } | null = null;
  let end: Error | null = null;
  const tell = () => {
    if (end === null) waiter?.resolve();
    else waiter?.reject(end);
    waiter = null;
  };
  const fail = (reason: Error) => {
    end ??= reason;
    tell();
  };
  socket.on("message", (data, isBinary) => {
    const bytes = data as Buffer;
    onBytes(bytes.length);
    try {
      come.push(isBinary ? readRows(bytes) : serverFrameSchema.parse(JSON.parse(bytes.toString("utf8"))));
      tell();
    } catch (thrown) {
      const reason = thrown instanceof ShouldersError ? thrown : unavailable(name, "sent what is no frame");
      socket.terminate();
      fail(reason);
    }
  });
  socket.on("unexpected-response", (_request, response) => {
    const { statusCode = 0 } = response;
    const isPassing = statusCode === 429 || statusCode >= 500;
    fail(
      isPassing
        ? new PassingFault(`answers ${statusCode}`)
        : unavailable(
            name,
            `refuses the connection with ${statusCode}; does it want an API key (apiKeyFile)?`,
          ),
    );
    socket.terminate();
  });
  socket.on("error", (error) => fail(new PassingFault(`cannot be reached (${error.message})`)));
  socket.on("close", () => fail(new PassingFault("ended the connection")));
  return async () => {
    if (come.length === 0) {
      if (end !== null) throw end;
      await new Promise<void>((resolve, reject) => (waiter = { resolve, reject }));
    }
    return present(come.shift(), "frame");
  };
}
