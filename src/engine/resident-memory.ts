const maxAgeMs = 1_000;

let reading = { bytes: 0, atMs: -Infinity };

/** Resident memory of this process; read anew at most once a second, as it goes with every step's message. */
export function residentBytes(): number {
  const now = performance.now();
  if (now - reading.atMs > maxAgeMs) reading = { bytes: process.memoryUsage.rss(), atMs: now };
  return reading.bytes;
}
