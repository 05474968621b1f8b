import { fork, type ChildProcess } from "node:child_process";
import { once } from "node:events";
import { Socket } from "node:net";
import { lifelineDescriptor } from "./lifeline.js";

/** A child that has closed its pipe and has not ended after this time never will. */
const endTimeoutMs = 2_000;
/** How long a child may take to end by itself before it is killed. */
const closeTimeoutMs = 10_000;

/** Memory from this size on is given back to the system when it is freed. Drivers use much in smaller pieces. */
const largeBlockBytes = String(4 * 1024 * 1024);

/**
 * Forks an engine process with a thread for every model's decode. It ends with this process, or with its pipe.
 *
 * @param models paths of the files that it is to load
 */
export function forkChild(entry: URL, models: readonly string[]): ChildProcess {
  const child = fork(entry, {
    serialization: "advanced",
    // Checking model files leaves garbage that V8 would keep room for; the child collects it once it has loaded.
    execArgv: ["--expose-gc"],
    // Every model's decode occupies a thread of libuv's pool while it runs; file and DNS work needs some too.
    // With an arena a thread, or with large blocks among the small ones, glibc would keep far more memory than is in
    // use: of a long text that was cut into tokens, too.
    env: {
      MALLOC_ARENA_MAX: "2",
      MALLOC_MMAP_THRESHOLD_: largeBlockBytes,
      MALLOC_TRIM_THRESHOLD_: largeBlockBytes,
      ...process.env,
      UV_THREADPOOL_SIZE: String(Math.max(4, models.length + 2)),
    },
    // What native code prints must not mix with an answer on standard output.
    stdio: ["ignore", 2, 2, "ipc", "pipe"],
  });
  const lifeline = child.stdio[lifelineDescriptor];
  if (lifeline instanceof Socket) lifeline.unref().on("error", () => undefined);
  child.once("disconnect", () => setTimeout(() => child.kill("SIGKILL"), endTimeoutMs).unref());
  return child;
}

/** Waits for the child's end, and kills it if it takes too long. */
export async function endOf(child: ChildProcess): Promise<void> {
  const killer = setTimeout(() => child.kill("SIGKILL"), closeTimeoutMs);
  await once(child, "exit");
  clearTimeout(killer);
}
