import { once } from "node:events";
import { connect } from "node:net";
import path from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import type { Engine } from "../../src/protocol/protocol.js";
import { buildRpc } from "../../src/rpc/build.js";
import { greet } from "../../src/rpc/hello.js";
import { start } from "../support/command-line.js";
import { greedy } from "../support/fake-models.js";
import { childrenOf } from "../support/processes.js";
import { answer, root, startRealEngine, textRequest } from "../support/real-engine.js";
import { familyConfig, type Task, taskRequests, tasks } from "../support/remote-bases.js";
import { freePort, type RpcServerProcess, startRpcServer, untilGreeted } from "../support/rpc-servers.js";
import { expectSameButTies } from "../support/ties.js";

/** The shipped base with its layers on real servers of llama.cpp's RPC. */

const giant = path.join(root, "models/family/giant.gguf");
const numItems = 2;
const drawing = { sampling: { ...greedy, temperature: 1 }, seed: 5 };

const withServers = (task: Task, servers: readonly string[], rpc: Record<string, unknown> = {}) =>
  familyConfig(task, { base: { model: giant, rpc: { servers, ...rpc } } });

let servers: RpcServerProcess[];
const endpoints = (count: number) => servers.slice(0, count).map(({ endpoint }) => endpoint);

beforeAll(async () => {
  await buildRpc("cpu");
  servers = await Promise.all([0, 1, 2, 3].map(() => startRpcServer()));
});

afterAll(() => Promise.all(servers.map((server) => server.kill())));

describe("over servers", () => {
  let local: Engine;
  beforeAll(async () => {
    local = await startRealEngine(tasks.map((task) => familyConfig(task)));
  });
  afterAll(() => local.close());

  it.each([
    [1, "recall"],
    [2, "problems"],
    [3, "headline"],
    [4, "choice"],
  ] as const)("%i: answers as the base here does, and plans each: %s", async (count, task) => {
    const remote = await startRealEngine([withServers(task, endpoints(count))]);
    try {
      const places = remote.description!.memory.filter(({ name }) => name.startsWith("RPC"));
      expect(places.map(({ name }) => name)).toEqual(endpoints(count).map((one) => `RPC0[${one}]`));
      for (const { buffers, numLayers, freeBytes } of places) {
        expect(Math.min(buffers.weights, buffers.cells, buffers.compute)).toBeGreaterThan(0);
        expect(numLayers).toBeGreaterThan(0);
        expect(freeBytes).toBeGreaterThan(buffers.weights);
      }
      const layers = places.reduce((sum, { numLayers = 0 }) => sum + numLayers, 0);
      expect(layers).toBe(remote.description!.configs[0]!.base.gpuLayers - 1);
      for (const options of [{}, drawing])
        for (const request of taskRequests(task, numItems, options)) {
          const here = await answer(local, request);
          const there = await answer(remote, request);
          if (options === drawing) expect(there.text).toBe(here.text);
          else expectSameButTies(here, there, task);
        }
    } finally {
      await remote.close();
    }
  });

  it("with half of the layers here, a share for each server, and the output matrix there", async () => {
    const base = {
      model: giant,
      gpuLayers: 4,
      rpc: { servers: endpoints(2), split: [3, 1], keepOutputLocal: false },
    };
    const remote = await startRealEngine([familyConfig("recall", { base })]);
    try {
      const places = remote.description!.memory.filter(({ name }) => name.startsWith("RPC"));
      expect(places.map(({ numLayers }) => numLayers)).toEqual([3, 1]);
      const [request] = taskRequests("recall", 1);
      expectSameButTies(await answer(local, request!), await answer(remote, request!), "half");
    } finally {
      await remote.close();
    }
  });
});

describe("what fails", () => {
  const recall = (servers: readonly string[]) => [withServers("recall", servers)];
  const ask = (engine: Engine) => answer(engine, taskRequests("recall", 1)[0]!);
  const untilDown = (engine: Engine) =>
    expect.poll(() => engine.description === null, { interval: 20 }).toBe(true);
  const untilUp = (engine: Engine) =>
    expect.poll(() => engine.description !== null, { interval: 50 }).toBe(true);
  const untilTold = (engine: Engine, pattern: RegExp) =>
    expect.poll(() => engine.trouble, { interval: 50 }).toMatch(pattern);

  it("a server that another engine has, or another client", async () => {
    const engine = await startRealEngine(recall(endpoints(1)));
    try {
      await expect(startRealEngine(recall(endpoints(1)))).rejects.toMatchObject({
        code: "rpc_busy",
        message: expect.stringContaining(`process ${engine.description!.pid}`) as string,
      });
      expect((await ask(engine)).text).not.toBe("");
    } finally {
      await engine.close();
    }
    const [endpoint] = endpoints(1);
    await untilGreeted(endpoint!);
    const [host, port] = endpoint!.split(":");
    const other = connect({ host: host!, port: Number(port) });
    await once(other, "connect");
    await expect(greet(endpoint!, 300)).rejects.toMatchObject({ code: "rpc_busy" });
    other.destroy();
  });

  it("a server that is killed ends what runs, is told of, and answers come again when it is back", async () => {
    const engine = await startRealEngine(recall(endpoints(2)));
    try {
      const running = answer(engine, textRequest("recall", "Once", { maxTokens: 400, minTokens: 400 }));
      const failed = expect(running).rejects.toMatchObject({
        code: "engine_died",
        message: expect.stringContaining("RPC server") as string,
      });
      const { endpoint, kill } = servers[1]!;
      await kill();
      await failed;
      await untilTold(engine, new RegExp(`RPC server ${endpoint} cannot be reached`));
      servers[1] = await startRpcServer(Number(endpoint.split(":")[1]));
      await untilUp(engine);
      expect(engine.trouble).toBeNull();
      expect((await ask(engine)).text).not.toBe("");
      // While nothing runs, too.
      await servers[1].kill();
      await untilDown(engine);
    } finally {
      await engine.close();
      servers[1] = await startRpcServer(Number(servers[1]!.endpoint.split(":")[1]));
    }
  });

  it("a server that is frozen is noticed while nobody asks, and answers come again when it goes on", async () => {
    const engine = await startRealEngine(recall(endpoints(1)));
    const { process, endpoint } = servers[0]!;
    try {
      process.kill("SIGSTOP");
      await untilTold(engine, new RegExp(`RPC server ${endpoint} takes connections and says nothing`));
      process.kill("SIGCONT");
      await untilUp(engine);
      expect((await ask(engine)).text).not.toBe("");
    } finally {
      process.kill("SIGCONT");
      await engine.close();
    }
  });
});

it("rpc serve starts a server again that a fault has ended", async () => {
  const endpoint = `127.0.0.1:${await freePort()}`;
  const environment = { SHOULDERS_CACHE_DIR: process.env["SHOULDERS_CACHE_DIR"]! };
  const command = start(["rpc", "serve", "--address", endpoint, "--threads", "1"], { environment });
  const ended = once(command, "exit");
  await untilGreeted(endpoint);
  const [first] = childrenOf(command.pid!);
  process.kill(first!, "SIGABRT");
  await expect.poll(() => childrenOf(command.pid!)[0] ?? first).not.toBe(first);
  await untilGreeted(endpoint);
  command.kill("SIGTERM");
  expect(await ended).toEqual([0, null]);
});
