import { execFileSync } from "node:child_process";
import { existsSync, readFileSync } from "node:fs";

/** Ids of the processes that a process has started: the engine. */
export function childrenOf(pid: number): number[] {
  const toIds = (text: string): number[] => text.trim().split(/\s+/).filter(Boolean).map(Number);
  const listed = `/proc/${pid}/task/${pid}/children`;
  if (existsSync(listed)) return toIds(readFileSync(listed, "utf8"));
  return toIds(execFileSync("pgrep", ["-P", String(pid)], { encoding: "utf8" }));
}

/** Not where it has ended and nobody has asked how: who inherits it may take his time. */
export function isAlive(pid: number): boolean {
  try {
    process.kill(pid, 0);
  } catch {
    return false;
  }
  return !stateOf(pid).startsWith("Z");
}

/** Whether a process stands still by a signal. */
export const isStopped = (pid: number): boolean => stateOf(pid).startsWith("T");

/** One letter, as ps has it; empty: there is no such process. */
function stateOf(pid: number): string {
  const listed = `/proc/${pid}/stat`;
  try {
    if (existsSync("/proc/self/stat")) return readFileSync(listed, "utf8").replace(/^.*\) /s, "");
    return execFileSync("ps", ["-o", "state=", "-p", String(pid)], { encoding: "utf8" }).trim();
  } catch {
    return "";
  }
}
