import type { WebSocket } from "ws";
import { fieldError, present, ShouldersError } from "../errors.js";
import type { LoadedModel, ModelContext } from "../llama/types.js";
import type { RowReply } from "../rows/types.js";
import {
  rowsFrameSchema,
  type RowsStep,
  rowsVersion,
  type ServerRowsFrame,
  writeRows,
} from "../rows/wire.js";
import type { Room, Rooms } from "./room.js";
import type { Append, DeskStep, RowDesk } from "./row-desk.js";

export interface SessionParts {
  desk: RowDesk;
  rooms: Rooms;
  model: LoadedModel;
  /** The name by which clients may ask for it. */
  modelName: string;
  /** What one sequence may hold at most. */
  contextTokens: number;
}

/** One engine that is connected: its sequences, and what it has asked for. One frame is handled after the other. */
export class RowSession {
  readonly #parts: SessionParts;
  readonly #socket: WebSocket;
  #room: Room | null = null;
  /** Tokens that each of its sequences holds. */
  readonly #held = new Map<number, number>();
  #last: Promise<void> = Promise.resolve();
  #hasAnsweredPing = true;

  /** @param onEnd called when the connection is gone and nothing of it is in the context any more. */
  constructor(parts: SessionParts, socket: WebSocket, onEnd: () => void) {
    this.#parts = parts;
    this.#socket = socket;
    socket.on("message", (data, isBinary) => {
      this.#last = this.#last.then(() => this.#take(data as Buffer, isBinary));
    });
    socket.on("pong", () => (this.#hasAnsweredPing = true));
    socket.on("error", () => undefined);
    socket.on("close", () => {
      this.#last = this.#last.then(() => this.#leave()).finally(onEnd);
    });
    const { model, modelName, contextTokens } = parts;
    this.#send({
      type: "session.created",
      version: rowsVersion,
      model: modelName,
      vocabularySize: model.vocabulary.size,
      contextTokens,
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

  close(): void {
    this.#socket.close(1001, "The server is shutting down.");
  }

  terminate(): void {
    this.#socket.terminate();
  }

  async #take(bytes: Buffer, isBinary: boolean): Promise<void> {
    if (this.#socket.readyState !== this.#socket.OPEN) return;
    let id: number | null = null;
    try {
      const frame = rowsFrameSchema.safeParse(isBinary ? null : parseJson(bytes));
      if (!frame.success) {
        const [issue] = frame.error.issues;
        throw fieldError(issue?.path.map(String).join(".") ?? "", issue?.message ?? "it cannot be taken");
      }
      const asked = frame.data;
      if (asked.type !== "open") ({ id } = asked);
      if (asked.type === "open") this.#open(asked.sequences, asked.cells);
      else if (asked.type === "tokenize") await this.#tokenize(asked.id, asked.text);
      else await this.#step(asked);
    } catch (thrown) {
      const { code, message } = ShouldersError.from(thrown);
      this.#send({ type: "error", id, error: { code, message } });
    }
  }

  #open(sequences: number, cells: number): void {
    if (this.#room !== null) throw fieldError("", "this session has its room already");
    this.#room = this.#parts.rooms.reserve(sequences, cells);
    this.#send({ type: "opened" });
  }

  async #tokenize(id: number, text: string): Promise<void> {
    const tokens = await this.#parts.model.tokenizeAside(text, false);
    this.#send({ type: "tokens", id, tokens });
  }

  async #step(asked: RowsStep): Promise<void> {
    const step = this.#read(asked);
    const replies = await this.#parts.desk.submit(step);
    asked.append.forEach(({ sequence }, index) => {
      if (replies[index] instanceof ShouldersError) this.#held.delete(sequence);
    });
    this.#answer(asked.id, replies);
  }

  /** @throws ShouldersError `invalid_request`, before anything of it is done. */
  #read({ before, append }: RowsStep): DeskStep {
    const held = new Map(this.#held);
    const prepare: ((context: ModelContext) => void)[] = [];
    for (const change of before) {
      const to = this.#idOf("cut" in change ? change.cut : change.to);
      if ("cut" in change) {
        const length = Math.min(held.get(change.cut) ?? 0, change.to);
        held.set(change.cut, length);
        prepare.push((context) => context.removePositions(to, length, null));
      } else {
        const from = this.#idOf(change.copy);
        if (change.length > (held.get(change.copy) ?? 0) || (held.get(change.to) ?? 0) > 0)
          throw fieldError(
            "before",
            "a sequence that is empty can begin with what another holds, not with more",
          );
        held.set(change.to, change.length);
        prepare.push((context) => context.copyPrefix(from, to, change.length));
      }
    }
    const appends = append.map((one): Append => {
      const length = held.get(one.sequence) ?? 0;
      const sequenceId = this.#idOf(one.sequence);
      this.#checkAppend(one, length);
      held.set(one.sequence, length + one.tokens.length);
      return { sequenceId, from: length, tokens: one.tokens, rows: one.rows };
    });
    const numCells = [...held.values()].reduce((sum, length) => sum + length, 0);
    const { cells } = present(this.#room, "room");
    if (numCells > cells)
      throw fieldError("append", `this session has reserved ${cells} tokens, and would hold ${numCells}`);
    for (const [sequence, length] of held) this.#held.set(sequence, length);
    return {
      prepare: (context) => {
        for (const change of prepare) change(context);
      },
      append: appends,
    };
  }

  #checkAppend({ from, tokens, rows }: RowsStep["append"][number], length: number): void {
    const { contextTokens, model } = this.#parts;
    const { size } = model.vocabulary;
    if (from !== length) throw fieldError("append.from", `the sequence has ${length} tokens, not ${from}`);
    if (length + tokens.length > contextTokens)
      throw fieldError("append.tokens", `a sequence holds at most ${contextTokens} tokens`);
    const isKnown = (id: number) => id < size;
    if (!tokens.every(isKnown) || !rows.every(({ ids }) => ids.every(isKnown)))
      throw fieldError("append", `the vocabulary has ${size} tokens, from 0 on`);
    const inOrder = rows.every(({ at }, index) => at > (rows[index - 1]?.at ?? -1) && at < tokens.length);
    if (!inOrder)
      throw fieldError("append.rows", "rows are those after the tokens that are appended, in their order");
  }

  #idOf(sequence: number): number {
    if (this.#room === null) throw fieldError("type", "a session begins with open");
    const id = this.#room.sequenceIds[sequence];
    if (id === undefined)
      throw fieldError(
        "sequence",
        `this session has the sequences 0 to ${this.#room.sequenceIds.length - 1}`,
      );
    return id;
  }

  /** Gives back its room, once nothing is in it. */
  async #leave(): Promise<void> {
    const room = this.#room;
    this.#room = null;
    if (room === null) return;
    await this.#parts.desk.submit({
      prepare: (context) => room.sequenceIds.forEach((id) => context.removePositions(id, 0, null)),
      append: [],
    });
    this.#parts.rooms.release(room);
  }

  #answer(id: number, sequences: (RowReply[] | ShouldersError)[]): void {
    if (this.#socket.readyState === this.#socket.OPEN) this.#socket.send(writeRows({ id, sequences }));
  }

  #send(frame: ServerRowsFrame): void {
    if (this.#socket.readyState === this.#socket.OPEN) this.#socket.send(JSON.stringify(frame));
  }
}

function parseJson(bytes: Buffer): unknown {
  try {
    return JSON.parse(bytes.toString("utf8"));
  } catch {
    throw new ShouldersError("invalid_json", "The frame is not valid JSON.");
  }
}
