import { type Options, stringify } from "csv-stringify/sync";
import type { TokenRecord } from "./record.js";

type Cell = string | number | boolean | null | undefined;
type Column = readonly [name: string, read: (record: TokenRecord) => Cell];

/**
 * A trace as CSV (RFC 4180), one line a token. A column is named by its path in the token record: `position`,
 * `token.id`, `token.text`, `logprob`, `chosen`, `flipped`, `baseToken.*`, `objective`, `evaluations`,
 * `divergence.forward`, `divergence.reverse`, `timing.fuseMs`, `timing.sampleMs`; for each expert
 * `weights.<id>`, `divergence.targets.<id>.forward` and `.reverse`; of a mixture `shares.<id>` and `shares.base`;
 * for each model `timing.decodeMs.<role>`.
 * The top tens of a `full` trace are only in the JSON. A text that a spreadsheet would take for a formula (it begins with
 * `=`, `+`, `-`, `@`, their full-width forms, a tab or a carriage return) has a `'` before it.
 */
export class TraceCsv {
  readonly #weights = new Set<string>();
  readonly #shares = new Set<string>();
  readonly #models = new Set<string>();

  /** Learns the columns of a record; all are seen before the first line is written. */
  see({ weights, shares, timing }: TokenRecord): void {
    Object.keys(weights).forEach((id) => this.#weights.add(id));
    Object.keys(shares ?? {}).forEach((id) => this.#shares.add(id));
    Object.keys(timing.decodeMs).forEach((model) => this.#models.add(model));
  }

  head(): string {
    return toLine(this.#columns().map(([name]) => name));
  }

  line(record: TokenRecord): string {
    return toLine(this.#columns().map(([, read]) => read(record)));
  }

  #columns(): Column[] {
    return [
      ...fixedColumns,
      ...[...this.#weights].flatMap(expertColumns),
      ...[...this.#shares].map((id): Column => [`shares.${id}`, (record) => record.shares?.[id]]),
      ...[...this.#models].map((model): Column => [
        `timing.decodeMs.${model}`,
        (record) => record.timing.decodeMs[model],
      ]),
    ];
  }
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

const toLine = (cells: readonly Cell[]): string => stringify([[...cells]], options);

const options: Options = {
  record_delimiter: "windows",
  // Also a lone \n or \r within a text.
  quote_record_delimiter: true,
  // A spreadsheet would take such a text for a formula; what a number says is what it is.
  escape_formulas: true,
  cast: { boolean: String },
};
