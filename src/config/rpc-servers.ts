import { z } from "zod";

/** Machines that hold layers of a base, through llama.cpp's RPC. */

/** libllama finds the port behind the first colon, and knows IPv4 only. */
const endpointPattern = /^[A-Za-z0-9](?:[A-Za-z0-9.-]*[A-Za-z0-9])?:(\d{1,5})$/;

const endpointSchema = z
  .string()
  .check(({ value, issues }) => {
    const port = Number(endpointPattern.exec(value)?.[1]);
    if (!(port >= 1 && port <= 65_535))
      issues.push({
        code: "custom",
        input: value,
        message: "expected host:port, as 127.0.0.1:50052; the host by its name or IPv4 address",
      });
  })
  // One server under two names would be connected twice, and serves one.
  .transform((endpoint) => endpoint.toLowerCase().replace(/^localhost:/, "127.0.0.1:"));

export const rpcSchema = z
  .strictObject({
    servers: z
      .array(endpointSchema)
      .min(1)
      .max(16)
      .describe('Where `shoulders rpc serve` or llama.cpp\'s rpc-server listens: ["127.0.0.1:50052"].'),
    split: z
      .array(z.number().min(0).max(1e6))
      .min(1)
      .max(32)
      .optional()
      .describe(
        "Each server's share of the layers, in their order, then those of this machine's GPUs. Default: by free memory.",
      ),
    keepOutputLocal: z
      .boolean()
      .default(true)
      .describe(
        "The output matrix stays on this machine, so that a token's hidden state comes back, and not a whole row.",
      ),
    allowNetwork: z
      .boolean()
      .default(false)
      .describe(
        "Servers may have other addresses than this machine's own. RPC has neither keys nor encryption, and whoever " +
          "reaches a server can run code on it: use a tunnel instead.",
      ),
  })
  .check(({ value, issues }) => {
    const { servers, allowNetwork } = value;
    const problem = (index: number, message: string) =>
      issues.push({ code: "custom", input: value, path: ["servers", index], message });
    servers.forEach((server, index) => {
      if (servers.indexOf(server) !== index) problem(index, `${server} is named twice`);
      if (!allowNetwork && !/^127\.\d+\.\d+\.\d+:/.test(server))
        problem(
          index,
          `${server} is on the network, and RPC has neither keys nor encryption: bring it to 127.0.0.1 by a ` +
            `tunnel (ssh -L, WireGuard), or set rpc.allowNetwork where nobody else can reach it`,
        );
    });
  })
  .describe("Servers that hold the base's layers in their memory.");

type RpcServers = z.output<typeof rpcSchema>;

/** The RPC servers of configs, each once. */
export function serversOf(
  configs: readonly { config: { base: { rpc?: RpcServers | undefined } } }[],
): string[] {
  return [...new Set(configs.flatMap(({ config }) => config.base.rpc?.servers ?? []))];
}
