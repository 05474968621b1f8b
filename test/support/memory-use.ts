import { once } from "node:events";
import { readFileSync } from "node:fs";
import { onTestFinished } from "vitest";
import { start, untilPrinted } from "./command-line.js";
import { childrenOf } from "./processes.js";

/**
 * What the server plans of main memory for the configs of a file, and what both its processes hold once a prompt was
 * read that is longer than what is computed at once; bytes.
 */
export async function memoryUse(
  configs: string,
  model: string,
): Promise<{ planned: number; used: number; printed: string }> {
  const flags = ["--backend", "cpu", "--threads", "1", "--cache-sequences", "0"];
  const server = start(["serve", "--port", "0", "--fusion-configs", configs, ...flags], {});
  onTestFinished(async () => {
    server.kill("SIGTERM");
    if (server.exitCode === null) await once(server, "exit");
  });
  const printed = await untilPrinted(server, "Try:");
  const url = /listens on (\S+)/.exec(printed)![1]!;
  const response = await fetch(`${url}/v1/completions`, {
    method: "POST",
    headers: { "Content-Type": "application/json" },
    body: JSON.stringify({ model, prompt: Array(600).fill(100), max_tokens: 4 }),
  });
  if (response.status !== 200) throw new Error(await response.text());
  await response.json();
  const [, amount, unit] = /Memory +([\d.]+) ([MG])iB of .* in main memory/.exec(printed)!;
  const planned = Number(amount) * (unit === "G" ? 2 ** 30 : 2 ** 20);
  const resident = (pid: number) =>
    1024 * Number(/VmRSS:\s+(\d+)/.exec(readFileSync(`/proc/${pid}/status`, "utf8"))![1]);
  const used = resident(server.pid!) + childrenOf(server.pid!).reduce((sum, pid) => sum + resident(pid), 0);
  return { planned, used, printed };
}
