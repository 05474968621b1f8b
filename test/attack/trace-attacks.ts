import type { Attack } from "./attacks.js";
import * as bodies from "./bodies.js";
import { atOnce, get, leftEarly, openSocket, pause, post, refusals } from "./requests.js";
import { keys, type Target } from "./target.js";

/** What is kept of answers, and who may make it large. */

/** @returns the id of an answer whose trace has a record of this many tokens. */
async function traced(target: Target, numTokens: number, key = keys.attacker): Promise<string> {
  const { status, text } = await post(
    target,
    "/v1/completions",
    bodies.object({
      model: '"long"',
      prompt: '"Where"',
      max_tokens: String(numTokens),
      logit_bias: '{"0":-100,"1":-100,"2":-100,"3":-100}',
      fusion: '{"trace":"full"}',
    }),
    { key },
  );
  const id = /"id":"([^"]+)"/.exec(text)?.[1];
  if (status !== 200 || id === undefined)
    throw new Error(`no trace was made: ${status} ${text.slice(0, 300)}`);
  return id;
}

function read(target: Target, path: string) {
  const socket = openSocket(target);
  socket.pause();
  socket.write(`GET ${path} HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer ${keys.attacker}\r\n\r\n`);
  return socket;
}

const unread = (form: string): Attack => ({
  kind: "traces",
  name: `60 readers of a long trace (${form || "JSON"}) who never read`,
  send: async (target) => {
    const id = await traced(target, 1500);
    const sockets = Array.from({ length: 60 }, () => read(target, `/v1/fusion/traces/${id}${form}`));
    await pause(6000);
    for (const socket of sockets) socket.destroy();
    return [];
  },
});

export const traceAttacks: Attack[] = [
  unread(""),
  unread("?format=csv"),
  unread("/events"),
  {
    kind: "traces",
    name: "one key's traces do not drop another's",
    allowed: [200, leftEarly, ...refusals],
    send: async (target) => {
      const id = await traced(target, 5, keys.other);
      const body = bodies.object({
        model: '"recall"',
        prompt: `[${bodies.mapped(32, (index) => `"Where does ${index} live?"`)}]`,
        max_tokens: "480",
        logit_bias: '{"0":-100,"1":-100,"2":-100,"3":-100}',
        fusion: '{"trace":"full"}',
      });
      // Small answers each, so that no bound on one answer hides what all of them together keep.
      const replies = await atOnce(4, () => post(target, "/v1/completions", body, { hangUpMs: 15_000 }));
      const { status } = await get(target, `/v1/fusion/traces/${id}`, { key: keys.other });
      if (status !== 200) throw new Error(`another key's trace is gone: ${status}`);
      return replies;
    },
  },
];
