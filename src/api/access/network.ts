import { isIPv6 } from "node:net";

/** An IPv4 address as a socket of both kinds tells it. */
const mapped = /^::ffff:(?=\d+\.\d+\.\d+\.\d+$)/i;

/** What one client can be expected to have one of: an IPv4 address, or the network (/64) of an IPv6 address. */
export function networkOf(address: string): string {
  const plain = address.replace(mapped, "");
  if (!isIPv6(plain)) return plain;
  const [head = "", tail] = (plain.split("%")[0] ?? "").split("::");
  const first = head === "" ? [] : head.split(":");
  const last = tail === undefined || tail === "" ? [] : tail.split(":");
  const groups = [...first, ...Array<string>(8 - first.length - last.length).fill("0"), ...last];
  return `${groups
    .slice(0, 4)
    .map((group) => parseInt(group, 16).toString(16))
    .join(":")}::/64`;
}
