import type { LoadedFusionConfig } from "../config/load.js";
import { serversOf } from "../config/rpc-servers.js";
import { bufferKinds } from "../llama/types.js";
import type { Engine, PlaceMemory } from "../protocol/protocol.js";
import type { Release } from "../protocol/models.js";

/** Configs whose models one engine holds, and who needs it just now. */
export class ModelGroup {
  readonly engine: Engine;
  readonly ids: ReadonlySet<string>;
  /** RPC servers, of which each serves one engine. */
  readonly servers: ReadonlySet<string>;
  /** What its plan says that it takes, on all devices and in main memory. */
  readonly bytes: number;
  /** It takes nothing new, and is closed when the last holder is gone. */
  isLeaving = false;
  lastUsedMs = performance.now();
  readonly #configs: readonly LoadedFusionConfig[];
  #numHolders = 0;
  readonly #whenIdle: (() => void)[] = [];

  constructor(engine: Engine, configs: readonly LoadedFusionConfig[]) {
    this.engine = engine;
    this.#configs = configs;
    this.ids = new Set(configs.map(({ config }) => config.id));
    this.servers = new Set(serversOf(configs));
    this.bytes = bytesOf(engine);
  }

  /** Whether it has just this config, and not one that has been changed since. */
  has(loaded: LoadedFusionConfig): boolean {
    return this.#configs.includes(loaded);
  }

  get isIdle(): boolean {
    return this.#numHolders === 0;
  }

  hold(): Release {
    this.#numHolders++;
    this.lastUsedMs = performance.now();
    let isHeld = true;
    return () => {
      if (!isHeld) return;
      isHeld = false;
      this.#numHolders--;
      this.lastUsedMs = performance.now();
      if (this.isIdle) this.#whenIdle.splice(0).forEach((resolve) => resolve());
    };
  }

  /** Resolves when nobody holds it. */
  async untilIdle(): Promise<void> {
    while (!this.isIdle) await new Promise<void>((resolve) => this.#whenIdle.push(resolve));
  }
}

/** What a plan takes on all devices and in main memory. */
export function bytesOfPlaces(places: readonly PlaceMemory[]): number {
  return places.reduce(
    (sum, { buffers, programBytes }) =>
      bufferKinds.reduce((bytes, kind) => bytes + buffers[kind], sum + programBytes),
    0,
  );
}

function bytesOf({ description }: Engine): number {
  const places = description?.memory ?? [];
  return bytesOfPlaces(places);
}
