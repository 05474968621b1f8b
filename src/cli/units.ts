const steps = (value: number, base: number, units: readonly string[]): string => {
  let scaled = value;
  let unit = 0;
  while (scaled >= base && unit < units.length - 1) {
    scaled /= base;
    unit++;
  }
  const digits = unit === 0 || scaled >= 100 ? 0 : scaled >= 10 ? 1 : 2;
  return `${scaled.toFixed(digits)}${units[unit] ?? ""}`;
};

/** `4.63 MiB` */
export function formatBytes(bytes: number): string {
  return steps(bytes, 1024, [" B", " KiB", " MiB", " GiB", " TiB"]);
}

/** `a few seconds`, `40 seconds`, `3 minutes`, `2.5 hours` */
export function formatDuration(seconds: number): string {
  if (seconds < 5) return "a few seconds";
  if (seconds < 90) return `${Math.round(seconds)} seconds`;
  if (seconds < 5400) return `${Math.round(seconds / 60)} minutes`;
  return `${(seconds / 3600).toFixed(1)} hours`;
}

/** `2.40 M`, `32.8 B` */
export function formatCount(count: number): string {
  return steps(count, 1000, ["", " K", " M", " B", " T"]);
}
