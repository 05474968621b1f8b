import { createServer, type AddressInfo } from "node:net";
import { familyPath, makeFamily, vocabularySize } from "./family.js";
import type { PartResult } from "./report.js";
import { familyConfigFile, startPeer, startShoulders } from "./server-process.js";
import { median } from "./statistics.js";
import { tokensPerSecond } from "./throughput.js";

const threads = 1;
const sequences = 8;
const contextTokens = 512;
const load = { model: "base", promptLength: 64, numTokens: 64 };
const numRounds = 5;

/** The base alone through our HTTP stream and through llama-server's: the same file, threads and prompts. */
export async function benchPeer(program: string, clientCounts: readonly (1 | 8)[]): Promise<PartResult> {
  makeFamily();
  const context = { tokens: contextTokens, sequences };
  await using ours = await startShoulders(
    [familyConfigFile("base", [], context)],
    ["--threads", String(threads)],
  );
  await using theirs = await startPeer(program, {
    file: familyPath("base"),
    threads,
    sequences,
    contextTokens,
    port: await freePort(),
  });
  const result: PartResult = { values: {}, tables: [] };
  for (const clients of clientCounts) {
    const rates = { ours: [] as number[], theirs: [] as number[] };
    for (const { url } of [ours, theirs]) await tokensPerSecond(url, { ...load, clients, numTokens: 8 });
    for (let round = 0; round < numRounds; round++) {
      // The one that goes first changes, so that neither has the machine's quieter moments.
      const order = round % 2 === 0 ? (["ours", "theirs"] as const) : (["theirs", "ours"] as const);
      for (const name of order) {
        const { url } = name === "ours" ? ours : theirs;
        rates[name].push(await tokensPerSecond(url, { ...load, clients }));
      }
    }
    const ratio = median(rates.ours.map((rate, round) => rate / rates.theirs[round]!));
    result.values[`peer_${clients}`] = ratio;
    result.tables.push({
      title: `The base alone over HTTP, ${clients} client${clients > 1 ? "s" : ""}, tokens a second`,
      workload:
        `bench family's base, V = ${vocabularySize}, float16, ${threads} thread, streamed legacy completions, ` +
        `${load.numTokens} greedy tokens after prompts of ${load.promptLength} token ids, ${numRounds} rounds in turns; ` +
        "median",
      head: ["server", "tokens a second"],
      rows: [
        ["Shoulders", median(rates.ours)],
        ["llama-server", median(rates.theirs)],
        ["ratio", ratio],
      ],
    });
  }
  return result;
}

function freePort(): Promise<number> {
  return new Promise((resolve) => {
    const probe = createServer().listen(0, "127.0.0.1", () => {
      const { port } = probe.address() as AddressInfo;
      probe.close(() => resolve(port));
    });
  });
}
