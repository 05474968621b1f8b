/** Colours of a terminal, or none. */
export interface Style {
  dim: (text: string) => string;
  /** Every expert has its own colour, in the order of the config. */
  expert: (index: number, text: string) => string;
}

const expertColours = [32, 33, 35, 36, 34, 31];

const sgr =
  (code: number | string) =>
  (text: string): string =>
    `\u001b[${code}m${text}\u001b[0m`;

const coloured: Style = {
  dim: sgr(2),
  expert: (index, text) => sgr(`1;${expertColours[index % expertColours.length] ?? 32}`)(text),
};

const plain: Style = { dim: String, expert: (_, text) => text };

/** Colours where the stream is a terminal and NO_COLOR (no-color.org) is not set. */
export function styleFor(
  stream: { isTTY?: boolean },
  environment: Record<string, string | undefined>,
): Style {
  return stream.isTTY === true && !environment.NO_COLOR && environment.TERM !== "dumb" ? coloured : plain;
}

export const plainStyle = plain;
