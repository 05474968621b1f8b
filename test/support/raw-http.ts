import { connect } from "node:net";

/**
 * Sends bytes as they are and resolves with everything that came back until the server closed.
 * `more`: bytes that follow once some text has come back.
 */
export function sendRaw(
  url: string,
  bytes: string | Buffer,
  more?: { after: string; bytes: string },
): Promise<string> {
  const { hostname, port } = new URL(url);
  return new Promise((resolve, reject) => {
    const socket = connect(Number(port), hostname);
    let text = "";
    socket.setEncoding("latin1");
    let isWaiting = more !== undefined;
    socket.on("data", (part: string) => {
      text += part;
      if (!isWaiting || !text.includes(more?.after ?? "")) return;
      isWaiting = false;
      socket.write(more?.bytes ?? "");
    });
    // A server that refuses may reset what it has not read.
    socket.on("error", (error: NodeJS.ErrnoException) => {
      if (error.code !== "ECONNRESET" && error.code !== "EPIPE") reject(error);
    });
    socket.on("close", () => resolve(text));
    socket.write(bytes);
  });
}

/** A request written out; it asks for the connection to be closed. */
export function rawRequest(
  line: string,
  headers: readonly string[] = ["Host: localhost"],
  body = "",
): string {
  return [`${line} HTTP/1.1`, ...headers, "Connection: close", "", body].join("\r\n");
}

export function statusOf(answer: string): number {
  return Number(/^HTTP\/1\.1 (\d{3})/.exec(answer)?.[1] ?? 0);
}
