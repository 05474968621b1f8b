import { spawn } from "node:child_process";
import { once } from "node:events";
import { connect } from "node:net";
import { expect, it, onTestFinished } from "vitest";
import { root } from "../support/real-engine.js";

it("a process that may open few files still answers health, and takes fewer connections", async () => {
  const clean = Object.entries(process.env).filter(([name]) => !name.startsWith("SHOULDERS_"));
  const child = spawn(
    "sh",
    ["-c", 'ulimit -n 256; exec "$0" dist/main.js serve --port 0 --load giant', process.execPath],
    {
      cwd: root,
      env: {
        ...Object.fromEntries(clean),
        SHOULDERS_FUSION_CONFIGS: "test/data/starter/fusion-configs",
        SHOULDERS_THREADS: "1",
        SHOULDERS_BACKEND: "cpu",
      },
    },
  );
  onTestFinished(() => void child.kill("SIGKILL"));
  let [printed, logged] = ["", ""];
  child.stderr.on("data", (chunk) => (logged += String(chunk)));
  child.stdout.on("data", (chunk) => (printed += String(chunk)));
  await expect.poll(() => printed).toContain("curl");
  expect(logged).toContain("fewer connections than usual");
  const [url = ""] = /http:\/\/127\.0\.0\.1:\d+/.exec(printed) ?? [];
  const { hostname, port } = new URL(url);
  for (let index = 0; index < 300; index++) {
    const socket = connect(Number(port), hostname);
    socket.on("error", () => undefined);
    onTestFinished(() => void socket.destroy());
    await once(socket, "connect");
  }
  expect((await fetch(`${url}/livez`)).status).toBe(200);
  expect((await fetch(`${url}/v1/models`)).status).toBe(200);
});
