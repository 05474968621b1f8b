import { BareModels, openCpuLibrary } from "./bare.js";
import { makeFamily, vocabularySize } from "./family.js";
import type { PartResult } from "./report.js";
import { median } from "./statistics.js";

const sizes = [1, 2, 4, 8];
const threadCounts = [1, 2];
const numSteps = 12;

/** What batches of one token a sequence take libllama alone: no server can scale better than this. */
export async function benchBatch(): Promise<PartResult> {
  makeFamily();
  await using library = await openCpuLibrary();
  const rows: (string | number)[][] = [];
  for (const threads of threadCounts) {
    let single = NaN;
    for (const numSequences of sizes) {
      await using bare = await BareModels.open(library, {
        names: ["base"],
        numSequences,
        threadsOf: () => ({ single: threads, batch: threads }),
      });
      await bare.prefill(4);
      const walls: number[] = [];
      const busy: number[] = [];
      for (let step = 0; step < numSteps; step++) {
        const before = process.cpuUsage();
        walls.push(...(await bare.step()));
        const { user, system } = process.cpuUsage(before);
        busy.push((user + system) / 1000);
      }
      const wall = median(walls);
      if (numSequences === 1) single = wall;
      rows.push([threads, numSequences, wall, median(busy), (numSequences * single) / wall]);
    }
  }
  return {
    values: {},
    tables: [
      {
        title: "Bare decodes of the base by batch size, ms",
        workload: `bench family's base, float16, V = ${vocabularySize}, one token and one row a sequence, ${numSteps} decodes; medians`,
        head: ["threads", "sequences", "wall", "processor time", "tokens a second ÷ one sequence's"],
        rows,
      },
    ],
  };
}
