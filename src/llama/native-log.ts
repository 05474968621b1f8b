import koffi from "koffi";

import type { NativeFunctions, Pointer } from "./abi.js";
import { logCallbackType } from "./bindings.js";

const numLinesKept = 32;

/** The last warnings and errors of libllama, kept so that our own error messages can give its reason. */
export class NativeLog {
  readonly #lines: string[] = [];
  #numLines = 0;

  /** For node-llama-cpp's `logger` option. Lines come from any thread, a turn of the event loop late. */
  add(message: string): void {
    for (const line of message.split("\n")) {
      if (line.trim() === "") continue;
      this.#lines.push(line.trim());
      this.#numLines++;
    }
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
}

/** Lets log lines that other threads have sent arrive. */
export function logLinesArrived(): Promise<void> {
  return new Promise((resolve) => setImmediate(resolve));
}

/**
 * Runs a synchronous native call and returns every line that libllama logs meanwhile, info included: some figures
 * (buffer sizes) exist only there. The logger of node-llama-cpp is put back before this returns.
 */
export function captureLog<Result>(
  native: NativeFunctions,
  run: () => Result,
): { result: Result; lines: string[] } {
  const parts: string[] = [];
  const previous = new BigUint64Array(2);
  native.llama_log_get(previous.subarray(0, 1), previous.subarray(1));
  const callback = koffi.register((_level: number, text: string | null) => {
    if (text !== null) parts.push(text);
  }, logCallbackType);
  const asPointer = (address: bigint | undefined): Pointer | null => (address ? address : null);
  try {
    native.llama_log_set(callback, null);
    const result = run();
    const lines = parts
      .join("")
      .split("\n")
      .map((line) => line.trim())
      .filter((line) => line !== "");
    return { result, lines };
  } finally {
    native.llama_log_set(asPointer(previous[0]), asPointer(previous[1]));
    koffi.unregister(callback);
  }
}
