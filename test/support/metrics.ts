import { expect } from "vitest";

/** Sum of a metric of a running server over its labels; `label`: of those that have it. */
export async function sumOf(url: string, name: string, label = "", headers = {}): Promise<number> {
  const lines = (await (await fetch(`${url}/metrics`, { headers })).text()).split("\n");
  return lines
    .filter((line) => line.startsWith(`${name}{`) || line.startsWith(`${name} `))
    .filter((line) => line.includes(label))
    .reduce((sum, line) => sum + Number(line.slice(line.lastIndexOf(" "))), 0);
}

const outcomes = ["ok", "client_error", "server_error", "aborted"];

/** Started = ok + client errors + server errors + aborted, once all have ended, and the gauges are back to 0. */
export async function expectConservation(url: string, headers = {}): Promise<void> {
  const difference = async () => {
    const ended = await Promise.all(
      outcomes.map((outcome) => sumOf(url, "shoulders_requests_total", `outcome="${outcome}"`, headers)),
    );
    const started = await sumOf(url, "shoulders_requests_started_total", "", headers);
    return ended.reduce((sum, count) => sum + count, -started);
  };
  await expect.poll(difference).toBe(0);
  await expect.poll(() => sumOf(url, "shoulders_sequences_running", "", headers)).toBe(0);
  expect(await sumOf(url, "shoulders_requests_waiting", "", headers)).toBe(0);
}

/** Tokens are the sum of the usages of all traces, cut ones too: every request of the server must have had one. */
export async function expectTokensOfUsages(url: string): Promise<void> {
  const { data } = (await (await fetch(`${url}/v1/fusion/traces?limit=1000`)).json()) as {
    data: { usage: { prompt_tokens: number; completion_tokens: number } }[];
  };
  for (const [counter, field] of [
    ["shoulders_generated_tokens_total", "completion_tokens"],
    ["shoulders_prompt_tokens_total", "prompt_tokens"],
  ] as const)
    expect(await sumOf(url, counter)).toBe(data.reduce((sum, { usage }) => sum + usage[field], 0));
}
