import type { TokenRecord } from "./record.js";

type Cell = string | number | boolean | null | undefined;
type Column = readonly [name: string, read: (record: TokenRecord) => Cell];

/**
 * A trace as CSV (RFC 4180), one line a token. A column is named by its path in the token record: `position`,
 * `token.id`, `token.text`, `logprob`, `chosen`, `flipped`, `baseToken.*`, `objective`, `evaluations`,
 * `divergence.forward`, `divergence.reverse`, `timing.fuseMs`, `timing.sampleMs`; for each expert
 * `weights.<id>`, `divergence.targets.<id>.forward` and `.reverse`; of a mixture `shares.<id>` and `shares.base`;
 * for each model `timing.decodeMs.<role>`.
 * The top tens of a `full` trace are only in the JSON.
 */
export function traceToCsv(tokens: readonly TokenRecord[]): string {
  const columns: Column[] = [
    ...fixedColumns,
    ...keysOf(tokens, (record) => record.weights).flatMap(expertColumns),
    ...keysOf(tokens, (record) => record.shares ?? {}).map((id): Column => [
      `shares.${id}`,
      (record) => record.shares?.[id],
    ]),
    ...keysOf(tokens, (record) => record.timing.decodeMs).map((model): Column => [
      `timing.decodeMs.${model}`,
      (record) => record.timing.decodeMs[model],
    ]),
  ];
  const lines = tokens.map((record) => columns.map(([, read]) => quote(read(record))).join(","));
  return [columns.map(([name]) => quote(name)).join(","), ...lines].join("\r\n") + "\r\n";
}

const fixedColumns: Column[] = [
  ["position", (record) => record.position],
  ["token.id", (record) => record.token.id],
  ["token.text", (record) => record.token.text],
  ["logprob", (record) => record.logprob],
  ["chosen", (record) => record.chosen],
  ["flipped", (record) => record.flipped],
  ["baseToken.id", (record) => record.baseToken.id],
  ["baseToken.text", (record) => record.baseToken.text],
  ["baseToken.logprob", (record) => record.baseToken.logprob],
  ["objective", (record) => record.objective],
  ["evaluations", (record) => record.evaluations],
  ["divergence.forward", (record) => record.divergence.forward],
  ["divergence.reverse", (record) => record.divergence.reverse],
  ["timing.fuseMs", (record) => record.timing.fuseMs],
  ["timing.sampleMs", (record) => record.timing.sampleMs],
];

function expertColumns(id: string): Column[] {
  return [
    [`weights.${id}`, (record) => record.weights[id]],
    [`divergence.targets.${id}.forward`, (record) => record.divergence.targets[id]?.forward],
    [`divergence.targets.${id}.reverse`, (record) => record.divergence.targets[id]?.reverse],
  ];
}

function keysOf(tokens: readonly TokenRecord[], read: (record: TokenRecord) => object): string[] {
  return [...new Set(tokens.flatMap((record) => Object.keys(read(record))))];
}

function quote(cell: Cell): string {
  const text = String(cell ?? "");
  return /[",\r\n]/.test(text) ? `"${text.replaceAll('"', '""')}"` : text;
}
