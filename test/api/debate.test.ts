import { describe, expect, it } from "vitest";
import type { GenerationRequest } from "../../src/protocol/protocol.js";
import type { DebateAnswer } from "../../src/wire/debate.js";
import type { VerdictAnswer } from "../../src/wire/verdict.js";
import { accepted, FakeEngine, Gate, type Script, type ScriptStep, tokenOf } from "../support/fake-engine.js";
import { readEvents, startTestServer, type TestServer } from "../support/server.js";
import { connect } from "../support/socket.js";

const codes = (text: string) => Array.from(text, (character) => character.charCodeAt(0));
const textOf = (tokens: readonly number[]) => String.fromCharCode(...tokens);

function askedIn({ prompt }: GenerationRequest): string {
  if (prompt.type === "text") return prompt.text;
  return prompt.type === "chat" ? (prompt.messages.at(-1)?.content ?? "") : "";
}

/** How often a prompt speaks for a candidate, and who hears it better. */
function worth(request: GenerationRequest, candidate: string): Record<string, number> {
  const asked = askedIn(request);
  const count = asked.split(candidate).length - 1;
  // What comes last counts more.
  const last = asked.trimEnd().endsWith(candidate) ? 0.25 : 0;
  return { fused: -3 + count, base: -2 + 0.5 * count, trivia: -3 + count + last, sums: -2 + 0.25 * count };
}

function doneOf(numTokens: number, finishReason: "stop" | "length"): Extract<ScriptStep, { type: "done" }> {
  const fusion = { nats: 0, flipped: 0, tokens: numTokens, certain: 0, basePasses: 1, drafts: 0 };
  return {
    ...{ type: "done", finishReason, stopString: null, tokens: [], queueMs: 1, feature: null },
    usage: {
      ...{ promptTokens: 7, completionTokens: numTokens, cachedTokens: 0, reasoningTokens: 0 },
      fusion: {
        ...fusion,
        drafted: 0,
        accepted: 0,
        acceptedAt: [],
        lost: 0,
        contested: 0,
        unvouched: 0,
        uncertified: 0,
        unknown: 0,
        skippedShare: 0,
      },
    },
  };
}

/** Tokens are characters; a candidate is worth what the prompt says of it; an advocate says what `says` makes. */
class ArguingEngine extends FakeEngine {
  says: (request: GenerationRequest) => string = () => "";

  override script: Script = (request) => {
    if (request.forced === null) {
      const text = this.says(request);
      const tokens = [tokenOf(text, 0)];
      return [
        accepted,
        ...(text === "" ? [] : [{ type: "delta" as const, text, tokens }]),
        doneOf(1, "stop"),
      ];
    }
    const given = request.forced.type === "tokens" ? request.forced.tokens : [];
    const { fused, ...members } = worth(request, textOf(given).replace(/^\|/, ""));
    const isBase = request.strategy?.type === "base";
    const tokens = given.map((id, index) => {
      const part = (value: number) => value / given.length;
      const logprob = part(isBase ? members["base"]! : fused!);
      const token = tokenOf("x", index, { token: { id, text: "x" }, logprob });
      const named = Object.entries(members).map(([member, value]) => [member, part(value)] as const);
      return request.wantsMembers ? { ...token, members: Object.fromEntries<number>(named) } : token;
    });
    return [accepted, { type: "delta", text: "x", tokens }, doneOf(given.length, "length")];
  };

  override query(query: Parameters<FakeEngine["query"]>[0]): Promise<never> {
    const text =
      query.type === "renderPrompt"
        ? query.prompt.type === "chat"
          ? query.prompt.messages.map(({ content }) => content).join("|")
          : ""
        : "text" in query
          ? query.text
          : "";
    const ids = codes(text);
    const result =
      query.type === "renderPrompt"
        ? { prompts: { base: { text, tokens: ids } } }
        : { ids: Int32Array.from(ids) };
    return Promise.resolve(result as never);
  }
}

type Arguing = TestServer & { engine: ArguingEngine };

async function start(options: Parameters<typeof startTestServer>[0] = {}): Promise<Arguing> {
  return (await startTestServer({ ...options, engine: new ArguingEngine() })) as Arguing;
}

const messages = [{ role: "user", content: "Red or blue?" }];
const document = "The door is red. It is a cold day. Some say blue. Others say red and red.";
const body = { model: "both", messages, candidates: ["red", "blue"] };
const panel = ["expert:trivia", "expert:sums"];

async function hold(server: TestServer, change: object): Promise<DebateAnswer> {
  const response = await server.post("/v1/fusion/judge", { ...body, ...change });
  expect(response.status, await response.clone().text()).toBe(200);
  return (await response.json()) as DebateAnswer;
}

const probabilities = ({ candidates }: DebateAnswer) => candidates.map(({ probability }) => probability);

function expectClose(one: readonly number[], other: readonly number[]): void {
  one.forEach((value, index) => expect(Math.abs(value - other[index]!)).toBeLessThanOrEqual(1e-6));
}

/** What a verdict says of the same question by the panel alone. */
async function judged(server: TestServer): Promise<number[][]> {
  const response = await server.post("/v1/fusion/judge", { ...body, laws: panel });
  const { verdicts } = (await response.json()) as VerdictAnswer;
  return panel.map((law) => verdicts[0]!.candidates.map(({ probability }) => probability[law]!));
}

describe("a debate", () => {
  it("of quotes takes the sentences that make each side likeliest, and tells who judged what", async () => {
    const server = await start();
    const answer = await hold(server, { document, debate: { panel } });
    expect(answer).toMatchObject({
      id: expect.stringMatching(/^debate-/) as string,
      object: "fusion.debate",
      settings: { turns: 1, seeds: 1, advocate: "base", panel, arguments: "quotes", quotes: "verified" },
      pair: [0, 1],
      audited: null,
    });
    const said = answer.arguments.map(({ transcript, candidate, text }) => ({ transcript, candidate, text }));
    expect(said).toEqual([
      { transcript: 0, candidate: 0, text: "Others say red and red." },
      { transcript: 0, candidate: 1, text: "Some say blue." },
      { transcript: 1, candidate: 1, text: "Some say blue." },
      { transcript: 1, candidate: 0, text: "Others say red and red." },
    ]);
    expect(answer.arguments[0]!.quotes).toEqual([{ text: "Others say red and red.", verified: true }]);
    // The trace is of the side's own candidate behind that sentence.
    const traced = server.engine.submitted.find(
      ({ requestId }) => requestId === answer.arguments[0]!.trace_id,
    );
    expect(askedIn(traced!)).toContain("Others say red and red.");
    expect(textOf((traced!.forced as { tokens: number[] }).tokens)).toBe("|red");
    // Without: each says once by the question... with: by hand.
    const [red, blue] = answer.candidates;
    const [trivia, sums] = await judged(server);
    expectClose([red!.members["expert:trivia"]!.without, blue!.members["expert:trivia"]!.without], trivia!);
    expectClose([red!.members["expert:sums"]!.without], [sums![0]!]);
    // "Red or blue?" has blue once; the quotes have red twice and blue once: 2 against 2 for trivia.
    expect(red!.members["expert:trivia"]!.with).toBeCloseTo(0.5, 5);
    expect(probabilities(answer).reduce((sum, value) => sum + value, 0)).toBeCloseTo(1, 5);
    expect(answer.usage.prompt_tokens).toBeGreaterThan(7);
  });

  it("with turns 0 is the panel's verdict", async () => {
    const server = await start();
    const answer = await hold(server, { document, debate: { panel, turns: 0, seeds: 3 } });
    const [trivia, sums] = await judged(server);
    expectClose(
      probabilities(answer),
      trivia!.map((value, index) => (value + sums![index]!) / 2),
    );
    expect(answer.arguments).toEqual([]);
    expect(answer.candidates.map(({ order_effect: effect }) => effect)).toEqual([0, 0]);
  });

  it("in which nobody says anything is the panel's verdict", async () => {
    const server = await start();
    server.engine.says = () => "  ";
    const answer = await hold(server, { debate: { panel, turns: 2 } });
    const silent = await hold(server, { debate: { panel, turns: 0 } });
    expect(answer.arguments).toHaveLength(8);
    expect(answer.arguments[0]).toMatchObject({ text: "", heard: "" });
    expect(probabilities(answer)).toEqual(probabilities(silent));
  });

  it("has the swapped verdict where the candidates are swapped", async () => {
    const server = await start();
    server.engine.says = (request) =>
      askedIn(request).includes("right: red") ? "red red" : `blue ${request.seed}`;
    for (const change of [{ document }, { debate: { panel, turns: 2, seeds: 3 } }]) {
      const given = { debate: { panel, seeds: 2, turns: 2 }, ...change };
      const plain = await hold(server, given);
      const swapped = await hold(server, { ...given, candidates: ["blue", "red"] });
      expectClose(probabilities(plain), [...probabilities(swapped)].reverse());
      const effects = (answer: DebateAnswer) => answer.candidates.map(({ order_effect: effect }) => effect!);
      expectClose(effects(plain), [...effects(swapped)].reverse());
    }
  });

  it("tells by how much it helps a side to begin", async () => {
    const server = await start();
    server.engine.says = (request) => (askedIn(request).includes("right: red") ? "red" : "blue");
    const debate = {
      panel: ["expert:trivia"],
      templates: { argument: "{argument} ", panel: "{question} {transcript}" },
    };
    const answer = await hold(server, { debate });
    // Whoever ends is heard better by trivia.
    const [first, second] = answer.transcripts.map(({ members }) => members["expert:trivia"]![0]!);
    expect(first).toBeLessThan(second!);
    expect(answer.candidates[0]!.order_effect).toBeCloseTo(first! - second!, 5);
    const given = await hold(server, { debate: { ...debate, orders: "given" } });
    expect(given.transcripts).toHaveLength(1);
    expect(given.candidates[0]).toMatchObject({ order_effect: null });
    expectClose(probabilities(given), answer.transcripts[0]!.members["expert:trivia"]!);
  });

  it("with one seed is its single transcript, with several their mean", async () => {
    const server = await start();
    server.engine.says = ({ seed, sampling }) =>
      sampling.temperature === 0 ? "plain" : seed! % 2 === 0 ? "red red" : "blue";
    const debate = { panel, orders: "given" };
    const one = await hold(server, { debate });
    expect(one.arguments.map(({ text }) => text)).toEqual(["plain", "plain"]);
    const several = await hold(server, { debate: { ...debate, seeds: 8 } });
    expect(several.transcripts[0]).toEqual(one.transcripts[0]);
    expect(new Set(several.arguments.map(({ text }) => text))).toEqual(new Set(["plain", "red red", "blue"]));
    const mean = [0, 1].map((candidate) => {
      const all = several.transcripts.flatMap(({ members }) => panel.map((law) => members[law]![candidate]!));
      return all.reduce((sum, value) => sum + value, 0) / all.length;
    });
    expectClose(probabilities(several), mean);
    // The same seed, the same debate.
    const again = await hold(server, { debate: { ...debate, seeds: 8 } });
    expect(again.arguments.map(({ text }) => text)).toEqual(several.arguments.map(({ text }) => text));
  });

  it("strikes quotes that are not in the document: the verdict is that without them", async () => {
    const server = await start();
    const debate = { panel, arguments: "text" };
    const says = (lie: string) => (request: GenerationRequest) =>
      askedIn(request).includes("right: red") ? 'It says "The door is red".' : `Look: ${lie} there.`;
    server.engine.says = says('"The door is blue, blue, blue"');
    const lying = await hold(server, { document, debate });
    const other = lying.arguments.find(({ candidate }) => candidate === 1)!;
    expect(other).toMatchObject({
      text: 'Look: "The door is blue, blue, blue" there.',
      heard: "Look: there.",
      quotes: [{ text: "The door is blue, blue, blue", verified: false }],
    });
    server.engine.says = says("");
    const honest = await hold(server, { document, debate });
    expect(probabilities(lying)).toEqual(probabilities(honest));
    const unchecked = { ...debate, quotes: "off" };
    server.engine.says = says('"The door is blue, blue, blue"');
    const believed = await hold(server, { document, debate: unchecked });
    expect(probabilities(believed)[1]).toBeGreaterThan(probabilities(lying)[1]!);
    // The advocates saw the document, the panel did not.
    const isAdvocate = ({ forced }: GenerationRequest) => forced === null;
    for (const request of server.engine.submitted)
      expect(askedIn(request).includes("It is a cold day.")).toBe(isAdvocate(request));
  });

  it("is argued by whom it is asked to be, in the name of the key alone", async () => {
    const server = await start();
    server.engine.says = () => "red";
    await hold(server, { debate: { panel } });
    await hold(server, { debate: { panel, advocate: "fused" }, fusion: { weights: { trivia: 1 } } });
    const written = server.engine.submitted.filter(({ forced }) => forced === null);
    expect(written.map(({ strategy }) => strategy?.type)).toEqual([
      ...Array.from({ length: 4 }, () => "base"),
      ...Array.from({ length: 4 }, () => "static"),
    ]);
    expect(written.every(({ maxTokens, sampling }) => maxTokens === 128 && sampling.temperature === 0)).toBe(
      true,
    );
    expect(new Set(server.engine.submitted.map(({ owner }) => owner))).toEqual(new Set(["anonymous"]));
  });

  it("of more than two candidates is between the likeliest two", async () => {
    const server = await start();
    server.engine.says = () => "green";
    const answer = await hold(server, {
      messages: [{ role: "user", content: "blue, green or green?" }],
      candidates: ["red", "blue", "green"],
      debate: { panel },
    });
    expect(answer.pair).toEqual([1, 2]);
    expect(answer.candidates).toHaveLength(3);
    expect(answer.candidates[0]!.order_effect).toBeNull();
    expect(answer.verdict).toBe(2);
  });

  it("reads what comes out twice once", async () => {
    const server = await start();
    server.engine.says = () => "";
    await hold(server, { debate: { panel, seeds: 4, turns: 1 } });
    const read = server.engine.submitted.filter(({ forced }) => forced !== null);
    expect(read).toHaveLength(2);
  });

  it("refuses what cannot be debated, and names the field", async () => {
    const server = await start();
    for (const [change, param] of [
      [{ debate: { turns: 4 } }, "debate.turns"],
      [{ debate: { seeds: 9 } }, "debate.seeds"],
      [{ debate: { panel: ["expert:x"] } }, "debate.panel.0"],
      [{ debate: { panel: ["base", "base"] } }, "debate.panel.1"],
      [{ debate: { quotes: "verified" } }, "debate.quotes"],
      [{ debate: { arguments: "quotes" } }, "debate.arguments"],
      [{ debate: { templates: { panel: "no place" } } }, "debate.templates.panel"],
      [{ debate: {}, candidates: ["red"] }, "candidates"],
      [{ debate: {}, laws: ["base"] }, "laws"],
      [{ debate: {}, confidence: { alpha: 1 } }, "confidence"],
      [{ debate: {}, messages: undefined, prompts: [{ prompt: "x" }] }, "prompts"],
      [{ debate: {}, messages: undefined, prompt: [1, 2] }, "prompt"],
      [{ debate: {}, messages: [...messages, { role: "assistant", content: "I" }] }, "messages"],
      [
        {
          debate: {},
          document: "One. ".repeat(3) + Array.from({ length: 300 }, (_, i) => `S ${i}.`).join(" "),
        },
        "document",
      ],
      [{ document }, "document"],
      [{ stream: true }, "stream"],
    ] as const) {
      const response = await server.post("/v1/fusion/judge", { ...body, ...change });
      expect(response.status, JSON.stringify(change)).toBe(400);
      const { error } = (await response.json()) as { error: { param: string } };
      expect(error.param, JSON.stringify(change)).toBe(param);
    }
    expect(server.engine.submitted).toEqual([]);
  });
});

describe("a debate as it goes on", () => {
  it("comes as events, in order, and ends with the whole", async () => {
    const server = await start();
    server.engine.says = (request) => (askedIn(request).includes("right: red") ? "red it is" : "blue");
    const debate = { panel, orders: "given" };
    const response = await server.post("/v1/fusion/judge", { ...body, stream: true, debate });
    expect(response.headers.get("content-type")).toContain("text/event-stream");
    const events = (await readEvents(response)) as {
      type: string;
      debate: DebateAnswer;
      probability: number[];
    }[];
    expect(events.map(({ type }) => type)).toEqual([
      ...["debate.verdict.delta", "debate.verdict.delta"],
      ...["debate.argument.delta", "debate.argument.done", "debate.argument.delta", "debate.argument.done"],
      ...["debate.verdict.delta", "debate.verdict.delta"],
      "debate.done",
    ]);
    expect(events[0]).toMatchObject({ transcript: null, member: "expert:trivia" });
    expect(events[2]).toMatchObject({ transcript: 0, turn: 1, candidate: 0, delta: "red it is" });
    expect(events[3]).toMatchObject({ argument: { candidate: 0, text: "red it is", heard: "red it is" } });
    const whole = events.at(-1)!.debate;
    expect(events[6]!.probability).toEqual(whole.transcripts[0]!.members["expert:trivia"]);
    const plain = await hold(server, { debate });
    expect(probabilities(whole)).toEqual(probabilities(plain));
  });

  it("comes as the same frames over WebSocket", async () => {
    const server = await start();
    server.engine.says = () => "red";
    const socket = await connect(server.url);
    socket.send({ type: "verdict.create", verdict: { id: "d1", ...body, debate: { panel } } });
    const argued = await socket.until("debate.argument.done");
    expect(argued).toMatchObject({ response_id: "d1", argument: { text: "red" } });
    const { status, debate } = await socket.until("debate.done");
    expect(status).toBe("completed");
    expect(probabilities(debate!)).toEqual(probabilities(await hold(server, { debate: { panel } })));
  });

  it("when cancelled ends every advocate at once, and every member", async () => {
    const server = await start();
    const plain = server.engine.script;
    const writing = new Gate();
    server.engine.script = (request) =>
      request.forced === null ? [accepted, writing, doneOf(0, "stop")] : plain(request);
    const socket = await connect(server.url);
    const create = { type: "verdict.create", verdict: { id: "d1", ...body, debate: { panel, seeds: 4 } } };
    socket.send(create);
    // Two candidates for two members, then an advocate in each of eight transcripts.
    await server.engine.untilSubmitted(2 + 8);
    socket.send({ type: "response.cancel", response_id: "d1" });
    expect(await socket.until("debate.done")).toMatchObject({ response_id: "d1", status: "cancelled" });
    expect(server.engine.cancelled).toHaveLength(8);
    expect(server.engine.stats.running).toBe(0);

    // Members that read.
    const reading = new Gate();
    server.engine.script = () => [accepted, reading];
    const other = await connect(server.url);
    other.send(create);
    await server.engine.untilSubmitted(10 + 2);
    other.send({ type: "response.cancel", response_id: "d1" });
    expect(await other.until("debate.done")).toMatchObject({ status: "cancelled" });
    expect(server.engine.cancelled).toHaveLength(10);
    expect(server.engine.submitted).toHaveLength(12);
    expect(server.engine.stats.running).toBe(0);
  });

  it("ends with its client, and with an error where one fails", async () => {
    const server = await start();
    const plain = server.engine.script;
    const gate = new Gate();
    server.engine.script = (request) => (request.forced === null ? [accepted, gate] : plain(request));
    const leaving = new AbortController();
    const asked = server
      .post("/v1/fusion/judge", { ...body, stream: true, debate: { panel } }, { signal: leaving.signal })
      .then((response) => response.text())
      .catch(() => null);
    await server.engine.untilSubmitted(4);
    leaving.abort();
    await server.engine.untilCancelled(2);
    expect(await asked).toBeNull();
    server.engine.script = (request) => {
      if (request.forced === null) server.engine.die();
      return plain(request);
    };
    const response = await server.post("/v1/fusion/judge", { ...body, stream: true, debate: { panel } });
    const events = (await readEvents(response)) as { type: string; error?: { code: string } }[];
    expect(events.at(-1)).toMatchObject({ error: { code: "engine_died" } });
  });
});

describe("kept debates", () => {
  it("are their key's, without texts, until they are forgotten", async () => {
    const server = await start();
    const { id } = await hold(server, { document, debate: { panel } });
    const kept = (await (await fetch(`${server.url}/v1/fusion/debates/${id}`)).json()) as DebateAnswer;
    expect(kept).toMatchObject({
      id,
      verdict: 0,
    });
    expect(kept.arguments[0]).toMatchObject({
      text: null,
      heard: null,
      quotes: [{ text: null, verified: true }],
    });
    expect(JSON.stringify(kept)).not.toMatch(/Others say|"red"/);
    const { data } = (await (await fetch(`${server.url}/v1/fusion/debates?limit=5`)).json()) as {
      data: DebateAnswer[];
    };
    expect(data.map((one) => one.id)).toEqual([id]);
    const forgotten = await fetch(`${server.url}/v1/fusion/feedback`, { method: "DELETE" });
    expect(await forgotten.json()).toMatchObject({ forgotten: 1 });
    expect((await fetch(`${server.url}/v1/fusion/debates/${id}`)).status).toBe(404);
  });
});
