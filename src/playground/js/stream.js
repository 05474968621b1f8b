// @ts-check
import { apiKey } from "./api.js";

/**
 * @typedef {import("../../wire/frames.js").ServerFrame} ServerFrame
 * @typedef {import("../../wire/frames.js").EndedResponse} EndedResponse
 * @typedef {import("../../wire/token-record.js").TokenRecord} TokenRecord
 * @typedef {import("../../wire/debate.js").DebateAnswer} DebateAnswer
 * @typedef {Extract<ServerFrame, { type: `debate.${string}` }>} DebateFrame
 * @typedef {object} Listener
 * @property {(text: string, tokens: TokenRecord[]) => void} onTokens
 * @property {(traceId: string) => void} onCreated
 */

/** The one WebSocket of the page; it opens when needed, and again after it was lost. */

/**
 * Response id to its listener and the two ends of its promise.
 *
 * @type {Map<string, Listener & { resolve: (response: EndedResponse) => void; reject: (error: Error) => void }>}
 */
const running = new Map();
/**
 * The same of debates.
 *
 * @type {Map<string, { onFrame: (frame: DebateFrame) => void; resolve: (debate: DebateAnswer | null) => void; reject: (error: Error) => void }>}
 */
const debating = new Map();
/** @type {Promise<WebSocket> | null} */
let opening = null;
let numResponses = 0;

/**
 * Starts a response. `onTokens` gets each piece of text with the records of its tokens, `onCreated` the id of
 * its trace. `done` resolves with the server's last word on it, and rejects when there was none.
 *
 * @param {Record<string, unknown>} body
 * @param {Listener} listener
 */
export function respond(body, { onTokens, onCreated }) {
  const id = `r${++numResponses}`;
  /** @type {Promise<EndedResponse>} */
  const done = new Promise((resolve, reject) => running.set(id, { onTokens, onCreated, resolve, reject }));
  open().then(
    (socket) => send(socket, { type: "response.create", event_id: id, response: { id, ...body } }),
    (error) => fail(id, error),
  );
  const cancel = async () => {
    const socket = await opening?.catch(() => null);
    if (socket && running.has(id)) send(socket, { type: "response.cancel", response_id: id });
  };
  return { done, cancel };
}

/**
 * Holds a debate. `onFrame` gets what is told of it. `done` resolves with its answer, or null where it was cancelled.
 *
 * @param {Record<string, unknown>} body
 * @param {(frame: DebateFrame) => void} onFrame
 */
export function holdDebate(body, onFrame) {
  const id = `d${++numResponses}`;
  /** @type {Promise<DebateAnswer | null>} */
  const done = new Promise((resolve, reject) => debating.set(id, { onFrame, resolve, reject }));
  open().then(
    (socket) => send(socket, { type: "verdict.create", event_id: id, verdict: { id, ...body } }),
    (error) => fail(id, error),
  );
  const cancel = async () => {
    const socket = await opening?.catch(() => null);
    if (socket && debating.has(id)) send(socket, { type: "response.cancel", response_id: id });
  };
  return { done, cancel };
}

/** @param {WebSocket} socket @param {import("../../wire/frames.js").ClientFrame} frame */
const send = (socket, frame) => socket.send(JSON.stringify(frame));

/** @param {string} id @param {Error} error */
function fail(id, error) {
  running.get(id)?.reject(error);
  running.delete(id);
  debating.get(id)?.reject(error);
  debating.delete(id);
}

function open() {
  opening ??= new Promise((resolve, reject) => {
    const url = new URL("v1/stream", document.baseURI);
    url.protocol = url.protocol.replace("http", "ws");
    const key = apiKey();
    // A browser cannot set headers here: a key travels as OpenAI's Realtime API has it.
    const socket = new WebSocket(url, key ? ["realtime", `openai-insecure-api-key.${key}`] : []);
    socket.addEventListener("message", ({ data }) => {
      /** @type {ServerFrame} */
      const frame = JSON.parse(data);
      if (frame.type === "session.created") resolve(socket);
      else receive(frame);
    });
    socket.addEventListener("close", () => {
      opening = null;
      const error = new Error("The connection to the server was lost. Is it still running?");
      reject(error);
      for (const id of [...running.keys(), ...debating.keys()]) fail(id, error);
    });
  });
  return opening;
}

/** @param {ServerFrame} frame */
function receive(frame) {
  switch (frame.type) {
    case "response.created":
      running.get(frame.response.id)?.onCreated(frame.response.trace_id);
      return;
    case "response.output_text.delta":
      running.get(frame.response_id)?.onTokens(frame.delta, frame.tokens);
      return;
    case "response.done":
      running.get(frame.response.id)?.resolve(frame.response);
      running.delete(frame.response.id);
      return;
    case "debate.argument.delta":
    case "debate.argument.done":
    case "debate.verdict.delta":
      debating.get(frame.response_id)?.onFrame(frame);
      return;
    case "debate.done": {
      const { response_id: id, status, debate, error } = frame;
      if (status === "failed") fail(id, new Error(error?.message ?? "The debate failed."));
      else debating.get(id)?.resolve(debate ?? null);
      debating.delete(id);
      return;
    }
    case "error":
      fail(frame.error.event_id ?? "", new Error(frame.error.message));
  }
}
