import { automatonOf, uncounted, type Automaton } from "../regular/automaton.js";
import { readRegex } from "../regular/regex-reader.js";

/**
 * Formats of texts that are held to, each by a regular expression for a part of what the format allows: what is written
 * is always of the format.
 */

const days = "(0[1-9]|1\\d|2[0-8])";
const date = `\\d{4}-((0[13578]|1[02])-(0[1-9]|[12]\\d|3[01])|(0[469]|11)-(0[1-9]|[12]\\d|30)|02-${days})`;
const hour = "([01]\\d|2[0-3])";
const time = `${hour}:[0-5]\\d:[0-5]\\d(\\.\\d{1,9})?(Z|[+-]${hour}:[0-5]\\d)`;
const label = "[a-z0-9]([a-z0-9-]{0,30}[a-z0-9])?";
const byte = "(25[0-5]|2[0-4]\\d|1\\d\\d|[1-9]?\\d)";
const hextet = "[0-9a-f]{1,4}";
const host = `${label}(\\.${label}){0,3}`;
const count = "(0|[1-9]\\d{0,8})";

const expressions: Record<string, string> = {
  date,
  time,
  "date-time": `${date}T${time}`,
  duration: `P(${count}W|${count}Y(${count}M(${count}D)?)?|${count}M(${count}D)?|${count}D|(${count}D)?T(${count}H(${count}M(${count}S)?)?|${count}M(${count}S)?|${count}S))`,
  email: `[A-Za-z0-9_+-]{1,32}(\\.[A-Za-z0-9_+-]{1,32})?@${label}(\\.${label}){1,3}`,
  hostname: host,
  ipv4: `${byte}(\\.${byte}){3}`,
  ipv6: `(${hextet}(:${hextet}){7}|::(${hextet}(:${hextet}){0,5})?|${hextet}::${hextet}(:${hextet}){0,4})`,
  uuid: "[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}",
  uri: `https?://${host}(:[1-9]\\d{0,3})?(/[A-Za-z0-9._~-]*)*(\\?[A-Za-z0-9._~=&-]*)?(#[A-Za-z0-9._~-]*)?`,
};

const made = new Map<string, Automaton>();

/** Automata by the format's name, made when they are asked for. */
export const formats: ReadonlyMap<string, () => Automaton> = new Map(
  Object.entries(expressions).map(([name, expression]) => [
    name,
    () => {
      const known = made.get(name) ?? automatonOf(readRegex(expression), uncounted);
      made.set(name, known);
      return known;
    },
  ]),
);
