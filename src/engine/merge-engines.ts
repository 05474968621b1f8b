import { bufferKinds } from "../llama/types.js";
import type {
  BatchCurves,
  ConfigDescription,
  EngineDescription,
  EngineStats,
  PlaceMemory,
} from "../protocol/protocol.js";

/** Several engines as one: what they say of themselves, and their gauges. */

export const noStats: EngineStats = {
  steps: 0,
  running: 0,
  waiting: 0,
  cached: 0,
  residentBytes: 0,
  cells: {},
};

function addBuffers(one: PlaceMemory["buffers"], other: PlaceMemory["buffers"]): PlaceMemory["buffers"] {
  const sum = { ...one };
  for (const kind of bufferKinds) sum[kind] += other[kind];
  return sum;
}

function mergePlaces(all: readonly PlaceMemory[]): PlaceMemory[] {
  const places = new Map<string, PlaceMemory>();
  for (const place of all) {
    const known = places.get(place.name);
    if (known === undefined) places.set(place.name, place);
    else
      places.set(place.name, {
        ...known,
        // What was free before anything was loaded.
        freeBytes: Math.max(known.freeBytes, place.freeBytes),
        programBytes: known.programBytes + place.programBytes,
        numLayers: (known.numLayers ?? 0) + (place.numLayers ?? 0),
        buffers: addBuffers(known.buffers, place.buffers),
      });
  }
  return [...places.values()];
}

/**
 * The description of all; of two configs with one id the first counts. null: there is none.
 *
 * @param ids of the configs, in their order
 */
function mergeDescriptions(
  descriptions: readonly EngineDescription[],
  ids: readonly string[],
): EngineDescription | null {
  const [first] = descriptions;
  if (first === undefined || descriptions.length === 1) return first ?? null;
  const configs = new Map<string, ConfigDescription>();
  for (const config of descriptions.flatMap((one) => one.configs))
    if (!configs.has(config.id)) configs.set(config.id, config);
  const slowest = descriptions.reduce((a, b) => (b.decoding.stepMs > a.decoding.stepMs ? b : a));
  const threads = Object.fromEntries(
    descriptions.flatMap(({ decoding }) => Object.entries(decoding.threads)),
  );
  const curves: BatchCurves = Object.fromEntries(
    descriptions.flatMap(({ decoding }) => Object.entries(decoding.curves)),
  );
  return {
    ...first,
    library: {
      ...first.library,
      devices: [...new Set(descriptions.flatMap(({ library }) => library.devices))],
    },
    decoding: { ...slowest.decoding, threads, curves },
    memory: mergePlaces(descriptions.flatMap(({ memory }) => memory)),
    configs: [...configs.values()].sort((a, b) => ids.indexOf(a.id) - ids.indexOf(b.id)),
  };
}

/** The same, with the configs of those groups whose engine is being started again. */
export function describeGroups(
  descriptions: readonly EngineDescription[],
  groups: readonly { engine: { description: EngineDescription | null }; ids: Iterable<string> }[],
  ids: readonly string[],
): EngineDescription | null {
  const merged = mergeDescriptions(descriptions, ids);
  const restarting = groups
    .filter(({ engine }) => engine.description === null)
    .flatMap((one) => [...one.ids]);
  return merged === null || restarting.length === 0 ? merged : { ...merged, restarting };
}

export function mergeStats(all: readonly EngineStats[]): EngineStats {
  const cells: EngineStats["cells"] = {};
  for (const [model, { used, total }] of all.flatMap((stats) => Object.entries(stats.cells))) {
    const known = cells[model] ?? { used: 0, total: 0 };
    cells[model] = { used: known.used + used, total: known.total + total };
  }
  const sum = (of: (stats: EngineStats) => number) => all.reduce((total, stats) => total + of(stats), 0);
  return {
    steps: sum(({ steps }) => steps),
    running: sum(({ running }) => running),
    waiting: sum(({ waiting }) => waiting),
    cached: sum(({ cached }) => cached),
    residentBytes: sum(({ residentBytes }) => residentBytes),
    cells,
  };
}
