import { type ChildProcess, execFileSync } from "node:child_process";
import { once } from "node:events";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { createServer } from "node:net";
import { tmpdir } from "node:os";
import path from "node:path";
import { afterEach, describe, expect, it } from "vitest";
import { childrenOf, isAlive } from "../support/processes.js";
import { connect } from "../support/socket.js";
import { run, start, untilPrinted } from "../support/command-line.js";

/** `shoulders serve` as a process: what it prints, that it answers, and how it ends. */

const children: ChildProcess[] = [];
afterEach(() => {
  for (const child of children.splice(0)) child.kill("SIGKILL");
});

function serve(...args: string[]): ChildProcess {
  const child = start(["serve", "--port", "0", ...args]);
  children.push(child);
  return child;
}

/** What a shell hands to curl when the printed line is pasted into it. */
function curlArguments(line: string): string[] {
  const script = `curl() { for argument in "$@"; do printf '%s\\0' "$argument"; done; }\n${line}`;
  return execFileSync("sh", ["-c", script], { encoding: "utf8" }).split("\0");
}

async function paste(line: string): Promise<string> {
  const args = curlArguments(line);
  const valueOf = (flag: string): string => args[args.indexOf(flag) + 1] ?? "";
  const [name = "", value = ""] = valueOf("-H").split(": ");
  const url = args.find((argument) => argument.startsWith("http")) ?? "";
  return (await fetch(url, { method: "POST", headers: { [name]: value }, body: valueOf("-d") })).text();
}

async function untilGone(pids: readonly number[]): Promise<void> {
  for (let waited = 0; pids.some(isAlive) && waited < 5000; waited += 50)
    await new Promise((resolve) => setTimeout(resolve, 50));
  expect(pids.filter(isAlive)).toEqual([]);
}

describe("shoulders serve", () => {
  it("prints a curl line that works as it is pasted, and ends with 0 on SIGTERM, the engine with it", async () => {
    const child = serve();
    const printed = await untilPrinted(child, "curl");
    for (const id of ["both", "giant", "sums", "trivia", "trivia-static"])
      expect(printed).toContain(`  ${id} `);
    const curl = printed.split("\n").find((line) => line.includes("curl"))!;
    const answer = await paste(curl);
    const chunks = answer
      .split("\n")
      .filter((line) => line.startsWith("data: {"))
      .map(
        (line) =>
          JSON.parse(line.slice(6)) as { choices: { delta: { content?: string }; fusion?: object }[] },
      );
    expect(chunks.map((chunk) => chunk.choices[0]?.delta.content ?? "").join("")).toBe(" Trorar");
    expect(chunks.some((chunk) => chunk.choices[0]?.fusion !== undefined)).toBe(true);

    const engines = childrenOf(child.pid!);
    expect(engines).toHaveLength(1);
    child.kill("SIGTERM");
    expect((await once(child, "exit"))[0]).toBe(0);
    await untilGone(engines);
  });

  it("finishes what streams when SIGTERM comes, and takes nothing new", async () => {
    const child = serve("--load", "giant");
    const [url] = /http:\/\/127\.0\.0\.1:\d+/.exec(await untilPrinted(child, "curl"))!;
    const ask = (): Promise<Response> =>
      fetch(`${url}/v1/completions`, {
        method: "POST",
        headers: { "Content-Type": "application/json" },
        body: JSON.stringify({
          model: "giant",
          prompt: "Once",
          stream: true,
          max_tokens: 200,
          logit_bias: { "0": -100, "1": -100, "2": -100, "3": -100 },
        }),
      });
    const streams = await Promise.all([ask(), ask(), ask()]);
    const socket = await connect(url);
    child.kill("SIGTERM");
    expect(await socket.closed()).toBe(1001);
    for (const stream of streams) {
      const text = await stream.text();
      // In full, or with the reason in the stream; never just cut.
      expect(text).toMatch(/"finish_reason":"length"[^]*data: \[DONE\]\n\n$|data: \{"error":.*\n\n$/);
    }
    await expect(ask()).rejects.toThrow();
    expect(child.exitCode ?? (await once(child, "exit"))[0]).toBe(0);
  });

  it("loads only the configs that --load names", async () => {
    const child = serve("--load", "giant");
    const printed = await untilPrinted(child, "curl");
    expect(printed).not.toContain("trivia");
    const [url] = /http:\/\/127\.0\.0\.1:\d+/.exec(printed)!;
    const models = (await (await fetch(`${url}/v1/models`)).json()) as { data: { id: string }[] };
    expect(models.data.map(({ id }) => id)).toEqual(["giant"]);
  });

  it("goes without a bad config, says why, and what is probably wrong with the others", async () => {
    const folder = mkdtempSync(path.join(tmpdir(), "shoulders-serve-"));
    const family = path.resolve("models/family");
    const context = { tokens: 1024, sequences: 1 };
    writeFileSync(
      path.join(folder, "a.json"),
      JSON.stringify({ id: "a", base: `${family}/giant.gguf`, context }),
    );
    writeFileSync(path.join(folder, "b.json"), "{");
    writeFileSync(path.join(folder, "c.yaml"), `id: c\nbase: ${family}/gaint.gguf\n`);
    // A file that is there, and shares none with others or some.
    writeFileSync(
      path.join(folder, "d.yaml"),
      `id: d\nbase: b.json\nreference: ${family}/giant.gguf\nexperts:\n  - id: x\n    model: ${family}/giant.gguf\n`,
    );
    try {
      const child = serve("--fusion-configs", folder);
      let log = "";
      child.stderr!.on("data", (chunk: Buffer) => (log += chunk.toString()));
      const [url] = /http:\/\/127\.0\.0\.1:\d+/.exec(await untilPrinted(child, "curl"))!;
      expect(log).toMatch(/b\.json:1:2: not JSON/);
      expect(log).toMatch(/c\.yaml:2:7 base: .*Did you mean giant\.gguf\?/);
      expect(log).toMatch(/d\.yaml:2:7 base: .*b\.json is not a GGUF file/);
      const config = (await (await fetch(`${url}/v1/fusion/configs/a`)).json()) as {
        warnings: { code: string }[];
      };
      expect(config.warnings.map(({ code }) => code)).toEqual(["context_beyond_training"]);
      expect(log).toContain("trained for 512");
    } finally {
      rmSync(folder, { recursive: true });
    }
  });

  it("ends with 0 on SIGTERM while models load", async () => {
    const child = serve("--log-level", "debug");
    await once(child, "spawn");
    // The signal listeners stand before the first model is touched.
    while (childrenOf(child.pid!).length === 0 && child.exitCode === null)
      await new Promise((resolve) => setTimeout(resolve, 5));
    const engines = childrenOf(child.pid!);
    child.kill("SIGTERM");
    expect((await once(child, "exit"))[0]).toBe(0);
    await untilGone(engines);
  });

  it("leaves no engine behind when it is killed", async () => {
    const child = serve("--load", "giant");
    const [url] = /http:\/\/127\.0\.0\.1:\d+/.exec(await untilPrinted(child, "curl"))!;
    const engines = childrenOf(child.pid!);
    // In the middle of its steps, too.
    const stream = await fetch(`${url}/v1/completions`, {
      method: "POST",
      headers: { "Content-Type": "application/json" },
      body: JSON.stringify({
        model: "giant",
        prompt: "Once",
        stream: true,
        max_tokens: 400,
        logit_bias: { "0": -100, "1": -100, "2": -100, "3": -100 },
      }),
    });
    await stream.body!.getReader().read();
    child.kill("SIGKILL");
    await once(child, "exit");
    await untilGone(engines);
  });

  it("says what to do about a port in use", async () => {
    const other = createServer().listen(0, "127.0.0.1");
    await once(other, "listening");
    const { port } = other.address() as { port: number };
    const { code, stdout, stderr } = await run(["serve", "--port", String(port)]);
    other.close();
    expect({ code, stdout }).toEqual({ code: 2, stdout: "" });
    expect(stderr).toBe(
      `shoulders: Cannot listen on 127.0.0.1:${port} (another program listens there); choose another address with --host and --port.\n`,
    );
  });

  it("does not open itself to a network without keys, nor take keys that are none", async () => {
    const wide = await run(["serve", "--port", "0", "--host", "0.0.0.0"]);
    expect(wide.code).toBe(2);
    expect(wide.stderr).toContain("give --api-keys-file or SHOULDERS_API_KEYS");
    const missing = await run(["serve", "--port", "0", "--api-keys-file", "nowhere"]);
    expect(missing.code).toBe(2);
    expect(missing.stderr).toContain("--api-keys-file: the file cannot be read");
  });

  it("asks for a key of the file", async () => {
    const directory = mkdtempSync(path.join(tmpdir(), "shoulders-keys-"));
    const file = path.join(directory, "keys");
    writeFileSync(file, "# who may\nann=ann-secret-0123456789\n");
    const child = serve("--load", "giant", "--host", "0.0.0.0", "--api-keys-file", file);
    const [url] = /http:\/\/127\.0\.0\.1:\d+/.exec(await untilPrinted(child, "curl"))!;
    rmSync(directory, { recursive: true });
    expect((await fetch(`${url}/v1/models`)).status).toBe(401);
    const headers = { Authorization: "Bearer ann-secret-0123456789" };
    expect((await fetch(`${url}/v1/models`, { headers })).status).toBe(200);
  });

  it("ends with a clear line when a model cannot be loaded", async () => {
    const { code, stderr } = await run(["serve", "--port", "0", "--fusion-configs", "models/failures.json"]);
    expect(code).toBe(2);
    expect(stderr).toContain("failures.json:1:1: expected object, received array");
  });
});
