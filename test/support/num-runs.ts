/** How many cases a property is tried with: as many as the test says, or FC_NUM_RUNS, to look longer. */
export function numRuns(usual: number): number {
  return Number(process.env["FC_NUM_RUNS"] ?? usual);
}
