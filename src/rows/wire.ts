import { z } from "zod";
import { ShouldersError } from "../errors.js";
import type { RowEntries } from "./partial-row.js";
import type { RowReply } from "./types.js";

/**
 * What goes over the WebSocket of a row server: frames of JSON, and one binary frame for the rows of a step. A session has
 * sequences of its own, numbered from 0; it tells the server what to cut, copy and append, and asks for rows.
 */

export const rowsPath = "/v1/rows";
export const rowsVersion = 1;
/** Largest frame of a client: tokens of a long prompt as JSON. */
export const mostFrameBytes = 16 * 2 ** 20;

const count = z.int().min(0);

/** A row after one of the tokens that are appended: `at` its place among them. */
const wantedRowSchema = z.strictObject({
  at: count,
  /** How many of the best entries; all: the row. */
  top: z.union([z.int().min(1), z.literal("all")]),
  ids: z.array(count).max(4096).default([]),
});

const appendSchema = z.strictObject({
  sequence: count,
  /** How many tokens it has: what is appended comes after them. */
  from: count,
  tokens: z.array(count).min(1),
  rows: z.array(wantedRowSchema),
});

export const stepSchema = z.strictObject({
  type: z.literal("step"),
  id: count,
  /** First sequences are cut back to a length, or begin as others do. */
  before: z.array(
    z.union([
      z.strictObject({ cut: count, to: count }),
      z.strictObject({ copy: count, to: count, length: count }),
    ]),
  ),
  append: z.array(appendSchema),
});

export const rowsFrameSchema = z.discriminatedUnion("type", [
  /** Reserves room for as long as the session lasts. */
  z.strictObject({ type: z.literal("open"), sequences: z.int().min(1), cells: z.int().min(1) }),
  stepSchema,
  z.strictObject({ type: z.literal("tokenize"), id: count, text: z.string().max(100_000) }),
]);

export type RowsStep = z.output<typeof stepSchema>;
export type RowsFrame = z.output<typeof rowsFrameSchema>;

const errorSchema = z.object({ code: z.string(), message: z.string() });

/** What a server sends as JSON. */
export const serverFrameSchema = z.discriminatedUnion("type", [
  z.object({
    type: z.literal("session.created"),
    version: z.int(),
    model: z.string(),
    vocabularySize: z.int(),
    contextTokens: z.int(),
  }),
  z.object({ type: z.literal("opened") }),
  z.object({ type: z.literal("tokens"), id: z.int(), tokens: z.array(z.int()) }),
  z.object({ type: z.literal("error"), id: z.int().nullable(), error: errorSchema }),
]);
export type ServerRowsFrame = z.output<typeof serverFrameSchema>;

/** Of a row in a binary frame: all its logits, or how many entries follow. */
const rowHeadSchema = z.union([
  z.object({ length: z.int().min(1) }),
  z.object({ entries: z.int().min(0), cap: z.number(), logSum: z.number() }),
]);

const rowsHeadSchema = z.object({
  id: z.int(),
  /** As the step appended to them; an error: nothing was appended, and the sequence is empty. */
  sequences: z.array(z.union([z.object({ rows: z.array(rowHeadSchema) }), z.object({ error: errorSchema })])),
});

export interface RowsAnswer {
  id: number;
  sequences: (RowReply[] | ShouldersError)[];
}

/** [length of the head, 4 bytes][head as JSON][to a multiple of 4][logits, or ids and then logits, of each row]. */
export function writeRows({ id, sequences }: RowsAnswer): Buffer {
  const parts: Uint8Array[] = [];
  const bytesOf = (values: Float32Array | Uint32Array) =>
    parts.push(new Uint8Array(values.buffer, values.byteOffset, values.byteLength));
  const headOf = (row: RowReply): z.output<typeof rowHeadSchema> => {
    if (row instanceof Float32Array) {
      bytesOf(row);
      return { length: row.length };
    }
    bytesOf(Uint32Array.from(row.known.keys()));
    bytesOf(Float32Array.from(row.known.values()));
    return { entries: row.known.size, cap: row.cap, logSum: row.logSum };
  };
  const head = {
    id,
    sequences: sequences.map((rows) =>
      rows instanceof ShouldersError
        ? { error: { code: rows.code, message: rows.message } }
        : { rows: rows.map(headOf) },
    ),
  };
  const text = Buffer.from(JSON.stringify(head));
  const start = Buffer.alloc(Math.ceil((4 + text.length) / 4) * 4);
  start.writeUInt32LE(text.length);
  text.copy(start, 4);
  return Buffer.concat([start, ...parts]);
}

/** @throws ShouldersError `base_unavailable`: it is no such frame. */
export function readRows(frame: Buffer): RowsAnswer {
  const garbled = () =>
    new ShouldersError("base_unavailable", "The row server sent what is no frame of rows.");
  if (frame.length < 4) throw garbled();
  const headLength = frame.readUInt32LE();
  if (headLength > frame.length - 4) throw garbled();
  let value: unknown;
  try {
    value = JSON.parse(frame.toString("utf8", 4, 4 + headLength));
  } catch {
    throw garbled();
  }
  const head = rowsHeadSchema.safeParse(value);
  if (!head.success) throw garbled();
  // Aligned: the frame may lie anywhere in a larger buffer.
  const start = Math.ceil((4 + headLength) / 4) * 4;
  const bytes = new Uint8Array(frame.subarray(Math.min(start, frame.length))).buffer;
  let offset = 0;
  const take = (length: number) => {
    const from = offset;
    offset += 4 * length;
    if (offset > bytes.byteLength) throw garbled();
    return from;
  };
  const rowOf = (row: z.output<typeof rowHeadSchema>): RowReply => {
    if ("length" in row) return new Float32Array(bytes, take(row.length), row.length);
    const ids = new Uint32Array(bytes, take(row.entries), row.entries);
    const logits = new Float32Array(bytes, take(row.entries), row.entries);
    const entries: RowEntries["known"] = new Map([...ids].map((id, index) => [id, logits[index] as number]));
    return { known: entries, cap: row.cap, logSum: row.logSum };
  };
  return {
    id: head.data.id,
    sequences: head.data.sequences.map((sequence) =>
      "error" in sequence
        ? new ShouldersError("base_unavailable", `The row server: ${sequence.error.message}`)
        : sequence.rows.map(rowOf),
    ),
  };
}
