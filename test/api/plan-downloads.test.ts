import { createServer, type IncomingMessage, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";
import { once } from "node:events";
import { totalmem } from "node:os";
import path from "node:path";
import { readdirSync, writeFileSync } from "node:fs";
import { afterAll, beforeAll, beforeEach, describe, expect, it } from "vitest";
import { layHeaders } from "../../src/llama/remote-header.js";
import { checkModelFile } from "../../src/llama/gguf-file.js";
import { run } from "../support/command-line.js";
import { encodeHeader, type GgufContent, randomLlama } from "../support/gguf-writer.js";
import { root } from "../support/real-engine.js";
import { temporaryDirectory, type TemporaryDirectory } from "../support/temporary-directory.js";

/** Models that a hub has and this machine does not: planned by their headers before a byte of weights comes. */

/** About 90 GB of float16, of which nothing but the header exists. */
const huge = randomLlama({
  vocabularySize: 150_000,
  embedding: 8192,
  layers: 44,
  heads: 64,
  feedForward: 28_672,
  contextTrain: 8192,
});

const bytesOf = ({ tensors }: GgufContent): number =>
  tensors.reduce(
    (sum, { shape, type }) =>
      sum + shape.reduce((product, length) => product * length, 1) * (type === "f16" ? 2 : 4),
    0,
  );

interface Hollow {
  header: Buffer;
  bytes: number;
}
const hollow = (content: GgufContent): Hollow => {
  const header = encodeHeader(content);
  return { header, bytes: header.length + bytesOf(content) };
};

const half = Math.floor(huge.tensors.length / 2);
const part = (number: number, tensors: GgufContent["tensors"]): Hollow =>
  hollow({
    ...huge,
    tensors,
    metadata: new Map([
      ...(number === 0 ? huge.metadata : []),
      ["split.no", { type: "uint16", value: number }],
      ["split.count", { type: "uint16", value: 2 }],
      ["split.tensors.count", { type: "int32", value: huge.tensors.length }],
    ]),
  });

/** As large as Qwen2.5's, in float16. */
const qwen = (embedding: number, layers: number, heads: number, feedForward: number): Hollow =>
  hollow(
    randomLlama({ vocabularySize: 151_936, embedding, layers, heads, feedForward, contextTrain: 32_768 }),
  );

/** Repository and tag of what `deploy/fusion-configs` names, and the file that the tag stands for. */
const named: [tag: string, file: string, content: Hollow][] = [
  ["Qwen2.5-32B-Instruct-GGUF/Q4_K_M", "qwen2.5-32b-instruct-q4_k_m.gguf", qwen(5120, 64, 40, 27_648)],
  ["Qwen2.5-1.5B-Instruct-GGUF/Q8_0", "qwen2.5-1.5b-instruct-q8_0.gguf", qwen(1536, 28, 12, 8960)],
  [
    "Qwen2.5-Coder-1.5B-Instruct-GGUF/Q8_0",
    "qwen2.5-coder-1.5b-instruct-q8_0.gguf",
    qwen(1536, 28, 12, 8960),
  ],
];

const files: Record<string, Hollow> = {
  ...Object.fromEntries(
    named.map(([tag, file, content]) => [`/Qwen/${tag.split("/")[0]}/resolve/main/${file}`, content]),
  ),
  "/some/Huge-GGUF/resolve/main/huge.gguf": hollow(huge),
  "/some/Huge-GGUF/resolve/main/parts/huge-Q4_K_M-00001-of-00002.gguf": part(0, huge.tensors.slice(0, half)),
  "/some/Huge-GGUF/resolve/main/parts/huge-Q4_K_M-00002-of-00002.gguf": part(1, huge.tensors.slice(half)),
};

let knowsRanges = true;
let numSent = 0;

/** A hub: manifests by tag, files by range. */
function answer(request: IncomingMessage, response: ServerResponse): void {
  const requested = decodeURIComponent(new URL(request.url ?? "", "http://hub").pathname);
  if (requested === "/v2/some/Huge-GGUF/manifests/Q4_K_M")
    return void response.end(
      JSON.stringify({ ggufFile: { rfilename: "parts/huge-Q4_K_M-00001-of-00002.gguf" } }),
    );
  for (const [tag, rfilename] of named)
    if (requested === `/v2/Qwen/${tag.replace("/", "/manifests/")}`)
      return void response.end(JSON.stringify({ ggufFile: { rfilename } }));
  const file = files[requested];
  if (!file) return void response.writeHead(404).end();
  const [, from, to] = (knowsRanges && /^bytes=(\d+)-(\d+)$/.exec(request.headers.range ?? "")) || [];
  const start = Number(from ?? 0);
  const end = Math.min(to === undefined ? file.bytes : Number(to) + 1, file.bytes);
  if (from === undefined) response.writeHead(200, { "Content-Length": file.bytes });
  else
    response.writeHead(206, {
      "Content-Range": `bytes ${start}-${end - 1}/${file.bytes}`,
      "Content-Length": end - start,
    });
  if (request.method === "HEAD") return void response.end();
  let at = start;
  const send = (): void => {
    while (at < end && !response.destroyed) {
      const length = Math.min(1 << 20, end - at);
      const chunk = Buffer.alloc(length);
      if (at < file.header.length) file.header.copy(chunk, 0, at, at + length);
      at += length;
      numSent += length;
      if (!response.write(chunk)) return void response.once("drain", send);
    }
    if (at >= end) response.end();
  };
  send();
}

const hub = createServer(answer);
let directory: TemporaryDirectory;
let address: string;

beforeAll(async () => {
  directory = temporaryDirectory();
  hub.listen(0, "127.0.0.1");
  await once(hub, "listening");
  address = `http://127.0.0.1:${(hub.address() as AddressInfo).port}`;
  process.env.MODEL_ENDPOINT = address;
});

afterAll(() => {
  delete process.env.MODEL_ENDPOINT;
  hub.close();
  hub.closeAllConnections();
  directory.remove();
});

beforeEach(() => {
  knowsRanges = true;
  numSent = 0;
});

const signal = new AbortController().signal;
const reasonable = 64 * 2 ** 20;

describe("headers of models on a hub", () => {
  const expected = huge.tensors.map(({ name }) => name);

  it.each(["hf:some/Huge-GGUF/huge.gguf", "hf:some/Huge-GGUF:Q4_K_M", "https"])("%s", async (uri) => {
    const source = uri === "https" ? `${address}/some/Huge-GGUF/resolve/main/huge.gguf` : uri;
    const file = await layHeaders(source, directory.path, signal);
    const found = checkModelFile(file);
    expect(found.tensors.map(({ name }) => name)).toEqual(expected);
    expect(found.tensors.reduce((sum, { bytes }) => sum + bytes, 0)).toBe(bytesOf(huge));
    expect(numSent).toBeLessThan(reasonable);
  });

  it("of a host that knows no ranges", async () => {
    knowsRanges = false;
    const file = await layHeaders("hf:some/Huge-GGUF/huge.gguf", directory.path, signal);
    expect(checkModelFile(file).tensors).toHaveLength(expected.length);
    expect(numSent).toBeLessThan(4 * reasonable);
  });

  it("that are not there are refused", async () => {
    await expect(layHeaders("hf:some/Huge-GGUF/none.gguf", directory.path, signal)).rejects.toThrow(
      /answers 404/,
    );
    await expect(layHeaders("hf:some/Huge-GGUF:Q2_K", directory.path, signal)).rejects.toThrow(
      /names no file/,
    );
  });
});

it("a model that cannot fit is refused before it is downloaded", async () => {
  const config = directory.file("huge.json");
  const models = directory.file("models");
  writeFileSync(config, JSON.stringify({ id: "huge", base: "hf:some/Huge-GGUF:Q4_K_M" }));
  const flags = ["--backend", "cpu", "--threads", "1", "--models-dir", models];
  const { code, stderr } = await run(["check", config, ...flags], {
    environment: { MODEL_ENDPOINT: address },
  });
  expect(stderr).toMatch(
    /main memory would need \d+\.\d GiB of \d+\.\d GiB \(huge-Q4_K_M-00001-of-00002: weights 84\.3 GiB/,
  );
  expect(stderr).toMatch(/use smaller or more quantized files/);
  expect(code).toBe(1);
  expect(numSent).toBeLessThan(reasonable);
  expect(readdirSync(directory.path)).not.toContain("models");
});

// A machine that holds it would download it.
it.skipIf(totalmem() > 60e9)("the config of a large public family is planned from its headers", async () => {
  const config = path.join(root, "deploy/fusion-configs/qwen2.5-32b-coder.json");
  const models = directory.file("planned");
  const { code, stderr } = await run(
    ["check", config, "--backend", "cpu", "--threads", "1", "--models-dir", models],
    {
      environment: { MODEL_ENDPOINT: address },
    },
  );
  // This machine is too small for it in float16, which is what a hollow file is in.
  expect(stderr).toMatch(/main memory would need \d+\.\d GiB/);
  for (const [, file] of named) expect(stderr).toContain(`${file.replace(".gguf", "")}: weights`);
  expect(code).toBe(1);
  expect(numSent).toBeLessThan(3 * reasonable);
});
