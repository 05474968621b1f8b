import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import path from "node:path";
import { qwen } from "../support/tool-templates.js";
import { createMemoryGroup, type MemoryGroup } from "../support/memory-group.js";
import { root } from "../support/real-engine.js";
import type { Attack } from "./attacks.js";
import { type Bounds, Canary, type CanaryReport, worst } from "./canary.js";
import { writeVariant } from "./model-variants.js";
import { get, leftEarly, pause, refusals } from "./requests.js";
import { keys, Target, type TargetOptions } from "./target.js";

export interface Outcome {
  attack: Attack;
  /** Wrong whatever else the machine does: an end, a refusal of the neighbour, an answer that may not be. */
  problems: string[];
  /** What was waited for longer, or took more memory, than the bounds allow. */
  excesses: string[];
  livezMs: number;
  chatMs: number;
  /** Most that server and engine held at a time beyond what they held when idle, MB. */
  growthMb: number;
}

/** A small container's: a server with one engine lives through all of it in so much. */
const containerBytes = 512 * 2 ** 20;
/** What another engine of a small model holds while idle. The models below have four vocabularies: four engines. */
const idleEngineBytes = 115e6;
const numOtherEngines = 3;

/** Longest that an attack's own requests and what they left behind may take. */
const attackPatienceMs = 90_000;
const settlePatienceMs = 30_000;

/**
 * A server under attack with a neighbour beside the attacker. Its models are the shipped family's, also with
 * tokenizers and templates that other families have.
 */
export class Arena implements AsyncDisposable {
  readonly #folder: string;
  readonly #options: TargetOptions;
  /** null: this system lets nobody limit memory. */
  readonly #group: MemoryGroup | null;
  #target: Target;
  #canary: Canary;
  /** Memory of both processes, MB, and what the neighbour feels while nobody attacks. */
  #idleMb = NaN;
  #idle: CanaryReport | null = null;

  private constructor(folder: string, group: MemoryGroup | null, options: TargetOptions, target: Target) {
    this.#folder = folder;
    this.#group = group;
    this.#options = options;
    this.#target = target;
    this.#canary = neighbourOf(target);
  }

  static async start(options: TargetOptions = {}): Promise<Arena> {
    const folder = mkdtempSync(path.join(tmpdir(), "shoulders-arena-"));
    const configs = makeConfigs(folder);
    const group = createMemoryGroup(containerBytes + numOtherEngines * idleEngineBytes);
    // About what Node takes in such a container by itself, in each process.
    const limited = group
      ? { through: group.through }
      : { environment: { NODE_OPTIONS: "--max-old-space-size=128" } };
    const given = { configs, ...limited, ...options };
    const arena = new Arena(folder, group, given, await Target.start(given));
    await arena.#measureIdle();
    return arena;
  }

  /** Whether the kernel holds the server to the memory of a small container. */
  get isContained(): boolean {
    return this.#group !== null;
  }

  get target(): Target {
    return this.#target;
  }

  get idle(): CanaryReport {
    if (this.#idle === null) throw new Error("the idle server has not been measured");
    return this.#idle;
  }

  /** Attacks, waits until nothing of it is left, and tells what the neighbour felt. */
  async attack(attack: Attack, bounds: Bounds): Promise<Outcome> {
    const target = this.#target;
    const engine = target.enginePids.join();
    const numKilled = this.#group?.numKilled();
    await this.#canary.report();
    target.forgetPeak();
    const problems: string[] = [];
    const sent = attack
      .send(target)
      .then((replies) => {
        const allowed = attack.allowed ?? [200, ...refusals];
        const wrong = replies.find(({ status }) => !allowed.includes(status) && status !== leftEarly);
        if (wrong) problems.push(`answered ${wrong.status}: ${wrong.text.slice(0, 300)}`);
      })
      .catch((error: unknown) => problems.push(error instanceof Error ? error.message : String(error)));
    if (!(await isWithin(sent, attackPatienceMs)))
      problems.push(`not over after ${attackPatienceMs / 1000} s`);
    else if (target.isAlive && !(await settles(target)))
      problems.push("work goes on after its clients have left");
    const seen = await this.#canary.report();
    const growthMb = target.isAlive ? target.residentMb("peak") - this.#idleMb : NaN;
    if (!target.isAlive)
      problems.push(`the server ended: ${target.process.signalCode ?? target.process.exitCode}`);
    else if (target.enginePids.join() !== engine || target.log.includes("engine process ended"))
      problems.push("the engine ended");
    if (this.#group?.numKilled() !== numKilled)
      problems.push("the kernel ended a process for lack of memory");
    problems.push(...refusalsOf(seen));
    if (problems.length > 0) problems.push(`the server's log ends with ${target.log.slice(-2000)}`);
    const excesses = excessesOf(seen, growthMb, bounds);
    if (problems.length + excesses.length > 0) await this.#startAnew();
    return { attack, problems, excesses, livezMs: worst(seen.livez), chatMs: worst(seen.chat), growthMb };
  }

  /** What the neighbour has felt since he was last asked, so many ms from here. */
  async neighbour(ms: number): Promise<CanaryReport> {
    await pause(ms);
    return this.#canary.report();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#canary[Symbol.asyncDispose]();
    await this.#target[Symbol.asyncDispose]();
    await this.#group?.remove();
    rmSync(this.#folder, { recursive: true, force: true });
  }

  /** So that the next attack is judged by itself. */
  async #startAnew(): Promise<void> {
    await this.#canary[Symbol.asyncDispose]();
    await this.#target[Symbol.asyncDispose]();
    this.#target = await Target.start(this.#options);
    this.#canary = neighbourOf(this.#target);
    await this.#measureIdle();
  }

  async #measureIdle(): Promise<void> {
    // The first answers fill caches and compile code.
    await pause(1000);
    await this.#canary.report();
    await pause(this.#idle === null ? 3000 : 500);
    const seen = await this.#canary.report();
    this.#idle = this.#idle === null ? seen : together(this.#idle, seen);
    this.#idleMb = this.#target.residentMb();
  }
}

/** Of a machine that has become busier meanwhile, too. */
function together(before: CanaryReport, after: CanaryReport): CanaryReport {
  const both = (probe: keyof CanaryReport) => ({
    ...after[probe],
    waits: [...before[probe].waits, ...after[probe].waits],
  });
  return { livez: both("livez"), chat: both("chat") };
}

function neighbourOf({ url }: Target): Canary {
  return new Canary({ url, key: keys.canary, model: "recall" });
}

function makeConfigs(folder: string): object[] {
  const family = (name: string) => path.join(root, "models/family", `${name}.gguf`);
  const variant = (id: string, texts: Record<string, string>) => {
    const file = path.join(folder, `${id}.gguf`);
    writeVariant("dwarf", file, texts);
    return file;
  };
  const recall = {
    base: family("giant"),
    reference: family("dwarf"),
    experts: [{ id: "recall", model: family("dwarf-recall") }],
    strategy: { type: "dynamic", solver: "exact", plausibility: { ratio: 0.1, of: "gated" } },
    sampling: { temperature: 0 },
  };
  const large = { tokens: 8192, sequences: 2 };
  const splitter = (pre: string) => ({
    base: variant(pre, { "tokenizer.ggml.pre": pre }),
    context: large,
  });
  return [
    { id: "recall", ...recall, context: { tokens: 512, sequences: 8 } },
    { id: "long", base: family("dwarf"), context: large, sampling: { temperature: 0 } },
    { id: "gpt4o", ...splitter("gpt-4o") },
    { id: "tekken", ...splitter("tekken") },
    {
      id: "tools",
      base: variant("qwen", { "tokenizer.chat_template": qwen }),
      context: { tokens: 512, sequences: 8 },
    },
  ];
}

async function isWithin(work: Promise<unknown>, ms: number): Promise<boolean> {
  let timer: NodeJS.Timeout | undefined;
  const late = new Promise<boolean>((resolve) => {
    timer = setTimeout(() => resolve(false), ms);
  });
  const isInTime = await Promise.race([work.then(() => true), late]);
  clearTimeout(timer);
  return isInTime;
}

/** Whether nothing but the neighbour's small requests runs or waits, in time. */
async function settles(target: Target): Promise<boolean> {
  const startMs = performance.now();
  while (target.isAlive && performance.now() - startMs < settlePatienceMs) {
    const { status, text } = await get(target, "/metrics", { key: keys.other, whole: true });
    const of = (name: string) => Number(new RegExp(`^shoulders_${name} (\\S+)$`, "m").exec(text)?.[1] ?? NaN);
    if (status === 200 && of("sequences_running") + of("requests_waiting") <= 1) return true;
    await pause(50);
  }
  return false;
}

function excessesOf({ livez, chat }: CanaryReport, growthMb: number, bounds: Bounds): string[] {
  const excesses: string[] = [];
  if (worst(livez) > bounds.livezMs)
    excesses.push(`/livez waited ${Math.round(worst(livez))} ms (at most ${Math.round(bounds.livezMs)})`);
  if (worst(chat) > bounds.chatMs)
    excesses.push(`a chat waited ${Math.round(worst(chat))} ms (at most ${Math.round(bounds.chatMs)})`);
  if (growthMb > bounds.growthMb)
    excesses.push(`${Math.round(growthMb)} MB more than idle (at most ${bounds.growthMb})`);
  return excesses;
}

function refusalsOf({ livez, chat }: CanaryReport): string[] {
  return Object.entries({ "/livez": livez, "a chat": chat }).flatMap(([name, { failures }]) =>
    Object.entries(failures).map(
      ([failure, count]) => `${name} of a neighbour was answered ${failure}, ${count} times`,
    ),
  );
}
