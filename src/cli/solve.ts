import { createReadStream } from "node:fs";
import { ShouldersError } from "../errors.js";
import { runSolve } from "./solve-cases.js";

export interface SolveFlags {
  solver: "exact" | "grid";
  kernel: "simd" | "reference";
}

/** Chunks of text of a file, or of standard input where none is named. */
async function* readInput(file: string | undefined): AsyncGenerator<string, void> {
  if (file === undefined && process.stdin.isTTY)
    process.stderr.write("Reading cases from standard input, a JSON object a line; end with Ctrl-D.\n");
  const stream = file === undefined ? process.stdin : createReadStream(file);
  try {
    for await (const chunk of stream.setEncoding("utf8")) yield chunk as string;
  } catch (error) {
    const reason = error instanceof Error ? error.message : String(error);
    throw new ShouldersError("settings_invalid", `${file ?? "standard input"} cannot be read: ${reason}`, {
      cause: error,
    });
  }
}

/** `shoulders solve`: weights for rows of logits, one JSON line a case. */
export function solve(file: string | undefined, flags: SolveFlags): Promise<number> {
  return runSolve(readInput(file), flags, (line) => process.stdout.write(line));
}
