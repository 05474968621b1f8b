import { createHash } from "node:crypto";
import type { ConfigDescription, EngineDescription } from "../../protocol/protocol.js";

/** Changes with everything that can change an answer: the config, the library and its backend, the kernel. */
export function systemFingerprint(
  { library, kernel }: EngineDescription,
  { digest }: ConfigDescription,
): string {
  const hash = createHash("sha256").update(JSON.stringify([digest, library, kernel]));
  return `fp_${hash.digest("hex").slice(0, 12)}`;
}
