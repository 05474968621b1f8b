import { constants, fstatSync, openSync, type Stats, write, writeSync } from "node:fs";
import { isatty } from "node:tty";

/** How many of the bytes were taken, and what kept the rest out. */
type Taken = (error: NodeJS.ErrnoException | null, numTaken: number) => void;

/** Where bytes go; none of its calls waits for who reads them. */
export interface Sink {
  /** One call at a time. */
  write(bytes: Buffer, done: Taken): void;
  /**
   * Writes without waiting for its turn: for the last bytes of a process.
   * @throws what kept them out; code EAGAIN: a later call may succeed
   */
  writeNow(bytes: Buffer): number;
}

export interface LineWriterOptions {
  /** Most bytes that wait; lines past them are dropped. */
  maxBytes: number;
  /** The line that says how many were dropped. */
  describeDropped: (numDropped: number) => string;
}

/** Most bytes of one write. */
const batchBytes = 64 * 1024;
/** Pause before a reader who was behind, and before a disk that was full, is tried again. */
const behindMs = 50;
const brokenMs = 1_000;
/** How long the end of the process may wait for a reader. */
const exitMs = 500;

/**
 * Lines for a file descriptor that may be full, slow, stopped or gone. Nothing here blocks or throws: what the
 * other side does not take waits within a bound, and what is past the bound is dropped, counted, and told of
 * once the other side takes lines again.
 */
export class LineWriter {
  readonly #sink: Sink;
  readonly #options: LineWriterOptions;
  #lines: Buffer[] = [];
  /** What is being written: a line is never torn, other than by the end of the process. */
  #batch = Buffer.alloc(0);
  #numBytes = 0;
  #isBusy = false;
  #isUnderWay = false;
  #numDropped = 0;
  #numUntold = 0;

  constructor(sink: Sink, options: LineWriterOptions) {
    this.#sink = sink;
    this.#options = options;
  }

  /** Lines lost since the start. */
  get numDropped(): number {
    return this.#numDropped;
  }

  write(line: string): void {
    const bytes = Buffer.from(line);
    if (this.#numBytes + bytes.length > this.#options.maxBytes) {
      this.#numDropped++;
      this.#numUntold++;
      return;
    }
    this.#lines.push(bytes);
    this.#numBytes += bytes.length;
    if (!this.#isBusy) this.#writeOn();
  }

  /** What can be written at once, and for half a second what a reader makes room for. */
  flushAtExit(): void {
    // The write under way ends without the event loop; whether it did cannot be seen from here.
    if (this.#isUnderWay) sleep(behindMs);
    const rest = this.#isUnderWay ? [] : [this.#batch];
    let bytes = Buffer.concat([...rest, ...this.#lines]);
    const deadline = performance.now() + exitMs;
    while (bytes.length > 0 && performance.now() < deadline) {
      try {
        bytes = bytes.subarray(this.#sink.writeNow(bytes));
      } catch (error) {
        if (!isBehind(error as NodeJS.ErrnoException)) return;
        sleep(10);
      }
    }
  }

  #writeOn(): void {
    if (this.#batch.length === 0) this.#batch = this.#nextBatch();
    this.#isBusy = this.#batch.length > 0;
    if (!this.#isBusy) return;
    this.#isUnderWay = true;
    this.#sink.write(this.#batch, (error, numTaken) => {
      this.#isUnderWay = false;
      this.#batch = this.#batch.subarray(numTaken);
      this.#numBytes -= numTaken;
      if (error === null) this.#writeOn();
      else setTimeout(() => this.#writeOn(), isBehind(error) ? behindMs : brokenMs).unref();
    });
  }

  #nextBatch(): Buffer<ArrayBuffer> {
    // All that waited has gone out: there is room to say what did not.
    if (this.#lines.length === 0 && this.#numUntold > 0) {
      const told = Buffer.from(this.#options.describeDropped(this.#numUntold));
      this.#numUntold = 0;
      this.#numBytes += told.length;
      return told;
    }
    let [numLines, size] = [0, 0];
    while (numLines < this.#lines.length && size < batchBytes) size += this.#lines[numLines++]?.length ?? 0;
    return Buffer.concat(this.#lines.splice(0, numLines));
  }
}

function isBehind({ code }: NodeJS.ErrnoException): boolean {
  return code === "EAGAIN" || code === "EBUSY";
}

/** Waits without the event loop. */
function sleep(ms: number): void {
  Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, ms);
}

/** The sink of standard output or standard error. */
export function openSink(fd: 1 | 2): Sink {
  const stats = fstatSync(fd);
  const own = stats.isFIFO() || isatty(fd) ? reopenWithoutWaiting(fd) : null;
  if (own !== null) return impatientSink(own);
  return isStream(stats) ? streamSink(fd === 1 ? process.stdout : process.stderr) : fileSink(fd);
}

/** Node's own stream neither blocks on these nor can they be opened once more everywhere. */
function isStream(stats: Stats): boolean {
  return stats.isFIFO() || stats.isSocket();
}

/** Linux gives a pipe or terminal a second, independent opening: whoever shares the first one notices nothing. */
function reopenWithoutWaiting(fd: number): number | null {
  if (process.platform !== "linux") return null;
  const { O_WRONLY, O_APPEND, O_NONBLOCK, O_NOCTTY } = constants;
  try {
    return openSync(`/proc/self/fd/${fd}`, O_WRONLY | O_APPEND | O_NONBLOCK | O_NOCTTY);
  } catch {
    // Another user's pipe, or one whose reader has gone: then as where it cannot be opened twice.
    return null;
  }
}

function impatientSink(fd: number): Sink {
  return {
    write(bytes, done) {
      let numTaken: number;
      try {
        numTaken = writeSync(fd, bytes);
      } catch (error) {
        done(error as NodeJS.ErrnoException, 0);
        return;
      }
      done(null, numTaken);
    },
    writeNow: (bytes) => writeSync(fd, bytes),
  };
}

/** A disk may be slow: it keeps a thread waiting, not the event loop. */
function fileSink(fd: number): Sink {
  return {
    write: (bytes, done) => write(fd, bytes, (error, numTaken) => done(error, numTaken || 0)),
    writeNow: (bytes) => writeSync(fd, bytes),
  };
}

function streamSink(stream: NodeJS.WriteStream): Sink {
  // Each write hears of its own.
  stream.on("error", () => undefined);
  return {
    write: (bytes, done) =>
      stream.write(bytes, (error) => (error ? done(error, 0) : done(null, bytes.length))),
    writeNow: (bytes) => {
      stream.write(bytes);
      return bytes.length;
    },
  };
}
