import koffi from "koffi";

/** `linux/prctl.h`. */
const setParentDeathSignal = 1;
const sigkill = 9;

/**
 * Linux kills this process when the thread that has started it ends: also while it is stopped, when no code of its own
 * runs. Elsewhere nothing does so.
 */
export function dieWithParent(): void {
  if (process.platform !== "linux") return;
  const prctl = koffi
    .load(null)
    .func("prctl", "int", ["int", "unsigned long", "unsigned long", "unsigned long", "unsigned long"]) as (
    ...parameters: number[]
  ) => number;
  prctl(setParentDeathSignal, sigkill, 0, 0, 0);
}
