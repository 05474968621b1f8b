import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { startTestServer, readEvents } from "../support/server.js";
import { answering, FakeEngine, Gate, deltaOf, doneAfter, accepted } from "../support/fake-engine.js";
import { ShouldersError } from "../../src/errors.js";
import { startRealServer, type RealServer } from "../support/real-server.js";

const messages = [{ role: "user" as const, content: "What is 12 plus 30?" }];

describe("scripted", () => {
  it("choices are interleaved as they come, each with its index, and usage counts the prompt once", async () => {
    const server = await startTestServer();
    const first = new Gate();
    server.engine.script = ({ requestId }) =>
      requestId.endsWith("-1") ? answering("B") : [accepted, first, deltaOf("A"), doneAfter(1)];
    const answered = server.post("/v1/chat/completions", {
      model: "both",
      messages,
      n: 2,
      seed: 7,
      stream: true,
      stream_options: { include_usage: true },
    });
    await server.engine.untilSubmitted(2);
    setTimeout(() => first.open(), 50);
    const events = (await readEvents(await answered)) as {
      choices: { index: number; delta: { role?: string; content?: string }; finish_reason: string | null }[];
      usage: object | null;
    }[];
    const shown = events
      .slice(0, -1)
      .flatMap(({ choices }) => choices.map((c) => [c.index, c.delta, c.finish_reason]));
    expect(shown).toEqual([
      [1, { role: "assistant", content: "" }, null],
      [1, { content: "B" }, null],
      [1, {}, "stop"],
      [0, { role: "assistant", content: "" }, null],
      [0, { content: "A" }, null],
      [0, {}, "stop"],
    ]);
    expect(events.at(-2)?.usage).toEqual({
      prompt_tokens: 7,
      completion_tokens: 4,
      total_tokens: 11,
      prompt_tokens_details: { cached_tokens: 3 },
      completion_tokens_details: { accepted_prediction_tokens: 0, rejected_prediction_tokens: 0 },
      fusion: {
        nats: 1,
        flipped: 2,
        tokens: 4,
        certain: 0,
        contested: 0,
        unvouched: 0,
        base_passes: 4,
        skipped_share: 0.25,
      },
    });
    expect(events.at(-1)).toBe("[DONE]");
    expect(server.engine.submitted.map(({ seed }) => seed)).toEqual([7, 8]);
    const { submitted } = server.engine;
    expect(submitted[1]?.requestId).toBe(`${submitted[0]?.requestId}-1`);
  });

  it("when one fails, all end; before the first token with its status", async () => {
    const server = await startTestServer();
    const never = new Gate();
    const full = new ShouldersError("queue_full", "Too many wait.");
    server.engine.script = ({ requestId }) => (requestId.endsWith("-2") ? [full] : [accepted, never]);
    const response = await server.post("/v1/completions", { model: "both", prompt: "x", n: 3, stream: true });
    expect(response.status).toBe(429);
    await server.engine.untilCancelled(2);
    expect(server.engine.stats.running).toBe(0);
  });

  it("when one fails later, the stream ends with an error and without [DONE]", async () => {
    const server = await startTestServer();
    const never = new Gate();
    const broken = new ShouldersError("decode_failed", "A model failed.");
    server.engine.script = ({ requestId }) =>
      requestId.endsWith("-1") ? [accepted, deltaOf("B"), broken] : [accepted, deltaOf("A"), never];
    const response = await server.post("/v1/chat/completions", {
      model: "both",
      messages,
      n: 2,
      stream: true,
    });
    const events = await readEvents(response);
    expect(events.at(-1)).toMatchObject({ error: { code: "decode_failed" } });
    await server.engine.untilCancelled(1);
  });

  it("a hang-up ends all", async () => {
    const engine = new FakeEngine();
    const server = await startTestServer({ engine });
    const never = new Gate();
    engine.script = () => [accepted, deltaOf("A"), never];
    const controller = new AbortController();
    const body = JSON.stringify({ model: "both", messages, n: 4, stream: true });
    const headers = { "Content-Type": "application/json" };
    const { signal } = controller;
    const response = await fetch(`${server.url}/v1/chat/completions`, {
      method: "POST",
      headers,
      body,
      signal,
    });
    await response.body?.getReader().read();
    controller.abort();
    await engine.untilCancelled(4);
  });

  it("a server that closes before they begin says so, instead of an answer without choices", async () => {
    const server = await startTestServer();
    server.engine.answers.detokenize = { bytes: Buffer.from("hi") };
    server.engine.script = () => [accepted, new Gate()];
    const body = { model: "both", prompt: [1, 2], echo: true, logprobs: 1 };
    const asked = [false, true].map((stream) => server.post("/v1/completions", { ...body, stream }));
    await server.engine.untilSubmitted(2);
    const closed = server.close();
    for (const response of await Promise.all(asked)) {
      expect(response.status).toBe(503);
      expect(await response.json()).toMatchObject({ error: { code: "server_closing" } });
    }
    await closed;
  });

  it("the choices of prompt p are p·n … p·n + n − 1", async () => {
    const server = await startTestServer();
    server.engine.script = ({ prompt }) => answering(JSON.stringify(prompt));
    const body = { model: "both", prompt: [[1, 2], [3]], n: 2 };
    const answer = (await (await server.post("/v1/completions", body)).json()) as {
      choices: { index: number; text: string }[];
      usage: object;
    };
    const tokens = answer.choices.map(({ index, text }) => [
      index,
      (JSON.parse(text) as { tokens: number[] }).tokens,
    ]);
    expect(tokens).toEqual([
      [0, [1, 2]],
      [1, [1, 2]],
      [2, [3]],
      [3, [3]],
    ]);
    expect(answer.usage).toMatchObject({ prompt_tokens: 14, completion_tokens: 8 });
  });

  it("n from 1 to 16, and at most 128 choices", async () => {
    const server = await startTestServer();
    const status = async (fields: object) =>
      (await server.post("/v1/completions", { model: "both", prompt: "x", ...fields })).status;
    expect(await status({ n: 16 })).toBe(200);
    expect(await status({ n: 17 })).toBe(400);
    expect(await status({ n: 0 })).toBe(400);
    expect(await status({ n: 16, prompt: Array.from({ length: 8 }, () => "x") })).toBe(200);
    expect(await status({ n: 16, prompt: Array.from({ length: 9 }, () => "x") })).toBe(400);
  });
});

describe("on the starter models", () => {
  let server: RealServer;
  beforeAll(async () => {
    server = await startRealServer();
  });
  afterAll(() => server.close());

  interface TextAnswer {
    choices: {
      index: number;
      text: string;
      finish_reason: string;
      logprobs: {
        tokens: string[];
        token_logprobs: (number | null)[];
        top_logprobs: (object | null)[];
        text_offset: number[];
      } | null;
    }[];
    usage: { prompt_tokens: number; completion_tokens: number };
  }
  const complete = async (fields: object): Promise<TextAnswer> => {
    const response = await server.post("/v1/completions", { model: "both", ...fields });
    const answer = (await response.json()) as TextAnswer;
    expect(response.status, JSON.stringify(answer)).toBe(200);
    return answer;
  };
  const prompt = "Question: What is 12 plus 30?\nAnswer:";

  it("each choice is what its seed gives alone, and the prompt is counted once", async () => {
    const body = { model: "both", messages, max_tokens: 12, temperature: 1 };
    const seeded = (seed: number): object => ({ seed });
    const many = await server.client.chat.completions.create({ ...body, n: 4, ...seeded(21) });
    const usage: number[] = [];
    for (const choice of many.choices) {
      const alone = await server.client.chat.completions.create({ ...body, ...seeded(21 + choice.index) });
      expect(choice.message.content).toBe(alone.choices[0]?.message.content);
      usage.push(alone.usage!.completion_tokens);
      expect(many.usage?.prompt_tokens).toBe(alone.usage?.prompt_tokens);
    }
    expect(many.usage?.completion_tokens).toBe(usage.reduce((sum, tokens) => sum + tokens));
  });

  it("echo gives the prompt back, with what the models gave each of its tokens but the first", async () => {
    const { choices } = await complete({ prompt, echo: true, logprobs: 2, max_tokens: 4, temperature: 0 });
    const { text, logprobs } = choices[0]!;
    expect(text.startsWith(prompt)).toBe(true);
    expect(logprobs?.tokens.join("")).toBe(text);
    expect(logprobs?.token_logprobs[0]).toBeNull();
    expect(logprobs?.top_logprobs[0]).toBeNull();
    expect(logprobs?.token_logprobs.slice(1).every((logprob) => logprob !== null && logprob <= 0)).toBe(true);
    const places = logprobs!.text_offset;
    logprobs!.tokens.forEach((token, index) => {
      expect(text.slice(places[index], places[index]! + token.length)).toBe(token);
    });
  });

  it("max_tokens 0 with echo and logprobs scores a text, as evaluation harnesses ask", async () => {
    const whole = await complete({ prompt, echo: true, logprobs: 1, max_tokens: 6, temperature: 0 });
    const { text } = whole.choices[0]!;
    const scored = await complete({ prompt: text, echo: true, logprobs: 1, max_tokens: 0 });
    const [choice] = scored.choices;
    expect(choice).toMatchObject({ text, finish_reason: "length" });
    expect(scored.usage.completion_tokens).toBe(0);
    const generated = whole.choices[0]!.logprobs!.token_logprobs;
    choice!.logprobs!.token_logprobs.forEach((logprob, index) => {
      if (logprob !== null) expect(logprob).toBeCloseTo(generated[index]!, 2);
    });
  });

  it("echo of token ids, of several prompts, streamed as not, with usage", async () => {
    const query = {
      type: "tokenize",
      configId: "both",
      text: prompt,
      addSpecial: true,
      parseSpecial: true,
    } as const;
    const ids = [...(await server.engine.query(query)).ids];
    const fields = { prompt: [ids, ids.slice(0, 3)], echo: true, logprobs: 1, max_tokens: 3, temperature: 0 };
    const { choices, usage } = await complete(fields);
    expect(choices[0]!.text.startsWith(prompt)).toBe(true);
    expect(usage.prompt_tokens).toBe(ids.length + 3);
    const texts = ["", ""];
    const tokens: string[][] = [[], []];
    const stream = await server.client.completions.create({ model: "both", ...fields, stream: true });
    for await (const { choices: parts } of stream)
      for (const part of parts) {
        texts[part.index] = (texts[part.index] ?? "") + part.text;
        tokens[part.index]!.push(...(part.logprobs?.tokens ?? []));
      }
    expect(texts).toEqual(choices.map(({ text }) => text));
    expect(tokens).toEqual(choices.map(({ logprobs }) => logprobs!.tokens));
  });

  it("logprobs are the same streamed as not, also where a stop string ends the answer", async () => {
    const free = await complete({ prompt, max_tokens: 8, temperature: 0 });
    const stop = free.choices[0]!.text.slice(2, 4);
    const body = {
      model: "both",
      messages,
      temperature: 0,
      max_tokens: 12,
      logprobs: true,
      top_logprobs: 2,
      stop,
    };
    const whole = await server.client.chat.completions.create(body);
    const streamed: unknown[] = [];
    let text = "";
    for await (const chunk of await server.client.chat.completions.create({ ...body, stream: true })) {
      streamed.push(...(chunk.choices[0]?.logprobs?.content ?? []));
      text += chunk.choices[0]?.delta.content ?? "";
    }
    expect(text).toBe(whole.choices[0]?.message.content);
    const close = (whole.choices[0]?.logprobs?.content ?? []).map(({ token, bytes }) => ({ token, bytes }));
    expect(streamed).toMatchObject(close);
  });

  it("a prompt that is refused among several refuses all, before any header", async () => {
    const response = await server.post("/v1/completions", {
      model: "both",
      prompt: ["fine", "word ".repeat(2000)],
      echo: true,
      stream: true,
    });
    expect(response.status).toBe(400);
    expect(await response.json()).toMatchObject({
      error: { code: "context_length_exceeded", param: "prompt" },
    });
    await expect.poll(() => server.engine.stats.running).toBe(0);
  });
});
