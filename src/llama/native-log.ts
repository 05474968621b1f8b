import koffi from "koffi";

import type { NativeFunctions } from "./abi.js";
import { logCallbackType } from "./bindings.js";

const numLinesKept = 32;

/** The last warnings and errors of libllama, kept so that our own error messages can give its reason. */
export class NativeLog {
  readonly #lines: string[] = [];
  #numLines = 0;
  #numBusy = 0;

  /** Marks a native call that runs on another thread. */
  async whileBusy<Result>(call: () => Promise<Result>): Promise<Result> {
    this.#numBusy++;
    try {
      return await call();
    } finally {
      this.#numBusy--;
    }
  }

  /** Takes what node-llama-cpp's `logger` is told: lines of any thread, a turn of the event loop late. */
  add(message: string): void {
    const lines = linesOf(message);
    this.#lines.push(...lines);
    this.#numLines += lines.length;
    this.#lines.splice(0, this.#lines.length - numLinesKept);
  }

  /** A place in the log, to ask later for what came after it. */
  mark(): number {
    return this.#numLines;
  }

  /** @returns what libllama last complained about since `mark`, on one line. */
  reasonSince(mark: number): string {
    const numNew = Math.min(this.#numLines - mark, 3);
    const lines = numNew > 0 ? this.#lines.slice(-numNew) : [];
    return lines.length === 0 ? "libllama gave no reason" : lines.join("; ");
  }

  /**
   * Runs a synchronous native call and returns every line that libllama logs meanwhile, info included: some figures
   * (buffer sizes) exist only there. The logger of node-llama-cpp is put back before this returns. While another
   * thread is inside libllama its lines would come here too, so then nothing is captured.
   */
  capture<Result>(native: NativeFunctions, run: () => Result): { result: Result; lines: string[] } {
    if (this.#numBusy > 0) return { result: run(), lines: [] };
    const parts: string[] = [];
    const [callbackOut, dataOut] = [new BigUint64Array(1), new BigUint64Array(1)];
    native.llama_log_get(callbackOut, dataOut);
    const callback = koffi.register((_level: number, text: string | null) => {
      if (text !== null) parts.push(text);
    }, logCallbackType);
    try {
      native.llama_log_set(callback, null);
      const result = run();
      return { result, lines: linesOf(parts.join("")) };
    } finally {
      native.llama_log_set(callbackOut[0] || null, dataOut[0] || null);
      koffi.unregister(callback);
    }
  }
}

/** Lets log lines that other threads have sent arrive. */
export function logLinesArrived(): Promise<void> {
  return new Promise((resolve) => setImmediate(resolve));
}

function linesOf(text: string): string[] {
  return text
    .split("\n")
    .map((line) => line.trim())
    .filter((line) => line !== "");
}
