import { parentPort, workerData } from "node:worker_threads";
import { present } from "../errors.js";
import { SqliteLog } from "./sqlite-log.js";
import type { ToLog } from "./sqlite-store.js";

/** The thread that waits for the disk: it does what it is told, in order, and says what came of it. */
const port = present(parentPort, "parent");
const log = new SqliteLog(workerData as string);

port.on("message", ({ id, call }: ToLog) => {
  try {
    port.postMessage({ id, value: log.run(call) });
  } catch (thrown) {
    port.postMessage({ id, error: thrown instanceof Error ? thrown.message : String(thrown) });
  }
  if (call.method === "close") port.close();
});
