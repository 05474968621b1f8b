import { homedir, tmpdir } from "node:os";
import path from "node:path";

/** Names the folder of what is kept between starts. */
export const CACHE_VARIABLE = "SHOULDERS_CACHE_DIR";

/**
 * Where things are kept that spare a later start some work and may be deleted at any time: `SHOULDERS_CACHE_DIR`, or
 * the place that the system has for such files. It need not exist, and perhaps cannot be written.
 */
export function cacheFolder(): string {
  const { [CACHE_VARIABLE]: own, XDG_CACHE_HOME, LOCALAPPDATA } = process.env;
  // A variable that is set to nothing counts as not set; XDG asks for relative paths to be ignored.
  if (own) return path.resolve(own);
  if (XDG_CACHE_HOME && path.isAbsolute(XDG_CACHE_HOME)) return path.join(XDG_CACHE_HOME, "shoulders");
  if (process.platform === "darwin") return path.join(home(), "Library", "Caches", "shoulders");
  if (process.platform === "win32")
    return path.join(LOCALAPPDATA || path.join(home(), "AppData", "Local"), "shoulders", "cache");
  return path.join(home(), ".cache", "shoulders");
}

/** A user whom the system does not know, as containers may run, has no home. */
function home(): string {
  try {
    return homedir();
  } catch {
    return tmpdir();
  }
}
