import { execFileSync } from "node:child_process";
import { existsSync, readFileSync } from "node:fs";

/** Ids of the processes that a process has started: the engine. */
export function childrenOf(pid: number): number[] {
  const toIds = (text: string): number[] => text.trim().split(/\s+/).filter(Boolean).map(Number);
  const listed = `/proc/${pid}/task/${pid}/children`;
  if (existsSync(listed)) return toIds(readFileSync(listed, "utf8"));
  return toIds(execFileSync("pgrep", ["-P", String(pid)], { encoding: "utf8" }));
}

export function isAlive(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return true;
  } catch {
    return false;
  }
}
