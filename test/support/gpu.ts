import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import path from "node:path";
import { pino } from "pino";
import { afterAll, vi } from "vitest";
import { startEngine } from "../../src/engine/client.js";
import type { Engine, EngineSettings, ResolvedFusionConfig } from "../../src/protocol/protocol.js";
import { defaultSettings, engineEntry } from "./real-engine.js";

/** Mesa's processor device counts for llama.cpp only when it is named. */
export const softwareDevice = { GGML_VK_VISIBLE_DEVICES: "0" };

/** Gives the tests of a file the software device, and a cache folder of their own. @returns the folder. */
export function useSoftwareDevice(): string {
  vi.setConfig({ testTimeout: 300_000 });
  const folder = mkdtempSync(path.join(tmpdir(), "gpu-cache-"));
  Object.assign(process.env, softwareDevice, { SHOULDERS_CACHE_DIR: folder });
  afterAll(() => rmSync(folder, { recursive: true, force: true }));
  return folder;
}

export interface GpuEngine {
  engine: Engine;
  /** What was logged, a line each. */
  lines: () => { level: number; msg: string }[];
}

export interface GpuEngineOptions {
  settings?: Partial<EngineSettings>;
  entry?: URL;
  trialTimeoutMs?: number;
}

/** An engine on the software device, unless the settings say otherwise, with its log. */
export async function startOnDevice(
  configs: ResolvedFusionConfig[],
  { settings = {}, entry = engineEntry, ...options }: GpuEngineOptions = {},
): Promise<GpuEngine> {
  const written: string[] = [];
  const log = pino({ level: "info" }, { write: (line: string) => void written.push(line) });
  const engine = await startEngine({
    configs,
    settings: { ...defaultSettings, backend: "vulkan", ...settings },
    log,
    onProgress: () => undefined,
    entry,
    ...options,
  });
  return { engine, lines: () => written.map((line) => JSON.parse(line) as { level: number; msg: string }) };
}

export interface TaskItem {
  messages: { role: "user"; content: string }[];
}

/** The first items of one of the family's tasks. */
export function taskItems(root: string, task: string, count: number): TaskItem[] {
  const lines = readFileSync(path.join(root, `models/tasks/${task}.jsonl`), "utf8")
    .trim()
    .split("\n");
  return lines.slice(0, count).map((line) => JSON.parse(line) as TaskItem);
}
