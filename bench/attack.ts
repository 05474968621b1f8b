import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import path from "node:path";
import { Arena, type Outcome } from "../test/attack/arena.js";
import { allAttacks, type Attack } from "../test/attack/attacks.js";
import * as bodies from "../test/attack/bodies.js";
import { exactBounds, median } from "../test/attack/canary.js";
import { drawnMutants, knownMutants, tryMutants } from "../test/attack/mutants.js";
import { atOnce, pause, post } from "../test/attack/requests.js";
import { everyLongField } from "../test/attack/siblings.js";
import { Target } from "../test/attack/target.js";
import type { PartResult, Table } from "./report.js";
import { quantile } from "./statistics.js";

const seed = 1;
const numSiblings = 40;
const numMutants = 500;
const chatPath = "/v1/chat/completions";

/** Everything by which a client may try to end the server or hold others up, with the promised bounds. */
export async function benchAttack(): Promise<PartResult> {
  await using arena = await Arena.start();
  const stepMs = await measureStep(arena);
  const outcomes = await tryAttacks(arena, stepMs, [...allAttacks(seed, numSiblings), ...everyLongField()]);
  const idleChatMs = median(arena.idle.chat.waits);
  const most = (read: (outcome: Outcome) => number) => Math.max(...outcomes.map(read));
  return {
    values: {
      attack_held: outcomes.filter(isHeld).length / outcomes.length,
      attack_livez_ms: most(({ livezMs }) => livezMs),
      attack_chat_ms: most(({ chatMs }) => chatMs) - idleChatMs - stepMs,
      attack_memory_mb: most(({ growthMb }) => growthMb),
    },
    tables: [
      kindsTable(outcomes, { idleChatMs, stepMs, isContained: arena.isContained }),
      await mutantsTable(),
    ],
  };
}

/** The one of them that takes all connections and asks nothing. */
export async function benchSilence(): Promise<PartResult> {
  await using arena = await Arena.start();
  const silence = allAttacks(seed, 0).filter(({ name }) => name.startsWith("10000 silent"));
  const [outcome] = await tryAttacks(arena, await measureStep(arena), silence);
  return { values: { idle_livez_ms: outcome?.livezMs ?? NaN }, tables: [] };
}

async function tryAttacks(arena: Arena, stepMs: number, attacks: readonly Attack[]): Promise<Outcome[]> {
  const bounds = exactBounds(arena.idle, stepMs);
  const outcomes: Outcome[] = [];
  for (const attack of attacks) {
    const outcome = await arena.attack(attack, bounds);
    outcomes.push(outcome);
    if (!isHeld(outcome))
      process.stderr.write(
        `${attack.kind}: ${attack.name}\n  ${[...outcome.problems, ...outcome.excesses].join("\n  ")}\n`,
      );
  }
  return outcomes;
}

function isHeld({ problems, excesses }: Outcome): boolean {
  return problems.length + excesses.length === 0;
}

function kindsTable(
  outcomes: readonly Outcome[],
  { isContained, ...idle }: { idleChatMs: number; stepMs: number; isContained: boolean },
): Table {
  const kinds = [...new Set(outcomes.map(({ attack }) => attack.kind))];
  return {
    title: "Attacks by kind: what a neighbour felt",
    workload:
      `the table of test/attack with ${numSiblings} drawn siblings of each kind of body (seed ${seed}) and each field of ` +
      `each schema with each kind of long list; \`/livez\` asked every 50 ms and a chat of 4 tokens every 200 ms by another ` +
      `key; idle chat ${idle.idleChatMs.toFixed(1)} ms, a step of 8 sequences ${idle.stepMs.toFixed(1)} ms; both processes ` +
      (isContained
        ? "in a control group of 512 MB, with 115 MB for each engine after the first"
        : "with heaps of 256 MB, as in a container of 512 MB"),
    head: ["kind", "tried", "held", "worst /livez, ms", "worst chat, ms", "most memory beyond idle, MB"],
    rows: kinds.map((kind) => {
      const own = outcomes.filter(({ attack }: { attack: Attack }) => attack.kind === kind);
      const most = (read: (outcome: Outcome) => number) => Math.max(...own.map(read));
      return [
        kind,
        String(own.length),
        String(own.filter(isHeld).length),
        most(({ livezMs }) => livezMs),
        most(({ chatMs }) => chatMs),
        most(({ growthMb }) => growthMb),
      ];
    }),
  };
}

async function mutantsTable(): Promise<Table> {
  const folder = mkdtempSync(path.join(tmpdir(), "shoulders-mutants-"));
  try {
    const fates = await tryMutants([...knownMutants, ...drawnMutants(seed, numMutants)], folder);
    const counted = (["refused", "decoded", "died"] as const).map((outcome) => [
      outcome,
      String(fates.filter((fate) => fate.outcome === outcome).length),
    ]);
    return {
      title: "Model files with faults, loaded and decoded",
      workload: `${knownMutants.length} known faults and ${numMutants} drawn headers (seed ${seed})`,
      head: ["outcome", "files"],
      rows: counted,
    };
  } finally {
    rmSync(folder, { recursive: true });
  }
}

/** Mean time of a step in which all eight sequences decode, ms. */
async function measureStep({ target }: Arena): Promise<number> {
  const numTokens = 400;
  const body = bodies.chat({
    max_tokens: String(numTokens),
    logit_bias: '{"0":-100,"1":-100,"2":-100,"3":-100}',
  });
  const startMs = performance.now();
  await atOnce(8, () => post(target, chatPath, body));
  return (performance.now() - startMs) / numTokens;
}

/** 600 clients of one key ask again as soon as they are answered; another key asks now and then. */
export async function benchGreedy(): Promise<PartResult> {
  await using server = await Arena.start();
  const stepMs = await measureStep(server);
  await server.neighbour(0);
  const { target } = server;
  const before = await server.neighbour(10_000);
  const body = bodies.chat({ max_tokens: "16" });
  let isOver = false;
  const clients = atOnce(600, async () => {
    while (!isOver) if ((await post(target, chatPath, body)).status !== 200) await pause(100);
  });
  await pause(2000);
  await server.neighbour(0);
  const during = await server.neighbour(20_000);
  isOver = true;
  await clients;
  const p99 = (values: readonly number[]) => quantile(values, 0.99);
  const refused = Object.values(during.chat.failures).reduce((sum, count) => sum + count, 0);
  // A refusal is no first token at all.
  const firstMs = refused > 0 ? Infinity : p99(during.chat.firsts);
  return { values: { greedy_first_token: (firstMs - stepMs) / p99(before.chat.firsts) }, tables: [] };
}

export async function benchRestart(): Promise<PartResult> {
  const startMs = performance.now();
  await using target = await Target.start();
  const loadS = (performance.now() - startMs) / 1000;
  let isOver = false;
  const clients = atOnce(100, async () => {
    while (!isOver) if ((await post(target, chatPath, bodies.chat())).status !== 200) await pause(50);
  });
  await pause(1000);
  const killedMs = performance.now();
  process.kill(target.enginePids[0] ?? 0, "SIGKILL");
  await pause(50);
  await target.until("/readyz", 60_000);
  const readyS = (performance.now() - killedMs) / 1000;
  isOver = true;
  await clients;
  return { values: { restart_beyond_s: readyS - loadS }, tables: [] };
}
