import { WebSocket } from "ws";
import type { Attack } from "./attacks.js";
import { atOnce, openSocket, pause, post, type Reply } from "./requests.js";
import * as bodies from "./bodies.js";
import { keys, type Target } from "./target.js";

/** Attacks below and beside HTTP: connections that stay, upgrades, pipelines, frames. */

const authorized = (key: string) => `Authorization: Bearer ${key}`;
const upgrade = (headers: readonly string[] = []) =>
  [
    ...["GET /v1/stream HTTP/1.1", "Host: localhost", "Connection: Upgrade", "Upgrade: websocket"],
    ...["Sec-WebSocket-Version: 13", "Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==", ...headers, "", ""],
  ].join("\r\n");

/** What a client may say and then be silent. */
const silences: Record<string, string> = {
  nothing: "",
  "half a request line": "GET /liv",
  "half of its headers": "GET /livez HTTP/1.1\r\nHost: localhost\r\nX-A: ",
  "half of a body": `POST /v1/chat/completions HTTP/1.1\r\nHost: localhost\r\n${authorized(keys.attacker)}\r\nContent-Type: application/json\r\nContent-Length: 1000\r\n\r\n{`,
  "no HTTP": "\u0016\u0003\u0001\u0002\u0000\u0001",
  "an upgrade without a key": upgrade(),
  "an upgrade of another site": upgrade([authorized(keys.attacker), "Origin: https://evil.example"]),
  "an upgrade to h2c": "GET / HTTP/1.1\r\nHost: localhost\r\nConnection: Upgrade\r\nUpgrade: h2c\r\n\r\n",
  "a request without a key":
    "POST /v1/chat/completions HTTP/1.1\r\nHost: localhost\r\nContent-Length: 5\r\n\r\n",
  "headers too large": `GET / HTTP/1.1\r\nX-A: ${"a".repeat(20_000)}\r\n\r\n`,
};

/** Holds sockets open whatever the server says, for so long. */
async function hold(
  target: Target,
  count: number,
  options: { text?: string; addresses?: number; ms: number },
) {
  const { text = "", addresses = 1, ms } = options;
  const sockets = Array.from({ length: count }, (_, index) => {
    const socket = openSocket(target, `127.0.1.${1 + (index % addresses)}`);
    if (text !== "") socket.once("connect", () => socket.write(text, "latin1"));
    return socket;
  });
  await pause(ms);
  for (const socket of sockets) socket.destroy();
}

const silent = (count: number, addresses: number): Attack => ({
  kind: "sockets",
  name: `${count} silent connections from ${addresses} address${addresses > 1 ? "es" : ""}`,
  send: async (target) => {
    await hold(target, count, { addresses, ms: 6000 });
    return [];
  },
});

/** After 15 s of silence a request is late; connections are looked through every 5 s. */
const lateMs = 26_000;

const stays: Attack = {
  kind: "sockets",
  name: "refused and late connections whose peer never closes are not kept",
  send: async (target) => {
    const [before = 0] = target.numDescriptors();
    const sockets = Object.entries(silences).flatMap(([, text]) =>
      Array.from({ length: 10 }, () => {
        const socket = openSocket(target);
        socket.once("connect", () => socket.write(text, "latin1"));
        return socket;
      }),
    );
    // Half of a body may take up to the time of a whole request; who asked for h2c has been answered, and may ask again.
    const mayStay = 20;
    const startMs = performance.now();
    let open = Infinity;
    while (open > before + mayStay + 4 && performance.now() - startMs < lateMs) {
      await pause(250);
      open = target.numDescriptors()[0] ?? 0;
    }
    for (const socket of sockets) socket.destroy();
    if (open > before + mayStay + 4)
      throw new Error(
        `of 100 refused or late connections ${open - before} are still held after ${lateMs} ms`,
      );
    return [];
  },
};

/** WebSockets as somebody opens them; those that were refused are not among them. */
async function openWebSockets(target: Target, count: number, key: string, localAddress = "127.0.0.1") {
  const opened = await atOnce(count, () => {
    const socket = new WebSocket(`${target.url.replace("http", "ws")}/v1/stream`, {
      headers: { Authorization: `Bearer ${key}` },
      localAddress,
    });
    socket.on("error", () => undefined);
    return new Promise<WebSocket | null>((resolve) => {
      socket.once("open", () => resolve(socket));
      socket.once("close", () => resolve(null));
    });
  });
  return opened.filter((socket) => socket !== null);
}

const webSockets: Attack[] = [
  {
    kind: "sockets",
    name: "2,000 WebSockets of one key leave room for another's",
    send: async (target) => {
      const mine = await openWebSockets(target, 2000, keys.attacker);
      const others = await openWebSockets(target, 5, keys.other, "127.0.0.3");
      for (const socket of [...mine, ...others]) socket.terminate();
      if (others.length < 5) throw new Error(`another key got ${others.length} of 5 WebSockets`);
      return [];
    },
  },
  ...[1960, 100_000].map((depth): Attack => ({
    kind: "json",
    name: `a WebSocket's frame with a tool's default ${depth} deep`,
    send: (target) =>
      sendFrame(
        target,
        bodies.chat({
          tools: bodies.toolWith(`{"type":"object","default":${bodies.nested(depth, "object")}}`),
        }),
      ),
  })),
  {
    kind: "lists",
    name: "a WebSocket's frame with 1 MB of empty messages",
    send: (target) => sendFrame(target, bodies.chat({ messages: bodies.listOf("{}", 900_000) })),
  },
];

/** @returns what came back, as a reply: 400 for an error, 0 for a closed socket. */
async function sendFrame(target: Target, response: string): Promise<Reply[]> {
  const [socket] = await openWebSockets(target, 1, keys.attacker);
  if (!socket) return [{ status: 0, text: "the WebSocket was refused" }];
  const answered = new Promise<Reply>((resolve) => {
    const timer = setTimeout(() => resolve({ status: 0, text: "no frame came back" }), 60_000);
    socket.on("message", (data) => {
      const text = (data as Buffer).toString().slice(0, 2000);
      if (!/^\{"type":"(error|response\.done)"/.test(text)) return;
      clearTimeout(timer);
      resolve({ status: /"type":"server_error"|engine_died/.test(text) ? 500 : 400, text });
    });
    socket.once("close", (code) => resolve({ status: code === 1009 ? 413 : 0, text: `closed with ${code}` }));
  });
  socket.send(`{"type":"response.create","response":${response}}`);
  const reply = await answered;
  socket.terminate();
  return [reply];
}

const slowChat = (tokens: number, stream = false) => {
  const bias = '{"0":-100,"1":-100,"2":-100,"3":-100}';
  const body = bodies.chat({ max_tokens: String(tokens), logit_bias: bias, stream: String(stream) });
  return [
    ...["POST /v1/chat/completions HTTP/1.1", "Host: localhost", authorized(keys.attacker)],
    ...["Content-Type: application/json", `Content-Length: ${Buffer.byteLength(body)}`, "", body],
  ].join("\r\n");
};

/** Sends bytes on one connection and gives back what came until it was enough or closed, or until so many ms of silence. */
function exchange(
  target: Target,
  bytes: string,
  silentMs: number,
  isEnough: (text: string) => boolean = () => false,
): Promise<string> {
  const socket = openSocket(target);
  let text = "";
  return new Promise((resolve) => {
    socket.setEncoding("latin1").on("data", (part: string) => {
      text += part;
      if (isEnough(text)) socket.destroy();
    });
    socket.setTimeout(silentMs, () => socket.destroy());
    socket.once("end", () => socket.destroy());
    socket.once("close", () => resolve(text));
    socket.write(bytes);
  });
}

/** What came after the first answer, which has a length or is chunked; `""` as long as that is not whole. */
function afterFirst(text: string): string {
  const start = text.indexOf("\r\n\r\n") + 4;
  if (start < 4) return "";
  const length = /content-length: (\d+)/i.exec(text.slice(0, start))?.[1];
  if (length !== undefined) return text.slice(start + Number(length));
  const lastChunk = "\r\n0\r\n\r\n";
  const last = text.indexOf(lastChunk, start);
  return last < 0 ? "" : text.slice(last + lastChunk.length);
}

/** What comes first on a connection is the answer to what was asked first. */
const behind = (name: string, second: string, isStream: boolean): Attack => ({
  kind: "pipelining",
  name: `${name} behind ${isStream ? "a streamed" : "a whole"} answer`,
  send: async (target) => {
    const asked = slowChat(200, isStream) + second;
    const texts = await atOnce(3, () => exchange(target, asked, 8000, (text) => afterFirst(text) !== ""));
    for (const text of texts) {
      const first = /^HTTP\/1\.1 (\d{3})/.exec(text)?.[1];
      // An answer may be cut when its client asks for something impossible; it may not be replaced.
      if (text !== "" && first !== "200") throw new Error(`the first answer was ${text.slice(0, 200)}`);
      const length = Number(/content-length: (\d+)/i.exec(text)?.[1] ?? 0);
      const body = text.slice(text.indexOf("\r\n\r\n") + 4, text.indexOf("\r\n\r\n") + 4 + length);
      if (!isStream && text !== "" && !body.includes('"finish_reason"'))
        throw new Error(`the first answer was not whole: ${text.slice(0, 300)}`);
    }
    return [];
  },
});

const pipelining: Attack[] = [
  ...[false, true].flatMap((isStream) => [
    behind("an upgrade", upgrade([authorized(keys.attacker)]), isStream),
    behind("a refused upgrade", upgrade(), isStream),
    behind("an upgrade to h2c", silences["an upgrade to h2c"]!, isStream),
  ]),
  {
    kind: "pipelining",
    name: "2,000 requests on one connection, and an upgrade to h2c at their end",
    send: async (target) => {
      const requests = "GET /livez HTTP/1.1\r\nHost: localhost\r\n\r\n".repeat(2000);
      const asked = requests + silences["an upgrade to h2c"]!;
      // Until what asked for the upgrade is answered as well, whichever way.
      const text = await exchange(target, asked, 8000, (so) => so.split("HTTP/1.1 ").length > 2001);
      const numAnswers = text.split("HTTP/1.1 200").length - 1;
      if (numAnswers < 2000) throw new Error(`${numAnswers} of 2000 were answered`);
      return [];
    },
  },
  {
    kind: "pipelining",
    name: "an answer behind another one may be silent for more than 30 s",
    isLong: true,
    send: async (target) => {
      // Those who wait for a sequence are silent: two full turns of all sequences of `long` stand before.
      const body = bodies.object({
        model: '"long"',
        prompt: '"Once"',
        max_tokens: "8000",
        logit_bias: '{"0":-100,"1":-100,"2":-100,"3":-100}',
        fusion: '{"trace":"off"}',
      });
      const others = atOnce(6, () => post(target, "/v1/completions", body, { hangUpMs: 45_000 }));
      await pause(500);
      const asked = body.replace("8000", "1");
      const text = await exchange(
        target,
        "GET /livez HTTP/1.1\r\nHost: localhost\r\n\r\n" +
          `POST /v1/completions HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n${authorized(keys.attacker)}\r\n` +
          `Content-Type: application/json\r\nContent-Length: ${Buffer.byteLength(asked)}\r\n\r\n${asked}`,
        70_000,
      );
      await others;
      if (text.split("HTTP/1.1 200").length !== 3)
        throw new Error(`the second answer was lost: ${text.slice(-300)}`);
      return [];
    },
  },
];

const slow: Attack[] = [
  {
    kind: "sockets",
    name: "300 readers of streams who never read",
    send: async (target) => {
      const sockets = Array.from({ length: 300 }, () => {
        const socket = openSocket(target);
        socket.pause();
        socket.write(slowChat(400, true));
        return socket;
      });
      await pause(5000);
      for (const socket of sockets) socket.destroy();
      return [];
    },
  },
  {
    kind: "sockets",
    name: "1,000 connections that come and go for 3 s",
    send: async (target) => {
      const until = performance.now() + 3000;
      while (performance.now() < until) await hold(target, 250, { text: silences["no HTTP"]!, ms: 100 });
      return [];
    },
  },
];

export const connectionAttacks: Attack[] = [
  silent(4200, 1),
  silent(4200, 70),
  { ...silent(10_000, 250), isLong: true },
  stays,
  ...slow,
  ...webSockets,
  ...pipelining,
];
