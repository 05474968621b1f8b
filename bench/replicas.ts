import TinyQueue from "tinyqueue";
import { createRandom } from "../src/evaluation/random.js";
import type { PartResult } from "./report.js";
import { quantile } from "./statistics.js";

/** Replicas behind a proxy, simulated: no clock and no model, so every machine gives the same figures. */

/** Of one replica, about a 7B base with small experts on one card. */
const replica = { sequences: 8, promptTokensPerSecond: 2000, secondsPerToken: 0.02, cached: 16 };
const traffic = {
  /** Different first messages; the r-th most popular has a share of about 1/r. */
  beginnings: 400,
  requestsPerReplica: 3000,
  /** Of what replicas could answer if nothing were cached. */
  load: 0.75,
  bound: 1.75,
};
const sizes = [1, 2, 4, 8, 16, 32, 64];

interface Request {
  conversation: number;
  beginning: number;
  /** Tokens of the first message, and of all before this turn with it. */
  firstTokens: number;
  knownTokens: number;
  promptTokens: number;
  outputTokens: number;
  arrivedAt: number;
}

class Replica {
  numOpen = 0;
  readonly waiting: Request[] = [];
  numRunning = 0;
  /** Prompts are read one after the other. */
  readsUntil = 0;
  /** Conversation to its beginning; the newest last. */
  readonly #cached = new Map<number, number>();

  numCached({ conversation, beginning, firstTokens, knownTokens }: Request): number {
    if (this.#cached.has(conversation)) return knownTokens;
    return [...this.#cached.values()].includes(beginning) ? firstTokens : 0;
  }

  keep({ conversation, beginning }: Request): void {
    this.#cached.delete(conversation);
    this.#cached.set(conversation, beginning);
    const [oldest] = this.#cached.keys();
    if (this.#cached.size > replica.cached && oldest !== undefined) this.#cached.delete(oldest);
  }
}

type Choose = (replicas: readonly Replica[], request: Request, random: () => number) => number;

/** Places of a beginning on the ring, nearest first. */
const ringOrder = (beginning: number, count: number): number[] =>
  Array.from({ length: count }, (_, index) => ({
    index,
    at: createRandom(beginning * 1009 + index * 9176 + 1)(),
  }))
    .sort((a, b) => a.at - b.at)
    .map(({ index }) => index);

const least: Choose = (replicas, _request, random) => {
  const fewest = Math.min(...replicas.map(({ numOpen }) => numOpen));
  const equals = replicas.flatMap(({ numOpen }, index) => (numOpen === fewest ? [index] : []));
  return equals[Math.floor(random() * equals.length)] ?? 0;
};

function affinity(bound: number): Choose {
  const orders = new Map<number, number[]>();
  return (replicas, { beginning }) => {
    const order = orders.get(beginning) ?? ringOrder(beginning, replicas.length);
    orders.set(beginning, order);
    const total = replicas.reduce((sum, { numOpen }) => sum + numOpen, 0);
    const most = Math.ceil((bound * (total + 1)) / replicas.length);
    return order.find((index) => (replicas[index]?.numOpen ?? 0) < most) ?? 0;
  };
}

const policies: Record<string, () => Choose> = {
  random: () => (replicas, _request, random) => Math.floor(random() * replicas.length),
  "least connections": () => least,
  "affinity, bounded": () => affinity(traffic.bound),
  "affinity alone": () => affinity(Infinity),
};

/** Standard normal, by Box and Muller. */
const normal = (random: () => number): number =>
  Math.sqrt(-2 * Math.log(1 - random())) * Math.cos(2 * Math.PI * random());
const logNormal = (random: () => number, median: number, spread: number): number =>
  Math.max(1, Math.round(median * Math.exp(spread * normal(random))));

/** Turns of conversations that begin at random, each with a first message that many share; in the order of time. */
function requestsOf(count: number, seed: number): Request[] {
  const random = createRandom(seed);
  const weights = Array.from({ length: traffic.beginnings }, (_, index) => 1 / (index + 1));
  const whole = weights.reduce((sum, weight) => sum + weight, 0);
  const lengths = weights.map(() => Math.min(6000, logNormal(random, 600, 1)));
  const drawBeginning = () => {
    let left = random() * whole;
    return Math.max(
      0,
      weights.findIndex((weight) => (left -= weight) < 0),
    );
  };
  const requests: Request[] = [];
  for (let conversation = 0; requests.length < count; conversation++) {
    const beginning = drawBeginning();
    const firstTokens = lengths[beginning] ?? 0;
    // Pareto: most have one or two turns, some have dozens.
    const numTurns = Math.min(40, Math.floor((1 - random()) ** -0.9));
    let [at, known] = [random(), firstTokens];
    for (let turn = 0; turn < numTurns; turn++) {
      const [asked, outputTokens] = [logNormal(random, 40, 1), Math.min(1000, logNormal(random, 80, 1))];
      const promptTokens = known + asked;
      requests.push({
        conversation,
        beginning,
        firstTokens,
        knownTokens: turn === 0 ? firstTokens : known,
        promptTokens,
        outputTokens,
        arrivedAt: at,
      });
      known = promptTokens + outputTokens;
      at += 0.004 * -Math.log(1 - random());
    }
  }
  return requests.sort((a, b) => a.arrivedAt - b.arrivedAt);
}

/** Seconds of a replica that a request takes where nothing is cached. */
const costOf = ({ promptTokens, outputTokens }: Request): number =>
  promptTokens / replica.promptTokensPerSecond + (outputTokens * replica.secondsPerToken) / replica.sequences;

function simulate(numReplicas: number, choose: Choose, seed: number) {
  const random = createRandom(seed + 1);
  const requests = requestsOf(numReplicas * traffic.requestsPerReplica, seed);
  const work = requests.reduce((sum, request) => sum + costOf(request), 0);
  // Times of arrival are from 0 to about 1 until here.
  const stretch = work / numReplicas / traffic.load / (requests.at(-1)?.arrivedAt ?? 1);
  const replicas = Array.from({ length: numReplicas }, () => new Replica());
  const ends = new TinyQueue<{ at: number; of: Replica; request: Request }>([], (a, b) => a.at - b.at);
  const firstTokens: number[] = [];
  let [numCached, numPrompt] = [0, 0];
  const begin = (of: Replica, request: Request, now: number) => {
    of.numRunning++;
    const cached = of.numCached(request);
    numCached += cached;
    numPrompt += request.promptTokens;
    of.readsUntil =
      Math.max(now, of.readsUntil) + (request.promptTokens - cached) / replica.promptTokensPerSecond;
    firstTokens.push(of.readsUntil - request.arrivedAt * stretch);
    of.keep(request);
    ends.push({ at: of.readsUntil + request.outputTokens * replica.secondsPerToken, of, request });
  };
  const endUntil = (now: number) => {
    for (let next = ends.peek(); next !== undefined && next.at <= now; next = ends.peek()) {
      ends.pop();
      const { of, at } = next;
      of.numOpen--;
      of.numRunning--;
      const waiting = of.waiting.shift();
      if (waiting !== undefined) begin(of, waiting, at);
    }
  };
  for (const request of requests) {
    const now = request.arrivedAt * stretch;
    endUntil(now);
    const of = replicas[choose(replicas, request, random)] as Replica;
    of.numOpen++;
    if (of.numRunning < replica.sequences) begin(of, request, now);
    else of.waiting.push(request);
  }
  endUntil(Infinity);
  return {
    cached: numCached / numPrompt,
    median: quantile(firstTokens, 0.5),
    p99: quantile(firstTokens, 0.99),
  };
}

export function benchReplicas(): PartResult {
  const rows = sizes.flatMap((count) =>
    Object.entries(policies).map(([name, choose]) => {
      const { cached, median, p99 } = simulate(count, choose(), 1);
      return [count, name, cached, median, p99];
    }),
  );
  const workload = `simulated: ${traffic.requestsPerReplica} requests a replica at ${traffic.load} of what they could take uncached; ${traffic.beginnings} shared first messages, of 600 tokens by median; turns of conversations by a power law; ${replica.sequences} sequences, ${replica.cached} kept`;
  const head = ["replicas", "proxy", "prompt tokens cached", "first token, median s", "p99 s"];
  return { values: {}, tables: [{ title: "replicas", workload, head, rows }] };
}
