import type { LoadedFusionConfig } from "../config/load.js";
import type { Logger } from "../log.js";
import type { Engine } from "../protocol/protocol.js";
import type { ModelGroup } from "./model-group.js";

export interface RouterOptions {
  /** Starts an engine that has loaded these configs. @throws ShouldersError what made loading fail */
  open: (
    configs: readonly LoadedFusionConfig[],
    options: { signal: AbortSignal; onProgress: (fraction: number) => void },
  ) => Promise<Engine>;
  /** What an engine with these configs would take, bytes. @throws ShouldersError as `open` */
  plan: (configs: readonly LoadedFusionConfig[], signal: AbortSignal) => Promise<number>;
  log: Logger;
  /** Most bytes of all loaded models; 0: as many as there are. */
  memoryBytes: number;
  /** How long nobody may ask a config before it is unloaded; 0: for ever. */
  idleMs: number;
  /** Longest wait for a load. */
  waitMs: number;
  /** Reads the configs again, and calls `know` and `replace`. @returns what is wrong with some of them */
  reload: () => Promise<string[]>;
  /** Ids that are never unloaded. */
  pinned: readonly string[];
}

/** What should go first: what nobody holds, and of that what was used longest ago. */
export function leastNeeded(groups: readonly ModelGroup[]): ModelGroup | undefined {
  const [first] = groups
    .filter(({ isLeaving }) => !isLeaving)
    .sort((a, b) => Number(b.isIdle) - Number(a.isIdle) || a.lastUsedMs - b.lastUsedMs);
  return first;
}
