import { createHash } from "node:crypto";
import { fingerprintOf } from "../calibration/fingerprint.js";
import type { ModelSource } from "../config/fusion-config.js";
import type { ResolvedFusionConfig } from "./protocol.js";

/** What a config is called changes no answer. */
const names = new Set(["$schema", "id", "description", "example"]);

/**
 * A digest of everything in a config that can change an answer: what is in its model files, wherever they lie, all its
 * settings, and its calibration card.
 *
 * @returns a function that reads each file once, however many configs name it
 */
export function configDigester(): (resolved: ResolvedFusionConfig) => string {
  const pathToHash = new Map<string, string>();
  const hashOf = (path: string): string => {
    const hash = pathToHash.get(path) ?? fingerprintOf(path).sha256;
    pathToHash.set(path, hash);
    return hash;
  };
  const file = (path: string | null | undefined, source: ModelSource | null) =>
    path == null ? null : [hashOf(path), source?.gpuLayers];
  return ({ config, basePath, referencePath, expertPaths, card }) => {
    const settings = Object.entries(config).filter(([name]) => !names.has(name));
    const known = {
      ...Object.fromEntries(settings),
      base: file(basePath, config.base),
      reference: file(referencePath, config.reference),
      experts: config.experts.map((expert, index) => ({
        ...expert,
        model: file(expertPaths[index], expert.model),
      })),
      card,
    };
    return createHash("sha256").update(JSON.stringify(known)).digest("hex");
  };
}
