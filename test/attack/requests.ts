import { Agent, request } from "node:http";
import { connect, type Socket } from "node:net";
import { keys, type Target } from "./target.js";

/** The attacker's ways to reach a server. */

export interface Reply {
  /** 0: the server cut the connection, or did not answer in time; 499: the attacker hung up. */
  status: number;
  /** How the answer begins. */
  text: string;
}

/** Codes of answers that say what is wrong, or that there is too much of it. */
export const refusals = [400, 404, 408, 413, 414, 422, 429, 431];
export const leftEarly = 499;

export interface AskOptions {
  key?: string;
  /** Hang up after so many ms. */
  hangUpMs?: number;
  /** Longest wait for the end of the answer. */
  patienceMs?: number;
  /** Keep all of the answer's text. */
  whole?: boolean;
}

const keptText = 4000;

/** Posts to the target, and reads the answer to its end. */
export function post(
  target: Target,
  path: string,
  body: string | Buffer,
  options: AskOptions = {},
): Promise<Reply> {
  return ask(target, path, options, body);
}

export function get(target: Target, path: string, options: AskOptions = {}): Promise<Reply> {
  return ask(target, path, options, null);
}

function ask(
  target: Target,
  path: string,
  options: AskOptions,
  body: string | Buffer | null,
): Promise<Reply> {
  const { key = keys.attacker, hangUpMs, patienceMs = 150_000, whole = false } = options;
  const headers = {
    Authorization: `Bearer ${key}`,
    ...(body !== null && {
      "Content-Type": "application/json",
      "Content-Length": Buffer.byteLength(body),
    }),
  };
  const method = body === null ? "GET" : "POST";
  return new Promise((resolve) => {
    const reply: Reply = { status: 0, text: "" };
    let hasLeft = false;
    const agent = new Agent({ keepAlive: false });
    const sent = request(target.url + path, { method, agent, headers }, (response) => {
      response.setEncoding("utf8").on("data", (part: string) => {
        if (whole || reply.text.length < keptText) reply.text += whole ? part : part.slice(0, keptText);
      });
      response.once("close", () => {
        if (response.complete) reply.status = response.statusCode ?? 0;
      });
    });
    const timer = setTimeout(() => {
      hasLeft = hangUpMs !== undefined;
      sent.destroy();
    }, hangUpMs ?? patienceMs);
    sent.on("error", (error) => (reply.text += String(error)));
    sent.once("close", () => {
      clearTimeout(timer);
      resolve(hasLeft ? { ...reply, status: leftEarly } : reply);
    });
    sent.end(body ?? undefined);
  });
}

/** The same at the same time, `count` of them. */
export function atOnce<T>(count: number, task: (index: number) => Promise<T>): Promise<T[]> {
  return Promise.all(Array.from({ length: count }, (_, index) => task(index)));
}

/** A connection without a request; errors are the server's right. */
export function openSocket(target: Target, localAddress?: string): Socket {
  const { hostname, port } = new URL(target.url);
  const socket = connect({
    host: hostname,
    port: Number(port),
    // A peer that does not close when the server does.
    allowHalfOpen: true,
    ...(localAddress && { localAddress }),
  });
  socket.on("error", () => undefined);
  return socket;
}

export function closed(socket: Socket): Promise<void> {
  return new Promise((resolve) => {
    if (socket.closed) resolve();
    else socket.once("close", () => resolve());
  });
}

export const pause = (ms: number): Promise<void> => new Promise((resolve) => setTimeout(resolve, ms));
