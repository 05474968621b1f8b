import { once } from "node:events";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import WebSocket from "ws";
import { hashOf } from "../../../src/config/api-keys.js";
import { ShouldersError } from "../../../src/errors.js";
import type { RowEntries } from "../../../src/rows/partial-row.js";
import { ShouldersServer } from "../../../src/rows/shoulders.js";
import type { SequenceRows } from "../../../src/rows/types.js";
import { readRows, rowsPath, writeRows } from "../../../src/rows/wire.js";
import { type RunningRowServer, startRowServer } from "../../../src/row-server/server.js";
import { dream, FakeContext, fakeModel } from "../../support/fake-models.js";
import { silentLogger } from "../../support/silent-logger.js";

const law = dream(3);
const key = "a-key-of-16-chars-or-more";
let context: FakeContext;
let running: RunningRowServer;
const clients: ShouldersServer[] = [];

async function start(port = 0): Promise<void> {
  context = new FakeContext(law, 200, 16);
  running = await startRowServer({
    ...{ model: fakeModel("giant"), modelName: "giant", context, numSequences: 6, maxRows: 8 },
    ...{ contextTokens: 64, host: "127.0.0.1", port, log: silentLogger },
    access: { keys: [{ name: "one", sha256: hashOf(key) }] },
  });
}

function connect(options: Partial<ConstructorParameters<typeof ShouldersServer>[0]> = {}): ShouldersServer {
  const client = new ShouldersServer({
    ...{ name: "rows", url: `http://127.0.0.1:${running.address.port}`, apiKey: key, timeoutMs: 3_000 },
    ...{ model: "giant", sequences: 3, cells: 100, vocabularySize: 257 },
    ...options,
  });
  clients.push(client);
  return client;
}

beforeEach(() => start());
afterEach(async () => {
  for (const client of clients.splice(0)) await client[Symbol.asyncDispose]();
  await running.close();
});

const all = (sequenceId: number, tokens: number[], from: number): SequenceRows => ({
  ...{ sequenceId, tokens },
  rows: tokens.flatMap((_, at) => (at < from ? [] : [{ position: at, wish: { top: "all", ids: [] } }])),
});

describe("a row server", () => {
  it("gives whole rows, also of several tokens at once, and keeps what it was told", async () => {
    const client = connect();
    const tokens = [1, 2, 3, 4];
    const [first] = await client.fetch([all(0, tokens, 2)]);
    expect(first).toEqual([law([1, 2, 3]), law(tokens)]);
    const [next] = await client.fetch([all(0, [...tokens, 5], 4)]);
    expect(next).toEqual([law([...tokens, 5])]);
    expect(context.batchSizes).toEqual([4, 1]);
  });

  it("gives the best entries, those that are asked for, and the sum of all", async () => {
    const client = connect();
    const wish = { top: 2, ids: [7, 200] };
    const [reply] = await client.fetch([{ sequenceId: 1, tokens: [9], rows: [{ position: 0, wish }] }]);
    const [{ known, cap, logSum }] = reply as [RowEntries];
    const row = law([9]);
    const order = [...row.keys()].sort((a, b) => row[b]! - row[a]!);
    expect(new Set(known.keys())).toEqual(new Set([order[0], order[1], 7, 200]));
    for (const [token, logit] of known) expect(logit).toBe(row[token]);
    expect(cap).toBe(row[order[1]!]);
    expect(logSum).toBeCloseTo(Math.log(row.reduce((sum, logit) => sum + Math.exp(logit), 0)), 5);
  });

  it("cuts back, and lets a sequence begin as another does", async () => {
    const client = connect();
    await client.fetch([all(0, [1, 2, 3], 2)]);
    client.cut(0, 2);
    client.copyPrefix(0, 1, 2);
    const replies = await client.fetch([all(0, [1, 2, 8], 2), all(1, [1, 2, 9], 2)]);
    expect(replies).toEqual([[law([1, 2, 8])], [law([1, 2, 9])]]);
    expect(context.batchSizes).toEqual([3, 2]);
  });

  it("reads a long prompt in parts, and decodes what several engines want together", async () => {
    const [one, other] = [connect(), connect()];
    const long = Array.from({ length: 40 }, (_, index) => index);
    const [[first], [second]] = await Promise.all([
      one.fetch([all(0, long, 39)]),
      other.fetch([all(0, [5, 6], 1)]),
    ]);
    expect(first).toEqual([law(long)]);
    expect(second).toEqual([law([5, 6])]);
    expect(Math.max(...context.batchSizes)).toBeLessThanOrEqual(16);
  });

  it("gives nobody more than is free, and gives it back when an engine leaves", async () => {
    const [one, other] = [connect({ sequences: 4 }), connect({ sequences: 4, timeoutMs: 500 })];
    await one.fetch([all(0, [1, 2], 1)]);
    const [refused] = await other.fetch([all(0, [1], 0)]);
    expect((refused as ShouldersError).message).toMatch(/4 sequences of 100 tokens .* 2 sequences/);
    await one[Symbol.asyncDispose]();
    const late = connect({ sequences: 6 });
    await expect.poll(async () => (await late.fetch([all(0, [1], 0)]))[0]).toEqual([law([1])]);
    expect([...context.cells.values()]).toEqual([[1]]);
  });

  it("tells all anew over a new connection", async () => {
    const client = connect();
    await client.fetch([all(0, [1, 2, 3], 2)]);
    const { port } = running.address;
    await running.close();
    await start(port);
    expect(await client.fetch([all(0, [1, 2, 3, 4], 3)])).toEqual([[law([1, 2, 3, 4])]]);
    expect(context.batchSizes).toEqual([4]);
  });

  it("ends the sequence that could not be decoded, and goes on", async () => {
    const client = connect();
    context.failNext = new ShouldersError("decode_failed", "the device is gone");
    const [failed] = await client.fetch([all(0, [1, 2], 1)]);
    expect((failed as ShouldersError).code).toBe("base_unavailable");
    expect((failed as ShouldersError).message).toMatch(/the device is gone/);
    expect(await client.fetch([all(0, [1, 2], 1)])).toEqual([[law([1, 2])]]);
  });

  it("asks for a key, and says so", async () => {
    const stranger = connect({ apiKey: null });
    const [reply] = await stranger.fetch([all(0, [1], 0)]);
    expect((reply as ShouldersError).message).toMatch(/refuses the connection with 401/);
  });

  it("proves what it serves", async () => {
    const small = { sequences: 1, cells: 10 };
    await connect(small).prove(64);
    await expect(connect(small).prove(65)).rejects.toThrow(/takes 64 tokens, and context.tokens is 65/);
    await expect(connect({ ...small, model: "dwarf" }).prove(64)).rejects.toThrow(/serves giant/);
    await expect(connect({ ...small, vocabularySize: 300 }).prove(64)).rejects.toThrow(/has 257 tokens/);
    expect(await connect(small).tokenize("ab")).toEqual([97, 98]);
  });

  it("refuses what is no request, and does nothing of it", async () => {
    const socket = new WebSocket(`ws://127.0.0.1:${running.address.port}${rowsPath}`, {
      headers: { Authorization: `Bearer ${key}` },
    });
    const frames: string[] = [];
    socket.on("message", (data) => frames.push((data as Buffer).toString("utf8")));
    await once(socket, "open");
    const step = { type: "step", id: 1, before: [] };
    const sent = [
      "{",
      JSON.stringify({ type: "nothing" }),
      JSON.stringify({ ...step, append: [{ sequence: 0, from: 0, tokens: [1], rows: [] }] }),
      JSON.stringify({ type: "open", sequences: 2, cells: 10 }),
      JSON.stringify({ ...step, append: [{ sequence: 0, from: 3, tokens: [1], rows: [] }] }),
      JSON.stringify({ ...step, append: [{ sequence: 0, from: 0, tokens: [999], rows: [] }] }),
      JSON.stringify({ ...step, append: [{ sequence: 5, from: 0, tokens: [1], rows: [] }] }),
      JSON.stringify({ ...step, append: [{ sequence: 0, from: 0, tokens: Array(11).fill(1), rows: [] }] }),
      JSON.stringify({ ...step, append: [{ sequence: 0, from: 0, tokens: [1], rows: [{ at: 1, top: 1 }] }] }),
      JSON.stringify({ ...step, before: [{ copy: 0, to: 1, length: 4 }], append: [] }),
    ];
    for (const text of sent) socket.send(text);
    await expect.poll(() => frames.length).toBe(sent.length + 1);
    const kinds = frames.map((text) => (JSON.parse(text) as { type: string }).type);
    expect(kinds).toEqual([
      ...["session.created", "error", "error", "error", "opened"],
      ...Array<string>(6).fill("error"),
    ]);
    expect(context.batchSizes).toEqual([]);
    socket.terminate();
  });
});

it("frames of rows come out as they went in, and garbled ones are told", () => {
  const rows = [Float32Array.of(1.5, -2, 3), { known: new Map([[4, -0.25]]), cap: -1, logSum: 0.125 }];
  const failed = new ShouldersError("decode_failed", "no");
  const frame = writeRows({ id: 9, sequences: [rows, failed, []] });
  // A frame may begin anywhere in a larger buffer.
  const shifted = Buffer.concat([Buffer.alloc(1), frame]).subarray(1);
  const read = readRows(shifted);
  expect(read.id).toBe(9);
  expect(read.sequences[0]).toEqual(rows);
  expect(read.sequences[1]).toBeInstanceOf(ShouldersError);
  expect(read.sequences[2]).toEqual([]);
  for (const cut of [0, 3, 10, frame.length - 4])
    expect(() => readRows(frame.subarray(0, cut)), `${cut}`).toThrow(/no frame of rows/);
});
