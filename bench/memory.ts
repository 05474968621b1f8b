import { makeFamily, vocabularySize } from "./family.js";
import type { PartResult } from "./report.js";
import { childPids, familyConfigFile, residentBytes, startShoulders } from "./server-process.js";
import { sum } from "./statistics.js";
import { tokensPerSecond } from "./throughput.js";

interface Model {
  file: string;
  size_bytes: number;
  memory_bytes: number;
}

const mb = (bytes: number) => bytes / 1e6;

/**
 * What both processes hold after eight sequences have run, against what libllama says it holds. On the software
 * device of Mesa (`GGML_VK_VISIBLE_DEVICES=0`) a GPU's buffers are in these processes as well.
 */
export async function benchMemory(backend: "cpu" | "vulkan"): Promise<PartResult> {
  makeFamily();
  const fused = familyConfigFile("fused", ["expert-1", "expert-2"], { tokens: 512, sequences: 8 });
  const flags = backend === "vulkan" ? ["--backend", "vulkan"] : [];
  await using server = await startShoulders([backend === "vulkan" ? forDevice(fused) : fused], flags);
  // The software device takes seconds a token: one request has to do.
  const [rounds, clients, promptLength] = backend === "vulkan" ? [1, 1, 48] : [2, 8, 16];
  for (let round = 0; round < rounds; round++)
    await tokensPerSecond(server.url, { model: "fused", clients, promptLength, numTokens: 8 });
  const answer = await fetch(`${server.url}/v1/fusion/configs/fused`);
  const config = (await answer.json()) as { base: Model; reference: Model; experts: Model[] };
  const models = [config.base, config.reference, ...config.experts];
  const weights = sum(models.map((model) => model.size_bytes));
  const contexts = sum(models.map((model) => model.memory_bytes));
  const [enginePid] = childPids(server.pid) as [number];
  const resident = { server: residentBytes(server.pid), engine: residentBytes(enginePid) };
  const used = resident.server + resident.engine;
  const planned = plannedBytes(server.output());
  const planError = Math.abs(used - planned) / used;
  const beyond = mb(used - weights - contexts);
  return {
    values:
      backend === "vulkan"
        ? { plan_error_gpu: planError }
        : { memory_beyond_mb: beyond, memory_plan_error: planError },
    tables: [
      {
        title: `Resident memory on ${backend}, MB`,
        workload: `bench family, base + reference + 2 experts, V = ${vocabularySize}, 8 sequences of 512 tokens, after ${rounds * clients} requests`,
        head: ["what", "MB"],
        rows: [
          ["server process", mb(resident.server)],
          ["engine process", mb(resident.engine)],
          ["weights, as libllama reports them", mb(weights)],
          ["cells and compute buffers, as libllama reports them", mb(contexts)],
          ["beyond those", beyond],
          ["plan", mb(planned)],
        ],
      },
    ],
  };
}

/** Adds up `1.2 GiB of 8.0 GiB in …`, as the server prints it at start for each place. */
function plannedBytes(output: string): number {
  const units = { KiB: 2 ** 10, MiB: 2 ** 20, GiB: 2 ** 30 };
  const places = [...output.matchAll(/([\d.]+) (KiB|MiB|GiB) of [\d.]+ \w+ in /g)];
  return sum(places.map(([, amount, unit]) => Number(amount) * units[unit as keyof typeof units]));
}

/**
 * As the software device can use all that it allocates within seconds. Some versions of it die of flash attention; of
 * a mapped file only the embeddings of tokens that came are resident; and what a batch computes in is resident once a
 * batch was as large.
 */
function forDevice(config: ReturnType<typeof familyConfigFile>): object {
  const place = (model: string) => ({ model, flashAttention: "off", mmap: false });
  const { base, reference, experts = [] } = config;
  return {
    ...config,
    context: { ...config.context, microBatch: 32 },
    base: place(base),
    ...(reference !== undefined && { reference: place(reference) }),
    experts: experts.map(({ id, model }) => ({ id, model: place(model) })),
  };
}
