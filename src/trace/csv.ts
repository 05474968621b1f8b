import { type Options, stringify } from "csv-stringify/sync";
import type { TokenRecord } from "../wire/token-record.js";

type Cell = string | number | boolean | null | undefined;
type Column = readonly [name: string, read: (record: TokenRecord) => Cell];

/**
 * A trace as CSV (RFC 4180), one line a token. A column is named by its path in the token record: `position`,
 * `token.id`, `token.text`, `logprob`, `nats`, `log_ratio`, `decided_by`, `chosen`, `flipped`, `vouch`, `contested.*`,
 * `unread` (the share of another vocabulary's rows that counts for no token of its own), `base_token.*`,
 * `objective`, `evaluations`, `divergence.forward`, `divergence.reverse`, `timing.fuse_ms`, `timing.sample_ms`; for
 * each expert `weights.<id>`, `divergence.targets.<id>.forward` and `.reverse`; of a mixture `shares.<id>` and
 * `shares.base`; for each model `timing.decode_ms.<role>`.
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
    Object.keys(timing?.decode_ms ?? {}).forEach((model) => this.#models.add(model));
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
        `timing.decode_ms.${model}`,
        (record) => record.timing?.decode_ms[model],
      ]),
    ];
  }
}

const fixedColumns: Column[] = [
  ["position", (record) => record.position],
  ["token.id", (record) => record.token.id],
  ["token.text", (record) => record.token.text],
  ["logprob", (record) => record.logprob],
  ["nats", (record) => record.nats],
  ["log_ratio", (record) => record.log_ratio],
  ["decided_by", (record) => record.decided_by],
  ["chosen", (record) => record.chosen],
  ["flipped", (record) => record.flipped],
  ["vouch", (record) => record.vouch],
  ["contested.by", (record) => record.contested?.by],
  ["contested.token.text", (record) => record.contested?.token.text],
  ["contested.against", (record) => record.contested?.against],
  ["unread", (record) => record.unread],
  ["base_token.id", (record) => record.base_token?.id],
  ["base_token.text", (record) => record.base_token?.text],
  ["base_token.logprob", (record) => record.base_token?.logprob],
  ["objective", (record) => record.objective],
  ["evaluations", (record) => record.evaluations],
  ["divergence.forward", (record) => record.divergence.forward],
  ["divergence.reverse", (record) => record.divergence.reverse],
  ["timing.fuse_ms", (record) => record.timing?.fuse_ms],
  ["timing.sample_ms", (record) => record.timing?.sample_ms],
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
