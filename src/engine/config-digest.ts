import { type LocalMember, mapRoles } from "../config/members.js";
import { createHash } from "node:crypto";
import { fingerprintOf } from "../routing/fingerprint.js";
import type { ResolvedFusionConfig } from "../protocol/protocol.js";

/** What a config is called changes no answer. */
const names = new Set(["$schema", "id", "description", "example"]);

/** @returns a function that tells what is in a model file, and reads each file once */
export function fileHasher(): (path: string) => string {
  const pathToHash = new Map<string, string>();
  return (path) => {
    const hash = pathToHash.get(path) ?? fingerprintOf(path).sha256;
    pathToHash.set(path, hash);
    return hash;
  };
}

/**
 * A digest of everything in a config that can change an answer: what is in its model files, wherever they lie, all its
 * settings, and its calibration card.
 */
export function configDigester(hashOf = fileHasher()): (resolved: ResolvedFusionConfig) => string {
  // Types of cells and flash attention change answers; the path as written does not.
  const file = ({ path, source }: LocalMember) => [hashOf(path), { ...source, model: undefined }];
  return ({ config, members, card }) => {
    const settings = Object.entries(config).filter(([name]) => !names.has(name));
    const files = mapRoles(members, file);
    const known = {
      ...Object.fromEntries(settings),
      ...files,
      experts: config.experts.map((expert, index) => {
        const adapterPath = members.experts[index]?.adapterPath ?? null;
        const adapter = adapterPath === null ? undefined : hashOf(adapterPath);
        return { ...expert, model: files.experts[index], adapter };
      }),
      card,
    };
    return createHash("sha256").update(JSON.stringify(known)).digest("hex");
  };
}
