import { once } from "node:events";
import { connect, createServer } from "node:net";
import { ShouldersError, systemCode } from "../errors.js";

/** Longest wait for the other process's number. */
const timeoutMs = 500;

/**
 * Holds an RPC server for this process until it ends, however it does: an address in the kernel's abstract namespace,
 * which leaves no file behind. Two engines of one machine that begin at the same time would both pass the hello.
 *
 * @throws ShouldersError `rpc_busy`: another process of this machine has it
 */
export async function holdServer(endpoint: string): Promise<void> {
  const address = `\0shoulders-rpc-${endpoint}`;
  const holder = createServer((socket) => {
    socket.on("error", () => undefined);
    socket.end(String(process.pid));
  }).unref();
  try {
    holder.listen(address);
    await once(holder, "listening");
  } catch (cause) {
    if (systemCode(cause) !== "EADDRINUSE") throw cause;
    const pid = await holderOf(address);
    if (pid === String(process.pid)) return;
    throw new ShouldersError(
      "rpc_busy",
      `RPC server ${endpoint} is used by another engine of this machine (process ${pid}), and serves one at a time. ` +
        `Put the configs into one server, or start a second RPC server.`,
      { cause },
    );
  }
}

async function holderOf(address: string): Promise<string> {
  const socket = connect(address).setEncoding("utf8").setTimeout(timeoutMs);
  socket.once("timeout", () => socket.destroy());
  let text = "";
  try {
    for await (const part of socket) text += String(part);
  } catch {
    // It has just ended, or hangs.
  }
  return text === "" ? "unknown" : text;
}
