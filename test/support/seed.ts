import fc from "fast-check";

// The suite draws the same cases every time; FC_SEED draws others.
fc.configureGlobal({ seed: Number(process.env["FC_SEED"] ?? 20240611) });
