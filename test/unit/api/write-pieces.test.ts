import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import type { Response } from "express";
import { expect, it, onTestFinished } from "vitest";
import { Turns } from "../../../src/api/access/turns.js";
import { writePieces } from "../../../src/api/sse-writer.js";

/** More than a response holds before it says that it is full. */
const piece = "x".repeat(64 * 1024);

function* pieces(num: number): Generator<string, void> {
  for (let index = 0; index < num; index++) yield piece;
}

it("goes on where a reader takes a piece before the next turn of a busy server", async () => {
  const turns = new Turns();
  const work = () => {
    const until = performance.now() + 6;
    while (performance.now() < until);
  };
  const server = createServer((_request, response) => {
    const busy = setInterval(() => turns.take("other", work));
    response.once("close", () => clearInterval(busy));
    const settings = { turns, party: "reader", drainTimeoutMs: 2_000 };
    void writePieces(response as Response, pieces(40), settings);
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  onTestFinished(() => void server.close());
  const { port } = server.address() as AddressInfo;
  const text = await (await fetch(`http://127.0.0.1:${port}`)).text();
  expect(text.length).toBe(40 * piece.length);
});
