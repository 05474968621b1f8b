import { closeSync, ftruncateSync, openSync, writeSync } from "node:fs";
import path from "node:path";

import { z } from "zod";
import { ShouldersError } from "../errors.js";
import { isHeaderWhole, nameOfPart } from "./gguf-file.js";

/** Reads the header of a model that is not here yet, by range requests, so that it can be planned before it comes. */

const firstRequestBytes = 1 << 20;
/** Vocabularies and templates are of megabytes; what is larger is no header. */
const longestHeaderBytes = 1 << 28;
const requestTimeoutMs = 30_000;

function within(signal: AbortSignal): AbortSignal {
  return AbortSignal.any([signal, AbortSignal.timeout(requestTimeoutMs)]);
}

interface Range {
  bytes: Uint8Array;
  /** Length of the whole file. */
  fileBytes: number;
}

/**
 * Lays the headers of a model's parts into files of the whole length and next to no content, which libllama reads
 * as it does the model's own when it only counts.
 *
 * @param uri `hf:user/repository:Q4_K_M`, `hf:user/repository/file.gguf`, or an address.
 * @returns the path of the first part, in `directory`.
 * @throws ShouldersError `model_file_invalid`
 */
export async function layHeaders(uri: string, directory: string, signal: AbortSignal): Promise<string> {
  const address = await addressOf(uri, signal);
  const first = await layHeader(address, directory, signal);
  for (let part = 2; part <= first.numParts; part++)
    await layHeader(addressOfPart(address, part), directory, signal);
  return first.file;
}

function addressOfPart(address: URL, part: number): URL {
  const other = new URL(address);
  other.pathname = nameOfPart(address.pathname, part);
  return other;
}

async function layHeader(
  address: URL,
  directory: string,
  signal: AbortSignal,
): Promise<{ file: string; numParts: number }> {
  const target = path.join(directory, path.basename(decodeURIComponent(address.pathname)));
  const file = openSync(target, "w+");
  try {
    let length = 0;
    for (let wanted = firstRequestBytes; wanted <= longestHeaderBytes; wanted *= 4) {
      const { bytes, fileBytes } = await readRange(address, length, wanted, signal);
      writeSync(file, bytes, 0, bytes.length, length);
      length += bytes.length;
      ftruncateSync(file, fileBytes);
      const found = isHeaderWhole(file, { path: target, fileBytes, availableBytes: length });
      if (found !== null) return { file: target, numParts: found.numParts };
      if (length >= fileBytes) break;
    }
    throw new ShouldersError("model_file_invalid", `${address.href} has no end of its header.`);
  } finally {
    closeSync(file);
  }
}

/** @returns bytes from `start` to `end` of the file at an address, fewer where it ends before. */
async function readRange(address: URL, start: number, end: number, signal: AbortSignal): Promise<Range> {
  const response = await fetch(address, {
    headers: { ...authorization(address), Range: `bytes=${start}-${end - 1}` },
    signal: within(signal),
  });
  if (!response.ok || response.body === null)
    throw new ShouldersError("model_file_invalid", `${address.href} answers ${response.status}.`);
  const total = /\/(\d+)$/.exec(response.headers.get("content-range") ?? "")?.[1];
  const fileBytes = Number(total ?? response.headers.get("content-length") ?? NaN);
  if (!Number.isSafeInteger(fileBytes))
    throw new ShouldersError("model_file_invalid", `${address.href} does not say how long it is.`);
  // A host that knows no ranges sends all of it, of which the beginning is taken.
  const skipped = response.status === 206 ? 0 : start;
  const chunks: Uint8Array[] = [];
  let received = 0;
  for await (const chunk of response.body as AsyncIterable<Uint8Array>) {
    chunks.push(chunk);
    received += chunk.length;
    if (received >= skipped + end - start) break;
  }
  return { bytes: Buffer.concat(chunks).subarray(skipped, skipped + end - start), fileBytes };
}

/** The hub, by the variables that node-llama-cpp reads. */
export function hubAddress(): string {
  return process.env.MODEL_ENDPOINT ?? process.env.HF_ENDPOINT ?? "https://huggingface.co";
}

function authorization(address: URL): Record<string, string> {
  const token = process.env.HF_TOKEN;
  if (token === undefined || token === "" || address.host !== new URL(hubAddress()).host) return {};
  return { Authorization: `Bearer ${token}` };
}

/** What is read of the hub's answer. */
const manifestSchema = z.object({ ggufFile: z.object({ rfilename: z.string() }) });

async function addressOf(uri: string, signal: AbortSignal): Promise<URL> {
  if (/^https?:/i.test(uri)) return new URL(uri);
  const [user = "", model = "", ...rest] = uri.replace(/^[a-z]+:(\/\/)?/i, "").split("/");
  const [file = "", branch = "main"] = rest.join("/").split("#");
  if (file !== "") return hubFile([user, model, "resolve", branch, ...file.split("/")]);
  const [repository = "", tag = "latest"] = model.split(":");
  const address = hubFile(["v2", user, repository, "manifests", tag]);
  // The hub tells llama.cpp which file a tag means.
  const response = await fetch(address, {
    headers: { ...authorization(address), "User-Agent": "llama-cpp" },
    signal: within(signal),
  });
  const answer = manifestSchema.safeParse(response.ok ? await response.json() : null);
  const named = answer.data?.ggufFile.rfilename;
  if (named === undefined)
    throw new ShouldersError("model_file_invalid", `${address.href} names no file (${response.status}).`);
  return hubFile([user, repository, "resolve", "main", ...named.split("/")]);
}

function hubFile(parts: readonly string[]): URL {
  return new URL(parts.map((part) => encodeURIComponent(part)).join("/"), hubAddress().replace(/\/*$/, "/"));
}
