import type { Member, Roles } from "../config/members.js";
import type { ThinkingForm, ToolForm } from "../llama/types.js";
import type { ResolvedFusionConfig } from "../protocol/protocol.js";
import type { Expert } from "../strategies/strategy.js";
import type { SharedText } from "./own/share-text.js";
import type { TokenNames } from "./shared-ids.js";

/** A model of a config, loaded. */
export interface LoadedMember {
  role: Member["role"];
  /** `base`, `reference`, or the expert's id. */
  id: string;
  /** Index into `LoadedModels.slots`. */
  model: number;
}

export interface LoadedExpert extends LoadedMember, Expert {
  /** Most that it may move the base at a token, nats. */
  budget: number;
}

/** A fusion config over loaded models. */
export interface LoadedConfig extends Roles<LoadedMember>, SharedText {
  resolved: ResolvedFusionConfig;
  experts: readonly LoadedExpert[];
  /** Length of the common part of the vocabularies; only its ids may be used. */
  vocabularySize: number;
  /** What its tokens are called. */
  tokenNames: TokenNames;
  /** How answers call functions. */
  toolForm: ToolForm;
  /** How answers mark what is thought before them; null: nothing is. */
  thinking: ThinkingForm | null;
  /** Index of the model whose template says so. */
  thinker: number;
}
