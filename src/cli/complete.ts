import { randomUUID } from "node:crypto";
import { z } from "zod";
import { findFusionConfigs } from "../config/load.js";
import { plainRequest } from "../protocol/protocol.js";
import type { Engine, GenerationRequest } from "../protocol/protocol.js";
import { ShouldersError, invariant } from "../errors.js";
import type { TokenRecord } from "../wire/token-record.js";
import { openEngine } from "./open-engine.js";
import { type SettingFlags, prepare } from "./run-time.js";
import { type Stop, exitCodeOf } from "./stop-signal.js";
import { styleFor } from "./style.js";
import { renderTrace } from "./trace-table.js";

export type CompleteFlags = SettingFlags & { fusion: string; trace?: true; maxTokens?: string };

function parseCount(flag: string, text: string): number {
  const parsed = z.coerce.number().int().min(1).max(1_048_576).safeParse(text);
  if (parsed.success) return parsed.data;
  throw new ShouldersError("settings_invalid", `${flag}: "${text}" is not allowed; give an integer from 1`);
}

/** Streams the answer to standard output. @returns the records of its tokens. */
async function printAnswer(
  engine: Engine,
  request: GenerationRequest,
  signal: AbortSignal,
): Promise<TokenRecord[]> {
  const records: TokenRecord[] = [];
  for await (const event of engine.generate(request, signal)) {
    if (event.type === "accepted") continue;
    if (event.type === "delta") process.stdout.write(event.text);
    records.push(...event.tokens.map(({ record }) => record));
  }
  process.stdout.write("\n");
  return records;
}

/** `shoulders complete`: one answer of one fusion config, and on request what happened at each of its tokens. */
export async function complete(question: string, flags: CompleteFlags, stop: Stop): Promise<number> {
  const { fusion, trace, maxTokens, ...settingFlags } = flags;
  const { settings, log } = prepare(settingFlags, "warn");
  const configs = findFusionConfigs(settings.fusionConfigs, [fusion], () => undefined);
  const config = configs[0]?.config;
  invariant(config !== undefined, "one id selects one config");
  const engine = await openEngine({ configs, settings, log, signal: stop.signal });
  try {
    const described = engine.description?.configs.find(({ id }) => id === config.id);
    invariant(described !== undefined, "a started engine describes its configs");
    const request: GenerationRequest = {
      ...plainRequest,
      requestId: randomUUID(),
      owner: "complete",
      party: "complete",
      configId: config.id,
      prompt: { type: "chat", messages: [{ role: "user", content: question }] },
      maxTokens: maxTokens === undefined ? null : parseCount("--max-tokens", maxTokens),
      sampling: described.sampling,
      trace: trace ? "weights" : "off",
      audit: trace ? "rows" : "none",
    };
    const records = await printAnswer(engine, request, stop.signal);
    if (trace) {
      const expertIds = config.experts.map(({ id }) => id);
      const style = styleFor(process.stdout, process.env);
      process.stdout.write(`\n${renderTrace(records, expertIds, style)}`);
    }
    return stop.received === null ? 0 : exitCodeOf(stop.received);
  } finally {
    await engine.close();
  }
}
