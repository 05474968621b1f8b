import { describe, expect, it } from "vitest";
import type { Credit } from "../../src/wire/feedback.js";
import { accepted, answering, deltaOf, doneAfter, Gate, tokenOf } from "../support/fake-engine.js";
import type { GenerationEvent, GenerationRequest } from "../../src/protocol/protocol.js";
import { connect } from "../support/socket.js";
import { readEvents, startTestServer, type TestServer } from "../support/server.js";

const chat = { model: "both", temperature: 1, messages: [{ role: "user", content: "hi" }] };

/** A token as it is where a model is so sure. */
function surely(text: string, logprob: number, index = 0): GenerationEvent {
  const token = tokenOf(text, index);
  return { type: "delta", text, tokens: [{ ...token, record: { ...token.record, logprob } }] };
}

const json = async <Body>(response: Promise<Response>) => (await (await response).json()) as Body;

interface Answer {
  id: string;
  choices: { message: { content: string }; fusion?: { predicted?: number; picked?: object } }[];
  usage: { completion_tokens: number; prompt_tokens: number };
}

const askFor = (server: TestServer, fields: object = {}) =>
  json<Answer>(server.post("/v1/chat/completions", { ...chat, ...fields }));

/** Answers, every other of which is unsure at its second token, and rated as bad. */
async function rateMany(server: TestServer, count: number): Promise<string[]> {
  const ids: string[] = [];
  for (let index = 0; index < count; index++) {
    const isGood = index % 2 === 0;
    server.engine.script = () => [
      accepted,
      surely("I", -0.1 - (index % 3) / 50),
      surely(" know", isGood ? -0.05 : -2 - (index % 5) / 10, 1),
      doneAfter(2),
    ];
    const { id } = await askFor(server);
    await server.post("/v1/fusion/feedback", { trace: id, rating: isGood ? "up" : "down" });
    ids.push(id);
  }
  return ids;
}

const creditOf = (server: TestServer, trace: string) =>
  json<Credit>(server.post("/v1/fusion/credit", { trace }));

describe("credit", () => {
  it("is likelihood's without ratings, and sums to ln of the prediction", async () => {
    const server = await startTestServer();
    const { id, choices } = await askFor(server);
    expect(choices[0]).not.toHaveProperty("fusion");
    const credit = await creditOf(server, id);
    expect(credit).toMatchObject({ head: "likelihood", ratings: 0, concordance: null, weights: null });
    const sum = credit.tokens.reduce((total, token) => total + token.credit, 0);
    expect(Math.exp(sum)).toBeCloseTo(credit.predicted, 5);
    expect(credit.tokens.map(({ index }) => index)).toEqual([0, 1, 2]);
  });

  it("marks the token that raters mark answers down for, and predicts ratings of new answers", async () => {
    const server = await startTestServer();
    const ids = await rateMany(server, 44);
    const credit = await creditOf(server, ids[1]!);
    // It is fitted anew when a tenth has changed.
    expect(credit.ratings).toBeGreaterThanOrEqual(40);
    expect(credit.concordance).toBe(1);
    const [, worst] = credit.tokens;
    expect(Math.min(...credit.tokens.map((token) => token.credit))).toBe(worst!.credit);
    const answers: Answer[] = [];
    for (const surprise of [0.05, 2]) {
      server.engine.script = () => [accepted, surely("I", -0.1), surely(" know", -surprise, 1), doneAfter(2)];
      answers.push(await askFor(server));
    }
    const [good, bad] = answers.map(({ choices }) => choices[0]!.fusion!.predicted!);
    expect(good).toBeGreaterThan(bad!);
  });

  it("is as if ratings that were taken back had never been given", async () => {
    const server = await startTestServer();
    const ids = await rateMany(server, 42);
    const before = await creditOf(server, ids[0]!);
    const [last, ...others] = ids.reverse();
    await fetch(`${server.url}/v1/fusion/feedback/${last}`, { method: "DELETE" });
    expect(await creditOf(server, last!)).toMatchObject({ ratings: 41 });
    expect(before.ratings).toBeGreaterThan(35);
    for (const id of others) await fetch(`${server.url}/v1/fusion/feedback/${id}`, { method: "DELETE" });
    expect(await creditOf(server, ids[0]!)).toMatchObject({
      head: "likelihood",
      ratings: 0,
      concordance: null,
    });
  });

  it("is refused for what nobody here was answered", async () => {
    const server = await startTestServer();
    expect((await server.post("/v1/fusion/credit", { trace: "chatcmpl-no" })).status).toBe(404);
  });
});

/** Each candidate is as sure of its one token as its seed says. */
function bySeed(request: GenerationRequest): GenerationEvent[] {
  const place = (request.seed ?? 0) - 10;
  return [accepted, surely(`answer ${place}`, [-3, -0.5, -2, -1][place] ?? -9), doneAfter(1)];
}

describe("pick", () => {
  const pick = { of: 4, by: "likelihood" };
  const body = { ...chat, seed: 10, fusion: { pick, keep_trace: "weights" } };

  it("gives the best of several under the answer's id, and counts all", async () => {
    const server = await startTestServer();
    server.engine.script = bySeed;
    const answer = await json<Answer>(server.post("/v1/chat/completions", body));
    expect(answer.choices).toMatchObject([
      { message: { content: "answer 1" }, fusion: { picked: { of: 4, head: "likelihood" } } },
    ]);
    const one = await askFor(server, { seed: 11 });
    expect(answer.usage.completion_tokens).toBe(4 * one.usage.completion_tokens);
    expect(answer.usage.prompt_tokens).toBe(one.usage.prompt_tokens);
    const traces = await json<{ data: { id: string }[] }>(fetch(`${server.url}/v1/fusion/traces`));
    const ends = traces.data.map(({ id }) => id.replace(answer.id, "")).sort();
    expect(ends).toEqual(["", "-1", "-3", "-4"]);
    const trace = await json<{ id: string; tokens: { token: { text: string } }[] }>(
      fetch(`${server.url}/v1/fusion/traces/${answer.id}`),
    );
    expect(trace).toMatchObject({ id: answer.id, tokens: [{ token: { text: "answer 1" } }, {}] });
    expect((await server.post("/v1/fusion/feedback", { trace: answer.id, rating: "up" })).status).toBe(201);
  });

  it("is the same streamed, as a response, as a message, as best_of, and over a WebSocket", async () => {
    const server = await startTestServer();
    server.engine.script = bySeed;
    const chunks = await readEvents(await server.post("/v1/chat/completions", { ...body, stream: true }));
    const text = chunks
      .map(
        (chunk) =>
          (chunk as { choices?: { delta: { content?: string } }[] }).choices?.[0]?.delta.content ?? "",
      )
      .join("");
    expect(text).toBe("answer 1");
    const best = server.post("/v1/completions", {
      model: "both",
      prompt: "hi",
      temperature: 1,
      seed: 10,
      best_of: 4,
    });
    expect(await json(best)).toMatchObject({ choices: [{ text: "answer 1" }] });
    const socket = await connect(server.url);
    socket.send({ type: "response.create", response: body });
    expect((await socket.until("response.done")).response).toMatchObject({
      output_text: "answer 1",
      choices: [{ fusion: { picked: { of: 4 } } }],
    });
    for (const [path, asked] of [
      ["/v1/responses", { model: "both", input: "hi", temperature: 1 }],
      ["/v1/messages", { model: "both", max_tokens: 9, temperature: 1, messages: chat.messages }],
    ] as const) {
      const numBefore = server.engine.submitted.length;
      const answer = await json(server.post(path, { ...asked, fusion: { pick } }));
      expect(answer).toMatchObject({ fusion: { picked: { of: 4, head: "likelihood" } } });
      expect(server.engine.submitted.length).toBe(numBefore + 4);
    }
  });

  it("of one, or without chance, is no pick; with n it is refused", async () => {
    const server = await startTestServer();
    server.engine.script = () => answering("Hello");
    for (const fields of [{ fusion: { pick: { of: 1 } } }, { temperature: 0, fusion: { pick: { of: 5 } } }]) {
      const answer = await askFor(server, fields);
      expect(answer.choices[0]).not.toHaveProperty("fusion");
    }
    expect(server.engine.submitted).toHaveLength(2);
    const refused = await server.post("/v1/chat/completions", { ...body, n: 2 });
    expect(await refused.json()).toMatchObject({ error: { param: "fusion.pick" } });
  });

  it("by predicted ratings goes by the head that ratings chose", async () => {
    const server = await startTestServer();
    await rateMany(server, 44);
    server.engine.script = (request) => {
      const surprise = [2.2, 0.05, 2.4][(request.seed ?? 0) - 10] ?? 2;
      return [accepted, surely("I", -0.1), surely(` ${surprise}`, -surprise, 1), doneAfter(2)];
    };
    const answer = await askFor(server, { seed: 10, fusion: { pick: { of: 3 } } });
    expect(answer.choices[0]!.message.content).toBe("I 0.05");
    const { head } = await creditOf(server, answer.id);
    expect(answer.choices[0]!.fusion).toMatchObject({ picked: { of: 3, head } });
  });

  it("ends all when the client leaves", async () => {
    const server = await startTestServer();
    const gate = new Gate();
    server.engine.script = () => [accepted, deltaOf("so"), gate, doneAfter(1)];
    const leave = new AbortController();
    const asked = server.post("/v1/chat/completions", body, { signal: leave.signal }).catch(() => null);
    await server.engine.untilSubmitted(4);
    leave.abort();
    await asked;
    await server.engine.untilCancelled(4);
  });
});
