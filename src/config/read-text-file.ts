import { closeSync, constants, fstatSync, openSync, readSync } from "node:fs";
import { ShouldersError } from "../errors.js";

/** Bytes of a file that a person writes: configs, settings, keys, suites. */
export const mostConfigBytes = 1024 * 1024;
/** Bytes of a file of tasks or examples. */
export const mostTaskBytes = 256 * 1024 * 1024;

/**
 * The text of a regular file: neither a device that never ends, nor a pipe that nobody writes to.
 *
 * @param most bytes that it may have, which is known before it is read
 * @throws Error that says why not; who reads the file says which
 */
export function readTextFile(file: string, most: number): string {
  const handle = openSync(file, constants.O_RDONLY | constants.O_NONBLOCK);
  try {
    const stats = fstatSync(handle);
    if (!stats.isFile()) throw invalid("it is not a regular file");
    if (stats.size > most) throw invalid(`it has ${stats.size} bytes, and may have ${most}`);
    // One more than it says: some files do not say how long they are, or grow.
    const bytes = Buffer.alloc(stats.size + 1);
    let length = 0;
    for (let read = -1; read !== 0 && length < bytes.length; length += read)
      read = readSync(handle, bytes, length, bytes.length - length, null);
    if (length > stats.size) throw invalid("it is longer than it says; copy it to a plain file");
    return bytes.toString("utf8", 0, length);
  } finally {
    closeSync(handle);
  }
}

function invalid(why: string): ShouldersError {
  return new ShouldersError("settings_invalid", why);
}
