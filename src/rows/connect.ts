import path from "node:path";
import { mostConfigBytes, readTextFile } from "../config/read-text-file.js";
import type { RemoteBase } from "../config/remote-base.js";
import { ShouldersError } from "../errors.js";
import type { LoadedModel } from "../llama/types.js";
import { proveTokenizer } from "./prove-tokenizer.js";
import { RemoteContext } from "./remote-context.js";
import { SglangServer } from "./sglang.js";
import { ShouldersServer } from "./shoulders.js";
import type { RowServer } from "./types.js";
import { VllmServer } from "./vllm.js";

/** What a config wants of a server's base. */
export interface RemoteRoom {
  /** Sequences that may exist at a time, those that are kept included. */
  numSequences: number;
  /** Tokens that they may hold together. */
  numCells: number;
  /** Tokens that one may hold. */
  contextTokens: number;
  batchTokens: number;
}

/**
 * The context of a base that another server computes, once it is known to be there and to have the same vocabulary.
 *
 * @param tokenizer the base's vocabulary, from a file here.
 * @throws ShouldersError `base_unavailable`, `vocabulary_mismatch`, `fusion_config_invalid`.
 */
export async function connectBase(
  remote: RemoteBase,
  tokenizer: LoadedModel,
  room: RemoteRoom,
): Promise<RemoteContext> {
  const server = serverOf(remote, tokenizer, room);
  try {
    await server.prove(room.contextTokens);
    await proveTokenizer(server, tokenizer);
  } catch (error) {
    await server[Symbol.asyncDispose]();
    throw error;
  }
  const { numCells, batchTokens } = room;
  return new RemoteContext(server, {
    vocabularySize: tokenizer.vocabulary.size,
    ...{ numCells, batchTokens },
    wish: { top: remote.top, ids: [] },
  });
}

function serverOf(
  { kind, url, model, top, timeoutMs, apiKeyFile }: RemoteBase,
  { vocabulary }: LoadedModel,
  { numSequences, numCells }: RemoteRoom,
): RowServer {
  const shared = { name: `${kind} at ${url}`, url, model, timeoutMs, apiKey: readKey(apiKeyFile) };
  if (kind === "shoulders") {
    const vocabularySize = vocabulary.size;
    return new ShouldersServer({ ...shared, sequences: numSequences, cells: numCells, vocabularySize });
  }
  const options = { ...shared, top: top === "all" ? vocabulary.size : top };
  return kind === "vllm" ? new VllmServer(options) : new SglangServer(options);
}

function readKey(file: string | undefined): string | null {
  if (file === undefined) return null;
  let text: string;
  try {
    text = readTextFile(file, mostConfigBytes);
  } catch (cause) {
    throw refused(file, `cannot be read: ${cause instanceof Error ? cause.message : String(cause)}`, cause);
  }
  const key = text.split("\n")[0]?.trim() ?? "";
  if (!/^[\x21-\x7e]+$/.test(key)) throw refused(file, "has no key of ASCII characters on its first line");
  return key;
}

function refused(file: string, reason: string, cause?: unknown): ShouldersError {
  return new ShouldersError("fusion_config_invalid", `The API key file ${path.basename(file)} ${reason}.`, {
    param: "base.apiKeyFile",
    cause,
  });
}
