// A neighbour of the attacker, in a process of its own, so that the attacker's own load does not delay it: asks
// /livez and a small chat again and again, from another key and another address, and keeps how long each waited.
import { Agent, request } from "node:http";

// The whole of 127/8 is this machine: limits that count by address shall see two.
const localAddress = "127.0.0.2";
/** Longer waits are failures. */
const patienceMs = 45_000;

/** @returns how it went, and when the first text of a stream was there. */
function ask({ url, path, key, body }) {
  const { hostname, port } = new URL(url);
  const headers = { Authorization: `Bearer ${key}`, "Content-Type": "application/json" };
  const startMs = performance.now();
  let firstMs = null;
  return new Promise((resolve) => {
    const settle = (outcome) => resolve({ outcome, firstMs });
    // A connection of its own each time: who is new must come in as well.
    const agent = new Agent({ keepAlive: false });
    const method = body === undefined ? "GET" : "POST";
    const sent = request({ hostname, port, path, method, headers, agent, localAddress }, (response) => {
      let text = "";
      response.setEncoding("utf8").on("data", (part) => {
        text += part;
        if (firstMs === null && text.includes('"content":"')) firstMs = performance.now() - startMs;
      });
      response.once("close", () => {
        if (!response.complete) settle("cut");
        else if (response.statusCode !== 200) settle(String(response.statusCode));
        else if (body === undefined || text.endsWith("data: [DONE]\n\n")) settle("200");
        else settle(`200, ending ${text.slice(-200)}`);
      });
    });
    const patience = setTimeout(() => sent.destroy(new Error("no answer")), patienceMs);
    sent.once("close", () => clearTimeout(patience));
    sent.on("error", (error) => settle(error.code ?? error.message));
    sent.end(body);
  });
}

/** Asks the same thing every so many ms, one after the other, as long as the parent lives. */
class Probe {
  #waits = [];
  #firsts = [];
  #failures = {};
  #numStarted = 0;
  #onDone = () => undefined;
  #endPause = () => undefined;

  constructor(everyMs, asked) {
    void this.#run(everyMs, asked);
  }

  async #run(everyMs, asked) {
    for (;;) {
      this.#numStarted++;
      const startMs = performance.now();
      const { outcome, firstMs } = await ask(asked);
      const waitMs = performance.now() - startMs;
      this.#waits.push(waitMs);
      if (firstMs !== null) this.#firsts.push(firstMs);
      if (outcome !== "200") this.#failures[outcome] = (this.#failures[outcome] ?? 0) + 1;
      this.#onDone();
      await new Promise((resolve) => {
        const timer = setTimeout(resolve, Math.max(0, everyMs - waitMs));
        this.#endPause = () => {
          clearTimeout(timer);
          resolve();
        };
      });
    }
  }

  /** What was seen since the last time, once a question that is asked after this call, at once, is answered as well. */
  async take() {
    const from = this.#numStarted + 1;
    await new Promise((resolve) => {
      this.#onDone = () => {
        if (this.#numStarted >= from) resolve();
      };
      this.#endPause();
    });
    const taken = { waits: this.#waits, firsts: this.#firsts, failures: this.#failures };
    this.#waits = [];
    this.#firsts = [];
    this.#failures = {};
    return taken;
  }
}

process.once("message", ({ url, key, model, livezEveryMs, chatEveryMs }) => {
  const chat = {
    model,
    messages: [{ role: "user", content: "hi" }],
    max_tokens: 4,
    stream: true,
    fusion: { trace: "off" },
  };
  const livez = new Probe(livezEveryMs, { url, key, path: "/livez" });
  const chats = new Probe(chatEveryMs, {
    url,
    key,
    path: "/v1/chat/completions",
    body: JSON.stringify(chat),
  });
  process.on("message", async () => {
    const [livezSeen, chatSeen] = await Promise.all([livez.take(), chats.take()]);
    process.send({ livez: livezSeen, chat: chatSeen });
  });
});
process.once("disconnect", () => process.exit());
