import { buildRpc } from "../src/rpc/build.js";
import { startRealEngine } from "../test/support/real-engine.js";
import { familyConfig, type Task, tasks } from "../test/support/remote-bases.js";
import { type RpcServerProcess, startRpcServer } from "../test/support/rpc-servers.js";
import { addedMs, type Answers, askAll, equalShare, numItems } from "./remote.js";
import type { PartResult } from "./report.js";

/** The shipped configs with their base's layers on RPC servers of this machine, against the same with the base here. */

const mostServers = 4;
const model = new URL("../models/family/giant.gguf", import.meta.url).pathname;

export async function benchRpc(): Promise<PartResult> {
  await buildRpc("cpu");
  const servers: RpcServerProcess[] = [];
  for (let count = 0; count < mostServers; count++) servers.push(await startRpcServer());
  const start = (count: number) => {
    const rpc = { servers: servers.slice(0, count).map(({ endpoint }) => endpoint) };
    const configOf = (task: Task) => familyConfig(task, count === 0 ? {} : { base: { model, rpc } });
    return startRealEngine(tasks.map(configOf));
  };
  const local = await start(0);
  try {
    const here = await askAll(local);
    const rows: { count: number; equal: number; added: number }[] = [];
    for (let count = 1; count <= mostServers; count++) {
      const engine = await start(count);
      try {
        const there: Answers = await askAll(engine);
        rows.push({ count, equal: equalShare(here, there), added: await addedMs(local, engine) });
      } finally {
        await engine.close();
      }
    }
    return {
      values: {
        rpc_equal: Math.min(...rows.map(({ equal }) => equal)),
        rpc_added_ms: rows[0]!.added,
      },
      tables: [
        {
          title: "A base over RPC servers",
          workload: `${numItems} items of each shipped task, greedy and drawn with a seed, one after the other; all servers on this machine, a thread each`,
          head: ["servers", "answers equal to those here", "added ms a token"],
          rows: rows.map(({ count, equal, added }) => [String(count), equal, added]),
        },
      ],
    };
  } finally {
    await local.close();
    for (const server of servers) await server.kill();
  }
}
