import { homedir } from "node:os";
import path from "node:path";

/** A path as people write it: `~` at its beginning is the home folder, where no shell has made it that already. */
export function expandHome(written: string): string {
  const isHome = written === "~" || written.startsWith("~/") || written.startsWith(`~${path.sep}`);
  return isHome ? path.join(homedir(), written.slice(1)) : written;
}
