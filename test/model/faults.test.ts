import { afterEach, beforeEach, describe, expect, it, type TestContext } from "vitest";
import type { Engine, GenerationRequest } from "../../src/protocol/protocol.js";
import { isAlive } from "../support/processes.js";
import { answer, faultyEntry, resolvedConfig, startRealEngine, textRequest } from "../support/real-engine.js";

const config = resolvedConfig({
  id: "trivia",
  base: "giant",
  reference: "dwarf",
  experts: { trivia: "dwarf-trivia" },
});

const ask = (text: string, options: Partial<GenerationRequest> = {}) => textRequest("trivia", text, options);

/** Resolves once the engine is in the wished state; the vitest time-out is the limit. */
async function until(condition: () => boolean): Promise<void> {
  while (!condition()) await new Promise((resolve) => setTimeout(resolve, 5));
}

// These wait for a child's time to be over, each beside the others.
describe.concurrent("an engine whose child", () => {
  const started = async ({ onTestFinished }: TestContext): Promise<Engine> => {
    const engine = await startRealEngine([config], {}, faultyEntry);
    onTestFinished(() => engine.close());
    return engine;
  };

  it.for(["hang", "block"])(
    "takes too long for a step (%s) kills and replaces it",
    async (fault, context) => {
      const engine = await started(context);
      const pid = engine.description!.pid;
      await expect(answer(engine, ask(`!${fault}!`))).rejects.toMatchObject({ code: "engine_died" });
      await until(() => engine.description !== null);
      expect(engine.description!.pid).not.toBe(pid);
      expect((await answer(engine, ask("The"))).ids.length).toBeGreaterThan(0);
    },
  );

  it("hangs while nobody asks for tokens finds that out, and fails the question that it owes", async (context) => {
    const engine = await started(context);
    const pid = engine.description!.pid;
    process.kill(pid, "SIGSTOP");
    const question = engine.query({ type: "detokenize", configId: "trivia", tokens: Int32Array.of(300) });
    await expect(question).rejects.toMatchObject({ code: "engine_died" });
    await until(() => engine.description !== null);
    expect(engine.description!.pid).not.toBe(pid);
    expect((await answer(engine, ask("The"))).ids.length).toBeGreaterThan(0);
  });

  it("has died three times within a minute backs off", async (context) => {
    const engine = await started(context);
    for (let death = 0; death < 3; death++) {
      process.kill(engine.description!.pid, "SIGKILL");
      await until(() => engine.description === null);
      await until(() => engine.description !== null);
    }
    const killedMs = performance.now();
    process.kill(engine.description!.pid, "SIGKILL");
    await until(() => engine.description === null);
    await until(() => engine.description !== null);
    // Not a figure: the fourth start waits at least its back-off of two seconds.
    expect(performance.now() - killedMs).toBeGreaterThan(1_900);
  });
});

describe("faults of the engine child", () => {
  let engine: Engine;

  beforeEach(async () => {
    engine = await startRealEngine([config], {}, faultyEntry);
  });

  afterEach(async () => engine.close());

  const long = () => answer(engine, ask("The birth year of", { maxTokens: 400 }));

  it.each(["abort", "segfault", "exit"])(
    "%s: every client is told, and a new child answers as the old one did",
    async (fault) => {
      const pid = engine.description!.pid;
      const before = await answer(engine, ask("Question: When was Monen Rupi born?\nAnswer:"));
      const running = Array.from({ length: 6 }, () => long());
      await until(() => engine.stats.running === 6);
      const outcomes = await Promise.allSettled([...running, answer(engine, ask(`!${fault}!`))]);
      for (const outcome of outcomes) {
        expect(outcome.status).toBe("rejected");
        if (outcome.status === "rejected")
          expect(outcome.reason).toMatchObject({ code: "engine_died", status: 503 });
      }
      expect(engine.description).toBeNull();
      await expect(answer(engine, ask("x"))).rejects.toMatchObject({ code: "engine_not_ready" });
      await until(() => engine.description !== null);
      expect(engine.description!.pid).not.toBe(pid);
      expect(isAlive(pid)).toBe(false);
      const after = await answer(engine, ask("Question: When was Monen Rupi born?\nAnswer:"));
      expect(after.text).toBe(before.text);
    },
  );

  it("a row that is not finite ends its own request, names the model, and spares the neighbours", async () => {
    const alone = await answer(engine, ask("The birth year of", { maxTokens: 60 }));
    const neighbour = answer(engine, ask("The birth year of", { maxTokens: 60 }));
    await expect(answer(engine, ask("!nan!"))).rejects.toMatchObject({
      code: "non_finite_logits",
      message: expect.stringMatching(/base.*"trivia"/s) as string,
    });
    expect((await neighbour).ids).toEqual(alone.ids);
  });

  it("a failed decode ends what was in its batch; the next request works in the same child", async () => {
    const pid = engine.description!.pid;
    await expect(answer(engine, ask("!device!"))).rejects.toMatchObject({ code: "decode_failed" });
    expect((await answer(engine, ask("The"))).ids.length).toBeGreaterThan(0);
    expect(engine.description!.pid).toBe(pid);
    expect(engine.stats).toMatchObject({ running: 0, waiting: 0 });
  });

  it("a device that stays lost: the requests fail, and after three failed steps a new child works", async () => {
    const pid = engine.description!.pid;
    await expect(answer(engine, ask("!broken!"))).rejects.toMatchObject({ code: "decode_failed" });
    await expect(answer(engine, ask("The"))).rejects.toMatchObject({ code: "decode_failed" });
    // The last of them may be told of its step, or of the end of its engine.
    await expect(answer(engine, ask("The"))).rejects.toMatchObject({
      code: expect.stringMatching(/^(decode_failed|engine_died)$/) as string,
    });
    await until(() => engine.description !== null && engine.description.pid !== pid);
    expect((await answer(engine, ask("The"))).ids.length).toBeGreaterThan(0);
    expect(engine.numRestarts).toBe(1);
  });

  it("closing while requests run ends them and the child", async () => {
    const pid = engine.description!.pid;
    const running = [long(), long()];
    await until(() => engine.stats.running === 2);
    await engine.close();
    for (const outcome of await Promise.allSettled(running)) expect(outcome.status).toBe("rejected");
    expect(isAlive(pid)).toBe(false);
  });
});
