import { createHash, randomBytes } from "node:crypto";
import { connect as connectTcp, type Socket } from "node:net";
import { describe, expect, it, onTestFinished } from "vitest";
import { startTestServer, type TestServer } from "../support/server.js";
import { connect } from "../support/socket.js";

/** What the Autobahn suite does to a server, in small: wrong frames end their socket, and nothing else. */

const key = "dGhlIHNhbXBsZSBub25jZQ==";
const chat = { model: "both", messages: [{ role: "user", content: "hi" }] };

interface FrameParts {
  fin?: boolean;
  reserved?: number;
  opcode: number;
  payload?: Buffer | string;
  isMasked?: boolean;
  /** Instead of the payload's own. */
  length?: number | bigint;
}

function frame({
  fin = true,
  reserved = 0,
  opcode,
  payload = "",
  isMasked = true,
  length,
}: FrameParts): Buffer {
  const data = Buffer.from(payload);
  const size = length ?? data.length;
  const mask = isMasked ? 0x80 : 0;
  const first = (fin ? 0x80 : 0) | (reserved << 4) | opcode;
  let head: Buffer;
  if (typeof size === "bigint" || size > 65_535) {
    head = Buffer.alloc(10);
    head.writeBigUInt64BE(BigInt(size), 2);
    head[1] = mask | 127;
  } else if (size > 125) {
    head = Buffer.alloc(4);
    head.writeUInt16BE(size, 2);
    head[1] = mask | 126;
  } else head = Buffer.from([0, mask | size]);
  head[0] = first;
  if (!isMasked) return Buffer.concat([head, data]);
  const maskingKey = randomBytes(4);
  const body = Buffer.from(data.map((byte, index) => byte ^ (maskingKey[index % 4] ?? 0)));
  return Buffer.concat([head, maskingKey, body]);
}

interface RawClient {
  socket: Socket;
  /** Everything received so far, the answer to the upgrade included. */
  received(): Buffer;
  /** Resolves with the code of the server's close frame, or null where it just went. */
  closeCode(): Promise<number | null>;
}

async function open(server: TestServer): Promise<RawClient> {
  const { hostname, port } = new URL(server.url);
  const socket = connectTcp(Number(port), hostname);
  onTestFinished(() => void socket.destroy());
  const parts: Buffer[] = [];
  socket.on("data", (part) => parts.push(part));
  socket.on("error", () => undefined);
  const closed = new Promise<void>((resolve) => socket.once("close", () => resolve()));
  socket.write(
    `GET /v1/stream HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n` +
      `Sec-WebSocket-Key: ${key}\r\nSec-WebSocket-Version: 13\r\n\r\n`,
  );
  const received = () => Buffer.concat(parts);
  const created = () => received().includes("session.created");
  await expect.poll(() => created() || socket.closed).toBe(true);
  if (!created()) throw new Error(`refused: ${received().toString()}`);
  return {
    socket,
    received,
    closeCode: async () => {
      await closed;
      return lastCloseCode(received());
    },
  };
}

/** Walks the frames after the headers. */
function lastCloseCode(bytes: Buffer): number | null {
  let at = bytes.indexOf("\r\n\r\n") + 4;
  let code: number | null = null;
  while (at + 2 <= bytes.length) {
    const opcode = bytes[at]! & 0x0f;
    let length = bytes[at + 1]! & 0x7f;
    let start = at + 2;
    if (length === 126) {
      length = bytes.readUInt16BE(start);
      start += 2;
    }
    if (opcode === 8) code = length >= 2 ? bytes.readUInt16BE(start) : 1005;
    at = start + length;
  }
  return code;
}

const text = { opcode: 1 };
const create = JSON.stringify({ type: "response.create", response: chat });

const violations: [string, Buffer[], number][] = [
  ...[1, 2, 4, 7].map((reserved): [string, Buffer[], number] => [
    `reserved bits ${reserved}`,
    [frame({ ...text, reserved, payload: "{}" })],
    1002,
  ]),
  ...[3, 4, 5, 6, 7, 11, 12, 13, 14, 15].map((opcode): [string, Buffer[], number] => [
    `opcode ${opcode}`,
    [frame({ opcode, payload: "{}" })],
    1002,
  ]),
  ["a frame without mask", [frame({ ...text, payload: "{}", isMasked: false })], 1002],
  ["a binary frame", [frame({ opcode: 2, payload: "{}" })], 1003],
  ["a byte that is no UTF-8", [frame({ ...text, payload: Buffer.from([0x22, 0xff, 0x22]) })], 1007],
  ["an overlong encoding", [frame({ ...text, payload: Buffer.from([0xc0, 0x80]) })], 1007],
  ["a surrogate", [frame({ ...text, payload: Buffer.from([0xed, 0xa0, 0x80]) })], 1007],
  ["half a character at the end", [frame({ ...text, payload: Buffer.from([0xe2, 0x82]) })], 1007],
  [
    "no UTF-8 over two fragments",
    [
      frame({ ...text, fin: false, payload: Buffer.from([0xe2]) }),
      frame({ opcode: 0, payload: Buffer.from([0x28]) }),
    ],
    1007,
  ],
  ["a frame over the limit", [frame({ ...text, length: 1024 * 1024 + 1 })], 1009],
  ["a frame of 2^40 bytes", [frame({ ...text, length: 2n ** 40n })], 1009],
  ["a frame of 2^63 bytes", [frame({ ...text, length: 2n ** 63n })], 1009],
  [
    "a message over the limit in fragments",
    [
      frame({ ...text, fin: false, payload: Buffer.alloc(700_000, "x") }),
      frame({ opcode: 0, payload: Buffer.alloc(700_000, "x") }),
    ],
    1009,
  ],
  ["a continuation of nothing", [frame({ opcode: 0, payload: "x" })], 1002],
  [
    "a message inside another",
    [frame({ ...text, fin: false, payload: "a" }), frame({ ...text, payload: "b" })],
    1002,
  ],
  ["a fragmented ping", [frame({ opcode: 9, fin: false, payload: "x" })], 1002],
  ["a fragmented close", [frame({ opcode: 8, fin: false })], 1002],
  ["a ping of 126 bytes", [frame({ opcode: 9, payload: "x".repeat(126) })], 1002],
  ["a close of 126 bytes", [frame({ opcode: 8, payload: "x".repeat(126) })], 1002],
  ["a close of one byte", [frame({ opcode: 8, payload: "x" })], 1002],
  ...[0, 999, 1004, 1005, 1006, 1015, 1016, 2999, 5000, 65_535].map((code): [string, Buffer[], number] => {
    const payload = Buffer.alloc(2);
    payload.writeUInt16BE(code);
    return [`close code ${code}`, [frame({ opcode: 8, payload })], 1002];
  }),
  [
    "a close whose reason is no UTF-8",
    [frame({ opcode: 8, payload: Buffer.from([0x03, 0xe8, 0xff]) })],
    1007,
  ],
  ["a good close", [frame({ opcode: 8, payload: Buffer.from([0x03, 0xe8]) })], 1000],
  ["an empty close", [frame({ opcode: 8 })], 1005],
];

describe("frames that the protocol forbids", () => {
  it("close their socket with the right code; the others live", async () => {
    const server = await startTestServer({ socketCloseMs: 200 });
    const witness = await connect(server.url);
    const codes = await Promise.all(
      violations.map(async ([name, frames, expected]) => {
        const client = await open(server);
        for (const bytes of frames) client.socket.write(bytes);
        return [name, await client.closeCode(), expected] as const;
      }),
    );
    for (const [name, code, expected] of codes) expect(code, name).toBe(expected);
    witness.send(create);
    await witness.until("response.done");
    expect(server.engine.submitted).toHaveLength(1);
  });

  it("what follows a close is not read", async () => {
    const server = await startTestServer({ socketCloseMs: 200 });
    const client = await open(server);
    client.socket.write(Buffer.concat([frame({ opcode: 8 }), frame({ ...text, payload: create })]));
    expect(await client.closeCode()).toBe(1005);
    expect(server.engine.submitted).toEqual([]);
  });

  it("fragments, empty ones too, make a message; pings between them are answered", async () => {
    const server = await startTestServer();
    const client = await open(server);
    const bytes = Buffer.from(create);
    client.socket.write(frame({ ...text, fin: false }));
    for (const byte of bytes)
      client.socket.write(frame({ opcode: 0, fin: false, payload: Buffer.from([byte]) }));
    client.socket.write(frame({ opcode: 9, payload: "between" }));
    client.socket.write(frame({ opcode: 0 }));
    await expect.poll(() => client.received().includes("response.done")).toBe(true);
    expect(client.received().includes("between")).toBe(true);
  });

  it("bytes at random end in a close, and the server goes on", async () => {
    const server = await startTestServer({ socketCloseMs: 100 });
    const seed = randomBytes(4).toString("hex");
    const clients = await Promise.all(Array.from({ length: 50 }, () => open(server)));
    for (const [index, client] of clients.entries()) {
      const noise = Array.from({ length: 40 }, (_, part) =>
        createHash("sha256").update(`${seed} ${index} ${part}`).digest(),
      );
      client.socket.write(Buffer.concat(noise));
      client.socket.end();
    }
    for (const client of clients) await client.closeCode();
    const witness = await connect(server.url);
    witness.send(create);
    await witness.until("response.done");
  });
});

describe("peers that misbehave within the protocol", () => {
  it("a flood of pings by one who does not read is dropped, and holds nobody up", async () => {
    const server = await startTestServer({ socketHardMarkBytes: 100_000, socketCloseMs: 50 });
    const client = await open(server);
    client.socket.pause();
    const flood = Buffer.concat(
      Array.from({ length: 5000 }, () => frame({ opcode: 9, payload: "x".repeat(125) })),
    );
    const before = process.memoryUsage().rss;
    let numFloods = 0;
    let isWitnessed = false;
    // Pongs fill the buffers of both ends, then the server's own; the connection breaks under the client.
    while (!client.socket.destroyed) {
      if (client.socket.writableLength < flood.length) client.socket.write(flood);
      if (++numFloods === 5) {
        const witness = await connect(server.url);
        witness.send(create);
        await witness.until("response.done");
        isWitnessed = true;
      }
      await new Promise((resolve) => setTimeout(resolve, 5));
    }
    expect(isWitnessed).toBe(true);
    expect(process.memoryUsage().rss - before).toBeLessThan(150_000_000);
  });

  it("a socket that is half open is found out by a ping and forgotten", async () => {
    const server = await startTestServer({ socketPingMs: 50 });
    const clients = await Promise.all(Array.from({ length: 10 }, () => open(server)));
    // No answer to pings: what a peer that lost its network does.
    for (const client of clients) await client.closeCode();
  });

  it("no more sockets than there may be", async () => {
    const server = await startTestServer({ sockets: 2 });
    const [first] = [await connect(server.url), await connect(server.url)];
    const response = await fetch(`${server.url}/livez`);
    expect(response.status).toBe(200);
    await expect(open(server)).rejects.toThrow(/refused: HTTP\/1\.1 429/);
    first.socket.close();
    await first.closed();
    await connect(server.url);
  });

  it("upgrades that are none get an HTTP error", async () => {
    const server = await startTestServer();
    const send = (...headers: string[]) =>
      new Promise<string>((resolve) => {
        const { hostname, port } = new URL(server.url);
        const socket = connectTcp(Number(port), hostname);
        let answer = "";
        socket.on("data", (part) => (answer += part.toString()));
        socket.on("close", () => resolve(answer));
        const lines = [
          "GET /v1/stream HTTP/1.1",
          "Host: localhost",
          "Upgrade: websocket",
          "Connection: Upgrade",
        ];
        socket.write([...lines, ...headers, "", ""].join("\r\n"));
      });
    const version = "Sec-WebSocket-Version: 13";
    expect(await send(version)).toMatch(/^HTTP\/1.1 400/);
    expect(await send(version, "Sec-WebSocket-Key: short")).toMatch(/^HTTP\/1.1 400/);
    expect(await send(`Sec-WebSocket-Key: ${key}`, "Sec-WebSocket-Version: 12")).toMatch(/^HTTP\/1.1 4/);
    const protocol = "Sec-WebSocket-Protocol: a,,b";
    expect(await send(`Sec-WebSocket-Key: ${key}`, version, protocol)).toMatch(/^HTTP\/1.1 400/);
  });
});
