import type { LoadedFusionConfig } from "../config/load.js";
import { ShouldersError } from "../errors.js";
import type { ModelState } from "../protocol/models.js";
import type { ModelGroup } from "./model-group.js";
import type { PendingLoad } from "./pending-load.js";

/** A config and where it is loaded. */
export interface KnownConfig {
  loaded: LoadedFusionConfig;
  group: ModelGroup | null;
  load: PendingLoad | null;
  failure: string | null;
  isPinned: boolean;
}

/** The configs that may be asked for, loaded or not. */
export class KnownConfigs {
  readonly #pinned: readonly string[];
  readonly #byId = new Map<string, KnownConfig>();

  /** @param pinned ids of those that are never unloaded. */
  constructor(pinned: readonly string[]) {
    this.#pinned = pinned;
  }

  get ids(): string[] {
    return [...this.#byId.keys()];
  }

  get(id: string): KnownConfig | undefined {
    return this.#byId.get(id);
  }

  /** @throws ShouldersError `model_not_found` */
  named(id: string): KnownConfig {
    const known = this.#byId.get(id);
    if (known !== undefined) return known;
    throw new ShouldersError(
      "model_not_found",
      `No model has this name; known: ${this.ids.join(", ") || "none"}.`,
      {
        param: "model",
      },
    );
  }

  list(): ModelState[] {
    return [...this.#byId].map(([id, { group, load, failure, isPinned }]) => ({
      id,
      status: group !== null ? "loaded" : load !== null ? "loading" : "unloaded",
      progress: load?.fraction ?? null,
      failure,
      isPinned,
    }));
  }

  /**
   * Knows these configs, and no others; those that it knows stay as they are.
   *
   * @returns the groups of those that it knows no longer
   */
  know(configs: readonly LoadedFusionConfig[]): ModelGroup[] {
    for (const loaded of configs) {
      const { id } = loaded.config;
      const isPinned = this.#pinned.includes(id);
      if (!this.#byId.has(id))
        this.#byId.set(id, { loaded, group: null, load: null, failure: null, isPinned });
    }
    const wanted = new Set(configs.map(({ config }) => config.id));
    const gone = [...this.#byId].filter(([id]) => !wanted.has(id));
    for (const [id] of gone) this.#byId.delete(id);
    return gone.flatMap(([, { group }]) => group ?? []);
  }

  /**
   * The configs of a group are loaded there.
   *
   * @returns where they were before
   */
  moveTo(group: ModelGroup): Set<ModelGroup> {
    const before = new Set<ModelGroup>();
    for (const id of group.ids) {
      const known = this.#byId.get(id);
      if (known === undefined) continue;
      if (known.group !== null) before.add(known.group);
      Object.assign(known, { group, failure: null });
    }
    return before;
  }

  /** None of them is loaded there any more. */
  leave(group: ModelGroup): void {
    for (const known of this.#byId.values()) if (known.group === group) known.group = null;
  }

  isUsed(group: ModelGroup): boolean {
    return [...this.#byId.values()].some((known) => known.group === group);
  }

  isPinned({ ids }: ModelGroup): boolean {
    return [...ids].some((id) => this.#byId.get(id)?.isPinned === true);
  }

  /** They could not be loaded. */
  fail(ids: readonly string[], failure: string): void {
    for (const id of ids) {
      const known = this.#byId.get(id);
      if (known !== undefined) known.failure = failure;
    }
  }
}
