import { makeFamily, vocabularySize } from "./family.js";
import type { PartResult } from "./report.js";
import { childPids, familyConfigFile, residentBytes, startShoulders } from "./server-process.js";
import { sum } from "./statistics.js";
import { tokensPerSecond } from "./throughput.js";

interface Model {
  file: string;
  sizeBytes: number;
  memoryBytes: number;
}

const mb = (bytes: number) => bytes / 1e6;

/** What both processes hold after eight sequences have run, against what libllama says it holds. */
export async function benchMemory(): Promise<PartResult> {
  makeFamily();
  await using server = await startShoulders([
    familyConfigFile("fused", ["expert-1", "expert-2"], { tokens: 512, sequences: 8 }),
  ]);
  for (let round = 0; round < 2; round++)
    await tokensPerSecond(server.url, { model: "fused", clients: 8, promptLength: 16, numTokens: 8 });
  const answer = await fetch(`${server.url}/v1/fusion/configs/fused`);
  const config = (await answer.json()) as { base: Model; reference: Model; experts: Model[] };
  const models = [config.base, config.reference, ...config.experts];
  const weights = sum(models.map(({ sizeBytes }) => sizeBytes));
  const contexts = sum(models.map(({ memoryBytes }) => memoryBytes));
  const [enginePid] = childPids(server.pid) as [number];
  const resident = { server: residentBytes(server.pid), engine: residentBytes(enginePid) };
  const used = resident.server + resident.engine;
  const planned = plannedBytes(server.output()) ?? weights + contexts;
  return {
    values: {
      memory_beyond_mb: mb(used - weights - contexts),
      memory_plan_error: Math.abs(used - planned) / used,
    },
    tables: [
      {
        title: "Resident memory, MB",
        workload: `bench family, base + reference + 2 experts, V = ${vocabularySize}, 8 sequences of 512 tokens, after 16 requests`,
        head: ["what", "MB"],
        rows: [
          ["server process", mb(resident.server)],
          ["engine process", mb(resident.engine)],
          ["weights, as libllama reports them", mb(weights)],
          ["cells and compute buffers, as libllama reports them", mb(contexts)],
          ["beyond those", mb(used - weights - contexts)],
          ["plan", mb(planned)],
        ],
      },
    ],
  };
}

/** `memory … 1.2 GiB` as the server prints it at start; null where it prints none. */
function plannedBytes(output: string): number | null {
  const found = /memory[^\n]*?([\d.]+) (KiB|MiB|GiB)/i.exec(output);
  if (!found) return null;
  const units = { KiB: 2 ** 10, MiB: 2 ** 20, GiB: 2 ** 30 };
  return Number(found[1]) * units[found[2] as keyof typeof units];
}
