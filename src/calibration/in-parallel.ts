/** Results in the order of the values, `concurrency` at a time. */
export async function inParallel<T, R>(
  values: readonly T[],
  concurrency: number,
  run: (value: T) => Promise<R>,
): Promise<R[]> {
  const results: R[] = [];
  const queue = values.entries();
  const work = async (): Promise<void> => {
    for (const [index, value] of queue) results[index] = await run(value);
  };
  await Promise.all(Array.from({ length: concurrency }, work));
  return results;
}
