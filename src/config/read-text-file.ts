import { closeSync, constants, fstatSync, openSync, readSync } from "node:fs";

/** Bytes of a file that a person writes: configs, settings, keys, suites. */
export const mostConfigBytes = 1024 * 1024;
/** Bytes of a file of tasks or examples. */
export const mostTaskBytes = 256 * 1024 * 1024;

/**
 * The text of a regular file: neither a device that never ends, nor a pipe that nobody writes to.
 *
 * @param most bytes that it may have, which is known before it is read
 * @throws Error that says why not
 */
export function readTextFile(file: string, most: number): string {
  const handle = openSync(file, constants.O_RDONLY | constants.O_NONBLOCK);
  try {
    const stats = fstatSync(handle);
    if (!stats.isFile()) throw new Error("it is not a regular file");
    // One more than is allowed: some files do not say how long they are.
    const bytes = Buffer.alloc(Math.min(stats.size, most) + 1);
    let length = 0;
    for (let read = -1; read !== 0 && length < bytes.length; length += read)
      read = readSync(handle, bytes, length, bytes.length - length, null);
    if (length > most) throw new Error(`it has more than ${most} bytes`);
    return bytes.toString("utf8", 0, length);
  } finally {
    closeSync(handle);
  }
}
