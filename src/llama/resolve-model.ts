import { existsSync, readdirSync } from "node:fs";
import path from "node:path";

import { expandHome } from "../config/home-path.js";
import { nearestKey } from "../config/nearest-key.js";
import { ShouldersError, systemCode } from "../errors.js";
import { hubAddress } from "./remote-header.js";

export interface ResolveModelOptions {
  /** Relative paths start here: the directory of the config file. */
  relativeTo: string;
  /** Where hf: URIs are downloaded to, and looked for first. */
  downloadDirectory: string;
  onProgress: (fraction: number) => void;
  signal?: AbortSignal;
}

const reachTimeoutMs = 15_000;

/**
 * Finds the local file of a model source: a path, or a URI of Hugging Face (`hf:user/repository:Q4_K_M`,
 * `hf:user/repository/file.gguf`), which is downloaded once.
 *
 * @returns an absolute path of a file that exists; what is in it is checked when it is loaded.
 * @throws ShouldersError `model_file_invalid` naming the path or URI and the reason.
 */
export async function resolveModel(source: string, options: ResolveModelOptions): Promise<string> {
  if (isRemote(source)) return download(source, options);
  const file = path.resolve(options.relativeTo, expandHome(source));
  if (!existsSync(file))
    throw new ShouldersError("model_file_invalid", `Model file ${file} does not exist. ${whatIsThere(file)}`);
  return file;
}

/** Names of models that are shown where none is near. */
const mostShown = 6;

/** What there is instead of a file: the nearest name in its folder, all models there, or the folder that is missing. */
function whatIsThere(file: string): string {
  const folder = path.dirname(file);
  let names: string[];
  try {
    names = readdirSync(folder).filter((name) => /\.gguf$/i.test(name));
  } catch {
    let above = path.dirname(folder);
    while (!existsSync(above)) above = path.dirname(above);
    return `There is no folder ${folder}: its path is right as far as ${above}.`;
  }
  const bare = (name: string): string => name.replace(/\.gguf$/i, "");
  const nearest = nearestKey(bare(path.basename(file)), names.map(bare));
  const meant = names.find((name) => bare(name) === nearest);
  if (meant !== undefined) return `Did you mean ${meant}?`;
  if (names.length === 0) return `There is no GGUF file in ${folder}.`;
  const more = names.length > mostShown ? ` and ${names.length - mostShown} more` : "";
  return `There are ${names.slice(0, mostShown).join(", ")}${more}.`;
}

/** @returns the local file of a source as `resolveModel` does; null: it is to be downloaded. */
export async function findModel(
  source: string,
  options: Pick<ResolveModelOptions, "relativeTo" | "downloadDirectory">,
): Promise<string | null> {
  if (!isRemote(source)) return path.resolve(options.relativeTo, expandHome(source));
  const { resolveModelFile } = await import("node-llama-cpp");
  return resolveModelFile(source, {
    directory: options.downloadDirectory,
    cli: false,
    download: false,
  }).catch(() => null);
}

/** Whether a source is to be downloaded. */
export function isRemote(source: string): boolean {
  return /^(hf|huggingface|https?):/i.test(source);
}

async function download(uri: string, options: ResolveModelOptions): Promise<string> {
  // Paths need nothing of it, and loading it takes half a second.
  const { resolveModelFile } = await import("node-llama-cpp");
  const common = {
    directory: options.downloadDirectory,
    cli: false,
    ...(options.signal ? { signal: options.signal } : {}),
  };
  try {
    const downloaded = await resolveModelFile(uri, { ...common, download: false }).catch((error: unknown) => {
      if (error instanceof Error && error.message.startsWith("Invalid")) throw error;
      return null;
    });
    if (downloaded !== null) return downloaded;
    await checkReachable(uri, options.signal);
    return await resolveModelFile(uri, {
      ...common,
      onProgress: ({ downloadedSize, totalSize }) => {
        if (totalSize > 0) options.onProgress(downloadedSize / totalSize);
      },
    });
  } catch (cause) {
    throw new ShouldersError(
      "model_file_invalid",
      `Model ${uri} cannot be downloaded to ${options.downloadDirectory}: ${reasonOf(cause)}. Check the URI and ` +
        `the network, or download the GGUF file yourself and give its path.`,
      { cause },
    );
  }
}

/** Without a network, node-llama-cpp would try again for minutes. Any answer of the host will do. */
async function checkReachable(uri: string, signal: AbortSignal | undefined): Promise<void> {
  const host = /^https?:/i.test(uri) ? uri : hubAddress();
  const timeout = AbortSignal.timeout(reachTimeoutMs);
  await fetch(new URL("/", host), {
    method: "HEAD",
    redirect: "manual",
    signal: signal ? AbortSignal.any([signal, timeout]) : timeout,
  });
}

/** "fetch failed" hides its reason in a chain of causes. */
function reasonOf(error: unknown): string {
  const reasons: string[] = [];
  for (let at = error; at instanceof Error && reasons.length < 5; at = at.cause) {
    const text = at.message === "" ? (systemCode(at) ?? at.name) : at.message;
    if (!reasons.some((reason) => reason.includes(text))) reasons.push(text);
  }
  return reasons.length === 0 ? String(error) : reasons.join(": ");
}
