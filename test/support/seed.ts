import fc from "fast-check";
import { numRuns } from "./num-runs.js";

// The suite draws the same cases every time; FC_SEED draws others, FC_NUM_RUNS more of them.
fc.configureGlobal({ seed: Number(process.env["FC_SEED"] ?? 20240611), numRuns: numRuns(100) });
