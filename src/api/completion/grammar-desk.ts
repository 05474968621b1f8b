import { fileURLToPath } from "node:url";
import { Piscina } from "piscina";
import { ShouldersError } from "../../errors.js";
import { HeavyGrammar } from "../../grammar/json/grammar-builder.js";
import { answerGrammar, type WriteGrammar } from "./answer-grammar.js";
import type { GrammarTask, WrittenGrammar } from "./grammar-thread.js";

const thread = fileURLToPath(new URL("../../../dist/api/completion/grammar-thread.js", import.meta.url));
/** Until an idle thread ends, ms. */
const idleTimeout = 60_000;

/** For whom a grammar is written, and until when. */
export interface Asker {
  party: string;
  signal: AbortSignal;
}

/** Makes a plan whose grammar costs little at once, or tells which grammar must be written elsewhere. */
export function tryPlan<Plan>(plan: (write: WriteGrammar) => Plan): { plan: Plan } | { task: GrammarTask } {
  const tasks: GrammarTask[] = [];
  try {
    return {
      plan: plan((body, tools) => {
        tasks.push({ body, tools });
        return answerGrammar(body, tools, true);
      }),
    };
  } catch (thrown) {
    const [task] = tasks;
    if (!(thrown instanceof HeavyGrammar) || task === undefined) throw thrown;
    return { task };
  }
}

/**
 * Where answers' grammars are written: what costs little at once, the rest in a thread, which others than those who ask
 * do not wait for. Each party's are written one after the other, so that none waits for many of another's.
 */
export class GrammarDesk implements AsyncDisposable {
  readonly #pool = new Piscina<GrammarTask, WrittenGrammar>({
    filename: thread,
    ...{ minThreads: 0, maxThreads: 1, concurrentTasksPerWorker: 1, idleTimeout },
    resourceLimits: { maxOldGenerationSizeMb: 64 },
    // Not those of whoever started this process.
    execArgv: [],
  });
  /** By party, the end of what was asked last. */
  readonly #lastOf = new Map<string, Promise<unknown>>();

  /**
   * @param plan makes a plan by a way to write its grammar, and may be asked twice
   * @throws whatever the plan throws, and the signal's reason
   */
  async plan<Plan>(asker: () => Asker, plan: (write: WriteGrammar) => Plan): Promise<Plan> {
    const tried = tryPlan(plan);
    return "task" in tried ? plan(await this.write(asker(), tried.task)) : tried.plan;
  }

  /** Writes what was too much at once. @returns what gives it, or throws why it is refused */
  async write({ party, signal }: Asker, task: GrammarTask): Promise<WriteGrammar> {
    const last = this.#lastOf.get(party) ?? Promise.resolve();
    const writing = last.then(() => this.#pool.run(task, { signal }));
    const ended = writing.then(
      () => undefined,
      () => undefined,
    );
    this.#lastOf.set(party, ended);
    try {
      const written = await writing;
      return () => {
        if ("refused" in written) throw ShouldersError.fromData(written.refused);
        return written.grammar;
      };
    } catch (thrown) {
      signal.throwIfAborted();
      throw thrown;
    } finally {
      if (this.#lastOf.get(party) === ended) this.#lastOf.delete(party);
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#pool.destroy();
  }
}
