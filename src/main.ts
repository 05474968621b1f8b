#!/usr/bin/env node
import { asksForStack, describeFailure, exitCodeFor } from "./cli/failure.js";
import { commanderExitCode, createProgram } from "./cli/program.js";

/** `… | head -1`: whoever read us has seen enough. */
process.stdout.on("error", (error: NodeJS.ErrnoException) => process.exit(error.code === "EPIPE" ? 0 : 1));

/** What it cannot say there it cannot say at all: no reason to end. */
process.stderr.on("error", () => undefined);

try {
  await createProgram((exitCode) => {
    process.exitCode = exitCode;
  }).parseAsync();
} catch (error) {
  const refused = commanderExitCode(error);
  if (refused === null) process.stderr.write(describeFailure(error, asksForStack(process.argv, process.env)));
  process.exitCode = refused ?? exitCodeFor(error);
}
