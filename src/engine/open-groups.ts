import type { EngineDescription, EngineStats, StepSample } from "../protocol/protocol.js";
import { describeGroups, mergeStats } from "./merge-engines.js";
import type { ModelGroup } from "./model-group.js";

/** The groups that are open, those that leave included, and what their engines are as one. */
export class OpenGroups implements Iterable<ModelGroup> {
  readonly #groups = new Set<ModelGroup>();
  readonly #stepListeners: ((sample: StepSample) => void)[] = [];
  #numRestartsBefore = 0;
  #merged: { of: EngineDescription[]; description: EngineDescription | null } = { of: [], description: null };

  [Symbol.iterator](): IterableIterator<ModelGroup> {
    return this.#groups.values();
  }

  get size(): number {
    return this.#groups.size;
  }

  add(group: ModelGroup): void {
    group.engine.onStep((sample) => this.#stepListeners.forEach((listener) => listener(sample)));
    this.#groups.add(group);
  }

  /** @returns whether it was there still. */
  delete(group: ModelGroup): boolean {
    const isThere = this.#groups.delete(group);
    if (isThere) this.#numRestartsBefore += group.engine.numRestarts;
    return isThere;
  }

  /**
   * What is loaded, as one: of a config what has been loaded last, and what leaves where nothing is in its place.
   *
   * @param ids of the configs, in their order
   */
  describe(ids: readonly string[]): EngineDescription | null {
    const groups = [...this.#groups].reverse().sort((a, b) => Number(a.isLeaving) - Number(b.isLeaving));
    const of = groups.flatMap(({ engine }) => engine.description ?? []);
    if (of.length !== this.#merged.of.length || of.some((one, index) => one !== this.#merged.of[index]))
      this.#merged = { of, description: describeGroups(of, groups, ids) };
    return this.#merged.description;
  }

  /** Why engines are down; null: all are up, or it is not known. */
  get trouble(): string | null {
    const reasons = [...this.#groups].flatMap(({ engine }) => engine.trouble ?? []);
    return reasons.length === 0 ? null : [...new Set(reasons)].join(" ");
  }

  get stats(): EngineStats {
    return mergeStats([...this.#groups].map(({ engine }) => engine.stats));
  }

  /** How often an engine was started again, those included that are gone. */
  get numRestarts(): number {
    return [...this.#groups].reduce((sum, { engine }) => sum + engine.numRestarts, this.#numRestartsBefore);
  }

  /** What they all were planned to take. */
  get bytes(): number {
    return [...this.#groups].reduce((sum, { bytes }) => sum + bytes, 0);
  }

  onStep(listener: (sample: StepSample) => void): void {
    this.#stepListeners.push(listener);
  }
}
