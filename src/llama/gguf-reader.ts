import { createHash } from "node:crypto";
import { readSync } from "node:fs";

/** Why a file is not a model that can be loaded, in words that follow its path. */
export class GgufProblem extends Error {}

/** What is to be read has not been received yet. */
export class GgufIncomplete extends Error {}

const chunkBytes = 1 << 20;
/** Headers of large vocabularies have 20 MiB. A sparse file costs nothing, and reading all of it would take hours. */
const mostHeaderBytes = 1 << 27;

/**
 * Reads little-endian values from a file one after the other and never past its end: every length is compared
 * with what is left of the file before anything of that length is read or allocated.
 */
export class GgufReader {
  readonly fileBytes: number;
  readonly #file: number;
  readonly #availableBytes: number;
  readonly #chunk = Buffer.allocUnsafe(chunkBytes);
  #chunkStart = 0;
  #chunkEnd = 0;
  #position = 0;

  /** @param availableBytes how much of the file's beginning is there. */
  constructor(file: number, fileBytes: number, availableBytes = fileBytes) {
    this.#file = file;
    this.fileBytes = fileBytes;
    this.#availableBytes = availableBytes;
  }

  get position(): number {
    return this.#position;
  }

  uint32(what: string): number {
    return this.#take(4, what, (chunk, at) => chunk.readUInt32LE(at));
  }

  /** A count or length; one that does not fit the rest of the file, given `bytesEach`, is refused here. */
  count(bytesEach: number, what: string): number {
    const value = this.#take(8, what, (chunk, at) => chunk.readBigUInt64LE(at));
    const needed = value * BigInt(bytesEach);
    const left = this.fileBytes - this.#position;
    if (needed > BigInt(left))
      throw new GgufProblem(`is corrupt or truncated: ${what} is ${value}, but only ${left} bytes follow`);
    if (needed > BigInt(mostHeaderBytes))
      throw new GgufProblem(`is corrupt: ${what} is ${value}, more than any model has`);
    return Number(value);
  }

  uint64(what: string): bigint {
    return this.#take(8, what, (chunk, at) => chunk.readBigUInt64LE(at));
  }

  skip(bytes: number, what: string): void {
    const left = this.fileBytes - this.#position;
    if (bytes > left) throw new GgufProblem(`is truncated: it ends in the middle of ${what}`);
    this.#position += bytes;
    if (this.#position > mostHeaderBytes)
      throw new GgufProblem(`is corrupt: its header has more than ${mostHeaderBytes} bytes`);
  }

  /** @returns the string, or null when it is longer than `longest` bytes (it is skipped then). */
  string(what: string, longest: number): string | null {
    const length = this.count(1, `the length of ${what}`);
    if (length <= Math.min(longest, chunkBytes)) return this.text(length, what);
    this.skip(length, what);
    return null;
  }

  /** `length` bytes as text; at most a chunk. latin1 keeps every byte. */
  text(length: number, what: string, encoding: "utf8" | "latin1" = "utf8"): string {
    return this.#take(length, what, (chunk, at) => chunk.toString(encoding, at, at + length));
  }

  /** SHA-256 of the bytes from `start` to where it is. */
  digestFrom(start: number): string {
    if (this.#position > this.#availableBytes) throw new GgufIncomplete();
    const hash = createHash("sha256");
    const piece = Buffer.allocUnsafe(Math.min(chunkBytes, this.#position - start));
    for (let at = start; at < this.#position; at += piece.length) {
      const numRead = readSync(this.#file, piece, 0, Math.min(piece.length, this.#position - at), at);
      if (numRead === 0) throw new GgufProblem("is truncated: it ends in the middle of its header");
      hash.update(piece.subarray(0, numRead));
    }
    return hash.digest("hex");
  }

  scalar(type: string, bytes: number, what: string): number | bigint | boolean {
    return this.#take(bytes, what, (chunk, at) => {
      switch (type) {
        case "bool":
          return chunk.readUInt8(at) !== 0;
        case "uint64":
          return chunk.readBigUInt64LE(at);
        case "int64":
          return chunk.readBigInt64LE(at);
        case "float32":
          return chunk.readFloatLE(at);
        case "float64":
          return chunk.readDoubleLE(at);
        default:
          return type.startsWith("u") ? chunk.readUIntLE(at, bytes) : chunk.readIntLE(at, bytes);
      }
    });
  }

  #take<Value>(bytes: number, what: string, read: (chunk: Buffer, at: number) => Value): Value {
    const start = this.#position;
    this.skip(bytes, what);
    if (this.#position > this.#availableBytes) throw new GgufIncomplete();
    if (start < this.#chunkStart || start + bytes > this.#chunkEnd) {
      const numRead = readSync(this.#file, this.#chunk, 0, chunkBytes, start);
      if (numRead < bytes) throw new GgufProblem(`is truncated: it ends in the middle of ${what}`);
      this.#chunkStart = start;
      this.#chunkEnd = start + numRead;
    }
    return read(this.#chunk, start - this.#chunkStart);
  }
}
