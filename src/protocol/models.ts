/** The fusion configs that a server knows, whether or not their models are loaded. */

export type ModelStatus = "unloaded" | "loading" | "loaded";

export interface ModelState {
  id: string;
  status: ModelStatus;
  /** How much of its files is read while it loads, 0 to 1; null: nothing is loading. */
  progress: number | null;
  /** Why its last load failed; null: it has not. */
  failure: string | null;
  /** Never unloaded for want of use or of memory. */
  isPinned: boolean;
}

/** Ends a hold: the config may be unloaded again. */
export type Release = () => void;

export interface HoldOptions {
  signal: AbortSignal;
  /** Hears how far a load is that is waited for, 0 to 1. */
  onProgress?: ((fraction: number) => void) | undefined;
}

export interface Models {
  /** Whether requests would be taken: what was to be loaded at the start is. */
  readonly isReady: boolean;
  /** Why models that were loaded do not answer now; null: all do, or it is not known. */
  readonly trouble: string | null;
  list(): ModelState[];
  has(id: string): boolean;
  /** Keeps a config loaded until it is released; null: it is not loaded. */
  tryHold(id: string): Release | null;
  /**
   * Keeps a config loaded until it is released; loads it first where it is not, which may take long.
   *
   * @throws ShouldersError `model_not_found`; why it cannot be loaded; `queue_timeout`: not in time; or the reason of
   *   the signal
   */
  hold(id: string, options: HoldOptions): Promise<Release>;
  /** Loads a config. `pin`: and keeps it. @throws ShouldersError as `hold` */
  load(id: string, options: { pin: boolean | null; signal: AbortSignal }): Promise<void>;
  /** Takes no more requests for a config; its memory is free when its running answers are done. */
  unload(id: string): Promise<void>;
  /** Reads the configs again. @returns a line for each thing that is wrong with one of them. */
  reload(): Promise<string[]>;
}
