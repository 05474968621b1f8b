import { ShouldersError } from "../errors.js";
import { checkFirstDecode } from "../llama/first-decode.js";
import { openLibrary } from "../llama/library.js";
import { holdLifeline } from "./lifeline.js";
import type { BackendChoice, TrialOutcome } from "../protocol/protocol.js";

/** The entry of a process that tries a backend, and may die of it. */
process.once("message", (choice: BackendChoice) => {
  const report = (outcome: TrialOutcome) => process.send?.(outcome, () => process.exit());
  openLibrary(choice)
    .then(checkFirstDecode)
    .then(
      () => report({ error: null }),
      (error: unknown) => report({ error: ShouldersError.from(error).toData() }),
    );
});
holdLifeline();
