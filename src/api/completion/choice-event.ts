import type { GenerationEvent } from "../../protocol/protocol.js";
import type { Echo } from "./echo.js";

/** `index`: of the choice. An `echo`, where one was asked for, is a choice's first event. */
export interface ChoiceEvent {
  index: number;
  event: GenerationEvent | { type: "echo"; echo: Echo };
}
