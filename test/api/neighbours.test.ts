import { afterAll, beforeAll, describe, expect, it } from "vitest";
import type { Engine } from "../../src/protocol/protocol.js";
import type { TokenRecord } from "../../src/wire/token-record.js";
import { expectConservation, expectTokensOfUsages, sumOf } from "../support/metrics.js";
import { questions, resolvedConfig, startRealEngine } from "../support/real-engine.js";
import { serve, type Served } from "../support/server.js";
import { connect, type TestSocket } from "../support/socket.js";
import { tieNats } from "../support/ties.js";

/** Requests that come, leave and are wrong change nobody else's tokens. */

const numSurvivors = 16;
const numDisturbances = 500;
/** More steps than it takes to let all the disturbances in, though a step may bring several tokens that were guessed. */
const numTokens = 300;
const disturbancesPerStep = 6;
const models = ["giant", "trivia", "sums"];
const texts = [...questions("recall").slice(0, 40), ...questions("sums").slice(0, 40)].map(
  ({ prompt }) => prompt,
);

/** A small generator of our own, so that a failing run can be repeated from its seed. */
function randomFrom(seed: number): () => number {
  let state = seed;
  return () => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    return state / 2 ** 32;
  };
}

interface Neighbourhood extends Served {
  engine: Engine;
}

async function startWith(cacheSequences: number): Promise<Neighbourhood> {
  const family = { base: "giant", reference: "dwarf" };
  // Fixed weights: where two weights solve equally well, a rounding chooses one, and that is no tie of two tokens.
  const strategyOf = (id: string) => ({ type: "static", weights: { [id]: 1 }, plausibility: null }) as const;
  const config = { context: { tokens: 512, sequences: 40 } };
  const configs = [
    resolvedConfig({ id: "giant", base: "giant", config }),
    resolvedConfig({
      id: "trivia",
      ...family,
      experts: { trivia: "dwarf-trivia" },
      config,
      strategy: strategyOf("trivia"),
    }),
    resolvedConfig({
      id: "sums",
      ...family,
      experts: { sums: "dwarf-sums" },
      config,
      strategy: strategyOf("sums"),
    }),
  ];
  const engine = await startRealEngine(configs, { cacheSequences });
  return { engine, ...(await serve(engine, { keptTrace: "weights" })) };
}

const post = ({ url }: Neighbourhood, body: object, signal: AbortSignal | null = null) =>
  fetch(`${url}/v1/completions`, {
    method: "POST",
    headers: { "Content-Type": "application/json" },
    body: JSON.stringify(body),
    signal,
  });

/** Among them the end of sequence. */
const forbidden = [0, 1, 2, 3];

/** Greedy, seeded, and as long as wished. */
const survivor = (index: number) => ({
  model: models[index % models.length],
  prompt: texts[index * 5],
  max_tokens: numTokens,
  temperature: 0,
  seed: index,
  logit_bias: Object.fromEntries(forbidden.map((id) => [id, -100])),
});

/** The records of all tokens of an answer, streamed or not. */
async function recordsOf(served: Neighbourhood, body: object, stream = false): Promise<TokenRecord[]> {
  const response = await post(served, { ...body, stream });
  const text = await response.text();
  expect(response.status, text).toBe(200);
  const id = /"id":"([^"]+)"/.exec(text)?.[1] ?? "";
  const trace = (await (await fetch(`${served.url}/v1/fusion/traces/${id}`)).json()) as {
    tokens: TokenRecord[];
  };
  return trace.tokens;
}

/** Whether two answers are equal; where not, they part at a tie, or the test fails. */
function isEqualButForTies(alone: TokenRecord[], other: TokenRecord[], name: string): boolean {
  const first = alone.findIndex(({ token }, position) => token.id !== other[position]?.token.id);
  if (first < 0) return true;
  // What a record ranks is the law before biases.
  const ranked = (alone[first]?.top?.fused ?? []).filter(({ id }) => !forbidden.includes(id));
  const taken = ranked.find(({ id }) => id === other[first]?.token.id);
  expect(taken, `${name}: token ${first}`).toBeDefined();
  expect(ranked[0]!.logprob - taken!.logprob, `${name}: token ${first}`).toBeLessThan(tieNats);
  return false;
}

describe("500 hang-ups, cancels, bad requests and joins among 16 that go on", () => {
  let busy: Neighbourhood;
  let quiet: Neighbourhood;

  beforeAll(async () => {
    [busy, quiet] = await Promise.all([startWith(4), startWith(0)]);
  });
  afterAll(async () => {
    for (const { server, engine } of [busy, quiet]) {
      await server.close();
      await engine.close();
    }
  });

  it("change none of their tokens; every request has one end, and nothing is left", async () => {
    const seed = 20240611;
    const random = randomFrom(seed);
    const pick = <T>(values: readonly T[]): T => values[Math.floor(random() * values.length)] as T;
    const { pid } = busy.engine.description!;
    let numBad = 0;

    const hangUp = async (body: object, numReads: number) => {
      const leaving = new AbortController();
      try {
        const reader = (await post(busy, { ...body, stream: true }, leaving.signal)).body!.getReader();
        for (let reads = 0; reads < numReads; reads++) if ((await reader.read()).done) return;
      } finally {
        leaving.abort();
      }
    };
    const leaveUnanswered = async (body: object, afterMs: number) => {
      await expect(post(busy, body, AbortSignal.timeout(afterMs))).rejects.toThrow();
    };
    const cancelOn = async (socket: TestSocket, body: object, id: string, numDeltas: number) => {
      const deltas = () => socket.of("response.output_text.delta").filter((f) => f.response_id === id).length;
      socket.send({ type: "response.create", response: { id, ...body } });
      await expect.poll(() => deltas() >= numDeltas, { interval: 5, timeout: 60_000 }).toBe(true);
      socket.send({ type: "response.cancel", response_id: id });
      await socket.until("response.done", ({ response }) => response.id === id);
    };
    const refuse = async () => {
      numBad++;
      const body = pick<object>([
        { model: "giant", prompt: [5, 1_000_000] },
        { model: "giant", prompt: "x", temperature: "hot" },
        { model: "nobody", prompt: "x" },
      ]);
      expect((await post(busy, body)).status).toBeGreaterThanOrEqual(400);
    };
    const join = async (body: object) => {
      expect((await post(busy, { ...body, max_tokens: 1 + Math.floor(random() * 8) })).status).toBe(200);
    };
    const sockets = await Promise.all(Array.from({ length: 10 }, () => connect(busy.url)));
    const disturb = async (index: number): Promise<void> => {
      const kind = random();
      const body = { ...survivor(0), model: pick(models), prompt: pick(texts), max_tokens: 40 };
      if (kind < 0.25) await hangUp(body, Math.floor(random() * 8));
      else if (kind < 0.5)
        await leaveUnanswered({ ...body, max_tokens: numTokens }, Math.floor(random() * 40));
      else if (kind < 0.6) {
        const socket = await connect(busy.url);
        socket.send({ type: "response.create", response: body });
        await socket.until("response.created");
        socket.socket.terminate();
      } else if (kind < 0.75)
        await cancelOn(sockets[index % sockets.length]!, body, `r${index}`, Math.floor(random() * 4));
      else if (kind < 0.9) await refuse();
      else await join(body);
    };

    let numEnded = 0;
    const answers = Array.from({ length: numSurvivors }, async (_, index) => {
      const records = await recordsOf(busy, survivor(index), index % 2 === 0);
      numEnded++;
      return records;
    });
    await expect.poll(() => busy.engine.stats.running, { timeout: 60_000 }).toBe(numSurvivors);
    const disturbances: Promise<void>[] = [];
    let numDisturbed = 0;
    let numLate = 0;
    let isOver = false;
    busy.engine.onStep(() => {
      for (let count = 0; count < disturbancesPerStep && disturbances.length < numDisturbances; count++) {
        if (numEnded > 0) numLate++;
        const disturbance = disturb(disturbances.length).then(() => {
          if (!isOver) numDisturbed++;
        });
        disturbance.catch(() => undefined);
        disturbances.push(disturbance);
      }
    });
    const together = await Promise.all(answers);
    isOver = true;
    expect(disturbances).toHaveLength(numDisturbances);
    // All came while all the others went on, and most had ended by then.
    expect(numLate).toBe(0);
    expect(numDisturbed).toBeGreaterThan(numDisturbances / 2);
    await Promise.all(disturbances);
    sockets.forEach(({ socket }) => socket.close());

    await expectConservation(busy.url);
    expect(busy.engine.description!.pid).toBe(pid);
    expect(await sumOf(busy.url, "shoulders_requests_total", 'outcome="client_error"')).toBe(numBad);
    expect(await sumOf(busy.url, "shoulders_requests_total", 'outcome="server_error"')).toBe(0);
    await expectTokensOfUsages(busy.url);

    let numEqual = 0;
    for (const [index, other] of together.entries()) {
      expect(other).toHaveLength(numTokens);
      const alone = await recordsOf(quiet, { ...survivor(index), fusion: { trace: "full" } });
      if (isEqualButForTies(alone, other, `seed ${seed}, request ${index}`)) numEqual++;
    }
    // 300 tokens each, with their end forbidden, pass many ties; how many turn out otherwise is the processor's.
    expect(numEqual).toBeGreaterThanOrEqual(numSurvivors / 4);
  }, 400_000);
});
