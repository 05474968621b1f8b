import { styleText } from "node:util";

/** Colours of a terminal, or none. */
export interface Style {
  dim: (text: string) => string;
  /** Every expert has its own colour, in the order of the config. */
  expert: (index: number, text: string) => string;
}

const expertColours = ["green", "yellow", "magenta", "cyan", "blue", "red"] as const;

// Whether the stream shows colours is decided in `styleFor`.
const always = { validateStream: false };

const coloured: Style = {
  dim: (text) => styleText("dim", text, always),
  expert: (index, text) =>
    styleText(["bold", expertColours[index % expertColours.length] ?? "green"], text, always),
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
