import { freemem, totalmem } from "node:os";

/** Bytes that this process may use at most: the machine's memory, or its container's limit. */
export function memoryLimit(): number {
  const limit = process.constrainedMemory();
  return limit > 0 ? Math.min(limit, totalmem()) : totalmem();
}

/** Bytes that can be had now without pushing others out. */
export function availableMemory(): number {
  return Math.min(freemem(), memoryLimit());
}

export function gibibytes(bytes: number): string {
  return `${(bytes / 2 ** 30).toFixed(1)} GiB`;
}
