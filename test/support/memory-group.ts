import { existsSync, mkdirSync, readFileSync, rmdirSync, writeFileSync } from "node:fs";
import path from "node:path";
import { setTimeout } from "node:timers/promises";

/** A control group of the kernel that holds processes to so much memory, as a container is held. */
export interface MemoryGroup {
  /** A program and arguments that start another one inside of it. */
  through: readonly string[];
  /** How often the kernel has killed a process for lack of memory. */
  numKilled(): number;
  /** Waits until its processes have ended. */
  remove(): Promise<void>;
}

interface Version {
  folder: string;
  limits: readonly string[];
  events: string;
}

/** The kernel has one of two interfaces. Without the second limit memory would be swapped out instead. */
const versions: Version[] = [
  { folder: "/sys/fs/cgroup", limits: ["memory.max", "memory.swap.max"], events: "memory.events" },
  {
    folder: "/sys/fs/cgroup/memory",
    limits: ["memory.limit_in_bytes", "memory.memsw.limit_in_bytes"],
    events: "memory.oom_control",
  },
];

/** @returns null where this user may make none. */
export function createMemoryGroup(bytes: number): MemoryGroup | null {
  for (const { folder, limits, events } of versions) {
    const group = path.join(folder, `shoulders-${process.pid}-${Date.now()}`);
    try {
      mkdirSync(group);
    } catch {
      continue;
    }
    const [limit = "", swap = ""] = limits;
    if (!existsSync(path.join(group, limit))) {
      rmdirSync(group);
      continue;
    }
    writeFileSync(path.join(group, limit), String(bytes));
    // Version 2 counts what is swapped out by itself; some kernels count none.
    if (existsSync(path.join(group, swap)))
      writeFileSync(path.join(group, swap), swap === "memory.swap.max" ? "0" : String(bytes));
    return {
      through: ["sh", "-c", `echo $$ > ${path.join(group, "cgroup.procs")} && exec "$0" "$@"`],
      numKilled: () =>
        Number(/^oom_kill (\d+)$/m.exec(readFileSync(path.join(group, events), "utf8"))?.[1] ?? NaN),
      remove: async () => {
        while (readFileSync(path.join(group, "cgroup.procs"), "utf8") !== "") await setTimeout(20);
        rmdirSync(group);
      },
    };
  }
  return null;
}
