import { once } from "node:events";
import { createServer as createHttpServer } from "node:http";
import { createServer, type Server, type Socket } from "node:net";
import { afterEach, expect, it } from "vitest";
import { greet, rpcVersion } from "../../../src/rpc/hello.js";

const servers: Server[] = [];
afterEach(() => {
  for (const server of servers.splice(0)) server.close();
});

async function listen(server: Server): Promise<string> {
  servers.push(server);
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  return `127.0.0.1:${(server.address() as { port: number }).port}`;
}

/** @param answer to a hello with so many bytes about its sender; null: it hangs up. */
const fake = (answer: (numBytes: number) => number[] | null) =>
  listen(
    createServer((socket: Socket) => {
      socket.on("error", () => undefined);
      socket.once("data", (data) => {
        const body = answer(Number(data.readBigUInt64LE(1)));
        if (data[0] !== 14 || body === null) return socket.destroy();
        const size = Buffer.alloc(8);
        size.writeBigUInt64LE(BigInt(body.length));
        return socket.write(Buffer.concat([size, Buffer.from(body)]));
      });
    }),
  );

const newest = (major: number, minor: number) => [major, minor, 0, 0, ...new Array<number>(24).fill(0)];

it("takes a server of its own version", async () => {
  const { major, minor } = rpcVersion;
  await greet(await fake((numBytes) => (numBytes === 24 ? newest(major, minor) : null)));
});

it("refuses another version, older or newer", async () => {
  const older = await fake((numBytes) => (numBytes === 0 ? [3, 6, 0] : null));
  await expect(greet(older)).rejects.toMatchObject({
    code: "rpc_version",
    message: expect.stringContaining("version 3.6") as string,
  });
  for (const version of [newest(rpcVersion.major + 1, 0), newest(rpcVersion.major, rpcVersion.minor + 1)])
    await expect(greet(await fake(() => version))).rejects.toMatchObject({ code: "rpc_version" });
});

it("refuses one that says nothing: it has another client, or hangs", async () => {
  const silent = await listen(createServer((socket) => socket.on("error", () => undefined)));
  await expect(greet(silent, 100)).rejects.toMatchObject({
    code: "rpc_busy",
    message: expect.stringContaining(silent) as string,
  });
});

it("refuses what is no RPC server", async () => {
  const http = await listen(createHttpServer((_request, response) => response.end("hello")));
  const hangingUp = await fake(() => null);
  for (const endpoint of [http, hangingUp])
    await expect(greet(endpoint)).rejects.toMatchObject({ code: "rpc_not_a_server" });
});

it("says when nobody listens, and of a name that is none", async () => {
  const listener = createServer();
  const endpoint = await listen(listener);
  listener.close();
  await once(listener, "close");
  for (const nowhere of [endpoint, "no-such-host.invalid:50052"])
    await expect(greet(nowhere)).rejects.toMatchObject({
      code: "rpc_unreachable",
      message: expect.stringContaining(nowhere) as string,
    });
});
