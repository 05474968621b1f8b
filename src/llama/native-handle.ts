import type { Llama } from "node-llama-cpp";
import type { NativeFunctions } from "./abi.js";
import type { Devices } from "./devices.js";
import type { NativeLog } from "./native-log.js";

/** What the rooms behind the door need of it. */
export interface NativeHandle {
  native: NativeFunctions;
  llama: Llama;
  log: NativeLog;
  /** Whether models may use GPUs. */
  usesDevices: boolean;
  flashAttention: "auto" | "off";
  devices: Devices;
}
