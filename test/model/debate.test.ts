import { once } from "node:events";
import { readFileSync, writeFileSync } from "node:fs";
import path from "node:path";
import { afterAll, beforeAll, expect, it } from "vitest";
import { run, start, untilPrinted } from "../support/command-line.js";
import { root } from "../support/real-engine.js";
import { type TemporaryDirectory, temporaryDirectory } from "../support/temporary-directory.js";

/** Debates on the shipped family, as a person audits one, and a server that tells what the audit found. */

const familyModel = (name: string) => path.join(root, `models/family/${name}.gguf`);
const settings = JSON.parse(readFileSync(path.join(root, "models/debate/settings.json"), "utf8")) as object;
const [article] = readFileSync(path.join(root, "models/debate/articles.jsonl"), "utf8").split("\n");
const item = JSON.parse(article!) as { messages: object[]; choices: string[]; document: string };

let directory: TemporaryDirectory;
beforeAll(() => {
  directory = temporaryDirectory();
  const config = {
    id: "headline",
    base: familyModel("giant"),
    reference: familyModel("dwarf"),
    experts: [{ id: "headline", model: familyModel("dwarf-headline") }],
    context: { tokens: 512, sequences: 16 },
  };
  writeFileSync(directory.file("headline.json"), JSON.stringify(config));
});
afterAll(() => directory.remove());

interface Debated {
  verdict: number;
  audited: { outcome: string } | null;
  arguments: { text: string }[];
}

interface Serving {
  ask: (fields: object, signal?: AbortSignal) => Promise<Response>;
  metric: (name: string) => Promise<number>;
}

/** Uses a server over the config. */
async function serving<Value>(use: (server: Serving) => Promise<Value>): Promise<Value> {
  const server = start(["serve", "--port", "0", "--threads", "1"], {
    environment: { SHOULDERS_FUSION_CONFIGS: directory.file("headline.json") },
  });
  try {
    const url = /http:\/\/[\d.:]+/.exec(await untilPrinted(server, "http://"))![0];
    return await use({
      ask: (fields, signal = AbortSignal.timeout(60_000)) =>
        fetch(`${url}/v1/fusion/judge`, {
          method: "POST",
          headers: { "Content-Type": "application/json" },
          body: JSON.stringify({
            model: "headline",
            messages: item.messages,
            candidates: item.choices,
            document: item.document,
            ...fields,
          }),
          signal,
        }),
      metric: async (name) => {
        const text = await (await fetch(`${url}/metrics`)).text();
        const value = new RegExp(`^${name} (\\S+)$`, "m").exec(text)?.[1];
        if (value === undefined) throw new Error(`${name} is not measured`);
        return Number(value);
      },
    });
  } finally {
    server.kill("SIGTERM");
    await once(server, "exit");
  }
}

const debated = async (response: Response) => {
  expect(response.status).toBe(200);
  return (await response.json()) as Debated;
};

it("an audit's outcome lies beside the config, answers carry it, and it is stale once the config is another", async () => {
  const before = await serving(async ({ ask }) => debated(await ask({ debate: settings })));
  expect(before.audited).toBeNull();

  const { code, stdout, stderr } = await run([
    ...["debate", "audit", directory.file("headline.json"), "--tasks", "models/debate/articles.jsonl"],
    ...["--debate", "models/debate/settings.json", "--limit", "60", "--threads", "1"],
  ]);
  expect(code, stderr).toBe(0);
  expect(stdout).toMatch(/\buse\b/);

  const after = await serving(async ({ ask }) => debated(await ask({ debate: settings })));
  expect(after.audited).toMatchObject({ outcome: "use" });
  // Both sides quote the article.
  for (const { text } of after.arguments) expect(item.document).toContain(text);

  const file = directory.file("headline.json");
  const config = JSON.parse(readFileSync(file, "utf8")) as object;
  writeFileSync(file, JSON.stringify({ ...config, strategy: { type: "base" } }));
  const stale = await serving(async ({ ask }) => debated(await ask({ debate: settings })));
  expect(stale.audited).toBeNull();
  const check = await run(["check", file, "--threads", "1"]);
  expect(check.stdout + check.stderr).toMatch(/audit/);
  writeFileSync(file, JSON.stringify(config));
});

it("a client that leaves ends all advocates and members, and the next debate is as it would have been", async () => {
  await serving(async ({ ask, metric }) => {
    const short = { debate: settings };
    const alone = await debated(await ask(short));
    const left = new AbortController();
    const long = { ...settings, turns: 3, seeds: 8 };
    const response = await ask({ debate: long, stream: true }, left.signal);
    const reader = response.body!.getReader();
    await reader.read();
    left.abort();
    while ((await metric("shoulders_sequences_running")) + (await metric("shoulders_requests_waiting")) > 0);
    const { verdict, arguments: said } = await debated(await ask(short));
    expect({ verdict, said: said.map(({ text }) => text) }).toEqual({
      verdict: alone.verdict,
      said: alone.arguments.map(({ text }) => text),
    });
  });
});
