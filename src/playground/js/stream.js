import { apiKey } from "./api.js";

/** The one WebSocket of the page; it opens when needed, and again after it was lost. */

/** Response id to its listener and the two ends of its promise. */
const running = new Map();
let opening = null;
let numResponses = 0;

/**
 * Starts a response. `onTokens` gets each piece of text with the records of its tokens, `onCreated` the id of
 * its trace. `done` resolves with the server's last word on it, and rejects when there was none.
 */
export function respond(body, { onTokens, onCreated = () => undefined }) {
  const id = `r${++numResponses}`;
  const done = new Promise((resolve, reject) => running.set(id, { onTokens, onCreated, resolve, reject }));
  open().then(
    (socket) => send(socket, { type: "response.create", event_id: id, response: { id, ...body } }),
    (error) => finish(id, "reject", error),
  );
  const cancel = async () => {
    const socket = await opening?.catch(() => null);
    if (socket && running.has(id)) send(socket, { type: "response.cancel", response_id: id });
  };
  return { done, cancel };
}

const send = (socket, frame) => socket.send(JSON.stringify(frame));

function finish(id, outcome, value) {
  const response = running.get(id);
  running.delete(id);
  response?.[outcome](value);
}

function open() {
  opening ??= new Promise((resolve, reject) => {
    const url = new URL("v1/stream", document.baseURI);
    url.protocol = url.protocol.replace("http", "ws");
    const key = apiKey();
    // A browser cannot set headers here: a key travels as OpenAI's Realtime API has it.
    const socket = new WebSocket(url, key ? ["realtime", `openai-insecure-api-key.${key}`] : []);
    socket.addEventListener("message", ({ data }) => {
      const frame = JSON.parse(data);
      if (frame.type === "session.created") resolve(socket);
      else receive(frame);
    });
    socket.addEventListener("close", () => {
      opening = null;
      const error = new Error("The connection to the server was lost. Is it still running?");
      reject(error);
      for (const id of running.keys()) finish(id, "reject", error);
    });
  });
  return opening;
}

function receive(frame) {
  switch (frame.type) {
    case "response.created":
      running.get(frame.response.id)?.onCreated(frame.response.trace_id);
      return;
    case "response.output_text.delta":
      running.get(frame.response_id)?.onTokens(frame.delta, frame.tokens);
      return;
    case "response.done":
      finish(frame.response.id, "resolve", frame.response);
      return;
    case "error":
      finish(frame.error.event_id, "reject", new Error(frame.error.message));
  }
}
