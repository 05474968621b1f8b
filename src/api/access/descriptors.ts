import { readdirSync, readFileSync } from "node:fs";

/** Where the system does not say how many files a process may open. */
const safeLimit = 1024;
/** Descriptors left to the engine's pipe, files that are read, and what Node opens. */
const numKept = 32;
const fewest = 4;

/** The soft limit of open files, as `/proc/self/limits` writes it; null: none is there. */
export function readOpenFiles(limits: string): number | null {
  const soft = /^Max open files\s+(\S+)/m.exec(limits)?.[1];
  if (soft === undefined) return null;
  return soft === "unlimited" ? Infinity : Number(soft);
}

function openFiles(): { limit: number; numOpen: number } {
  try {
    return {
      limit: readOpenFiles(readFileSync("/proc/self/limits", "utf8")) ?? safeLimit,
      numOpen: readdirSync("/proc/self/fd").length,
    };
  } catch {
    // Not Linux.
    return { limit: safeLimit, numOpen: 0 };
  }
}

/** How many connections the process has file descriptors for, of those wanted. */
export function fitConnections(wanted: number): { connections: number; openFiles: number } {
  const { limit, numOpen } = openFiles();
  return { connections: Math.max(fewest, Math.min(wanted, limit - numOpen - numKept)), openFiles: limit };
}
