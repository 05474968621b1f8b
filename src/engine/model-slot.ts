import type { RemoteBase } from "../config/remote-base.js";
import type { AdapterUse, LoadedModel, ModelContext } from "../llama/types.js";
import type { RemoteContext } from "../rows/remote-context.js";

/** A model, perhaps with an adapter, and its one context, shared by every config that names its file. */
export interface ModelSlot {
  /** File name without directory and ending, made unique. */
  id: string;
  model: LoadedModel;
  /** What makes an expert of a reference that other slots have too; null: the model as it is. */
  adapter: AdapterUse | null;
  context: ModelContext;
  /** The same context where another server has it: the model is its vocabulary then. null: it is here. */
  remote: { context: RemoteContext; settings: RemoteBase } | null;
  /** Cells of a window only: what is before it is gone. */
  hasWindow: boolean;
  /** Whether the last tokens of a sequence can be taken out of its memory: not out of a recurrent state or a window. */
  canTakeBack: boolean;
}
