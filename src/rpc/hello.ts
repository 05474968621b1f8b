import { connect, type Socket } from "node:net";
import { type ErrorCode, ShouldersError, systemCode } from "../errors.js";

/**
 * Asks an RPC server whether it would take us, before libllama does: that ends the process where nobody listens or the
 * version is another one, and waits for ever where the server has a client already.
 */

/** What the pinned llama.cpp speaks: `RPC_PROTO_MAJOR_VERSION` and `RPC_PROTO_MINOR_VERSION` of its ggml-rpc.h. */
export const rpcVersion = { major: 7, minor: 0 } as const;

/** `RPC_CMD_HELLO`, which is the same in every version. */
const helloCommand = 14;
/** Bytes in which each side says what else it can do; all zero: TCP alone. */
const capabilityBytes = 24;
const sizeBytes = 8;

/** An answer begins with the version: three bytes were all of it before version 7, and later ones may be longer. */
const fewestAnswerBytes = 3;
const mostAnswerBytes = 1024;

const defaultTimeoutMs = 3_000;

type Answer = { major: number; minor: number } | "closed" | "silent" | "strange";

/**
 * @param endpoint host:port
 * @throws ShouldersError `rpc_unreachable`, `rpc_busy`, `rpc_version`, `rpc_not_a_server`
 */
export async function greet(endpoint: string, timeoutMs = defaultTimeoutMs): Promise<void> {
  const answer = await ask(endpoint, capabilityBytes, timeoutMs);
  if (answer === "silent")
    throw refused(
      "rpc_busy",
      endpoint,
      `takes connections and says nothing within ${timeoutMs / 1000} s: it serves another engine, of which it takes ` +
        `one at a time, or it hangs. End the other one, or start the server again`,
    );
  // An older one hangs up on a hello that it does not know.
  const version = answer === "closed" ? await ask(endpoint, 0, timeoutMs) : answer;
  if (typeof version !== "object")
    throw refused(
      "rpc_not_a_server",
      endpoint,
      'is no RPC server of llama.cpp: it does not answer its hello. Start one there by "shoulders rpc serve", or ' +
        "correct the port",
    );
  const { major, minor } = version;
  if (major === rpcVersion.major && minor <= rpcVersion.minor) return;
  throw refused(
    "rpc_version",
    endpoint,
    `speaks version ${major}.${minor} of llama.cpp's RPC, and this program ${rpcVersion.major}.${rpcVersion.minor}. ` +
      'Start it by "shoulders rpc serve" of this same version',
  );
}

function refused(code: ErrorCode, endpoint: string, reason: string): ShouldersError {
  return new ShouldersError(code, `RPC server ${endpoint} ${reason}.`);
}

/** Sends a hello with so many bytes about itself. */
async function ask(endpoint: string, numBytes: number, timeoutMs: number): Promise<Answer> {
  const [host = "", port] = endpoint.split(":");
  // libllama takes a name's IPv4 address too.
  const socket = connect({ host, port: Number(port), family: 4 });
  try {
    return await heard(socket, numBytes, timeoutMs);
  } catch (cause) {
    const reason = cause instanceof Error ? (systemCode(cause) ?? cause.message) : String(cause);
    throw new ShouldersError(
      "rpc_unreachable",
      `RPC server ${endpoint} cannot be reached (${reason}). Is it running ("shoulders rpc serve" there), and its ` +
        `tunnel open?`,
      { cause },
    );
  } finally {
    // A server that comes to a hello of somebody who left in peace would be ended by SIGPIPE as it answers.
    socket.resetAndDestroy();
  }
}

/** @throws Error: there is no connection. */
function heard(socket: Socket, numBytes: number, timeoutMs: number): Promise<Answer> {
  return new Promise((resolve, reject) => {
    let isConnected = false;
    let bytes = Buffer.alloc(0);
    const timer = setTimeout(() => {
      if (isConnected) resolve("silent");
      else reject(new Error(`no connection within ${timeoutMs / 1000} s`));
    }, timeoutMs);
    const settle = (answer: Answer) => {
      clearTimeout(timer);
      resolve(answer);
    };
    socket.once("connect", () => {
      isConnected = true;
      const hello = Buffer.alloc(1 + sizeBytes + numBytes);
      hello[0] = helloCommand;
      hello.writeBigUInt64LE(BigInt(numBytes), 1);
      socket.write(hello);
    });
    socket.on("data", (data) => {
      bytes = Buffer.concat([bytes, data]);
      const answer = read(bytes);
      if (answer !== null) settle(answer);
    });
    socket.on("error", (error) => {
      if (isConnected) settle("closed");
      else {
        clearTimeout(timer);
        reject(error);
      }
    });
    socket.once("close", () => settle("closed"));
  });
}

/** @returns null: there is more to come. */
function read(bytes: Buffer): Answer | null {
  if (bytes.length < sizeBytes) return null;
  const size = Number(bytes.readBigUInt64LE(0));
  if (size < fewestAnswerBytes || size > mostAnswerBytes) return "strange";
  if (bytes.length < sizeBytes + size) return null;
  return { major: bytes[sizeBytes] ?? 0, minor: bytes[sizeBytes + 1] ?? 0 };
}
