import { describe, expect, it } from "vitest";
import { debateSchema, settleDebate } from "../../../src/config/debate.js";
import {
  auditedTask,
  auditItem,
  auditOutcome,
  type AuditedItem,
} from "../../../src/evaluation/debate-audit.js";
import { createRandom } from "../../../src/evaluation/random.js";
import { noUsage, plainRequest, type GenerationRequest } from "../../../src/protocol/protocol.js";
import { accepted, tokenOf } from "../../support/fake-engine.js";
import { greedy } from "../../support/fake-models.js";

const numItems = 400;

/**
 * Scripted advocates and judges: the critic is right with probability c, the judge alone with j, and a judge who hears
 * a debate checks its claims and is right where the critic is.
 */
function simulated(critic: number, judge: number, random: () => number): AuditedItem[] {
  return Array.from({ length: numItems }, () => {
    const isCriticRight = random() < critic;
    const side = random() < 0.5;
    const alone = random() < judge;
    return {
      judge: alone,
      oneSide: side === isCriticRight,
      critique: isCriticRight,
      debate: isCriticRight,
      chanceQuotes: null,
      critic: isCriticRight,
    };
  });
}

describe("the outcome of an audit", () => {
  it('is "use" exactly where the critic is more than 0.05 better, wrong in under 5 of 100 runs', () => {
    for (const [critic, judge] of [
      [0.9, 0.7],
      [0.75, 0.55],
      [0.95, 0.8],
      [0.7, 0.7],
      [0.8, 0.8],
      [0.6, 0.8],
      [0.65, 0.7],
      [0.98, 0.98],
    ] as const) {
      const random = createRandom(Math.round(1000 * critic + judge * 10));
      let wrong = 0;
      for (let run = 0; run < 100; run++) {
        const outcome = auditOutcome(simulated(critic, judge, random));
        if ((outcome === "use") !== critic > judge + 0.05) wrong++;
      }
      expect(wrong, `critic ${critic}, judge ${judge}`).toBeLessThan(5);
    }
  });

  it("is harm where the debate is worse, however good the critic is", () => {
    const items = simulated(0.9, 0.7, createRandom(3)).map((item) => ({ ...item, debate: !item.critic }));
    const { outcome, ahead } = auditedTask(items, 1);
    expect(outcome).toBe("harms");
    expect(ahead["judge"]!.p).toBeLessThan(0.01);
    expect(ahead["judge"]!.high).toBeLessThan(0);
  });

  it("is no gain where the debate wins by chance, or by nothing the critic knows", () => {
    const few = simulated(0.9, 0.7, createRandom(4)).slice(0, 8);
    expect(auditedTask(few, 1).outcome).toBe("no gain");
    const lucky = simulated(0.5, 0.7, createRandom(5)).map((item) => ({ ...item, debate: true }));
    expect(auditedTask(lucky, 1).outcome).toBe("no gain");
  });
});

/** Of a text: how often it speaks for each of the candidates. */
const votes = (text: string, candidate: string) => text.split(`${candidate} is true`).length - 1;

describe("an audited item", () => {
  const settings = settleDebate(
    debateSchema.parse({ turns: 1, templates: { panel: "{question} {transcript}" } }),
    { experts: [], hasDocument: true, isChat: true },
  );

  /** The one model believes a sentence that names a candidate; characters are tokens. */
  async function* generate(request: GenerationRequest) {
    const asked = request.prompt.type === "chat" ? request.prompt.messages.at(-1)!.content : "";
    const tokens = request.forced?.type === "tokens" ? request.forced.tokens : [];
    const candidate = String.fromCharCode(...tokens);
    const logprob = -5 + votes(asked, candidate) + (candidate === "b" ? 0.1 : 0);
    yield accepted;
    const given = tokens.map((id, index) => ({
      ...tokenOf("x", index, { token: { id, text: "x" }, logprob }),
      members: { base: logprob },
    }));
    yield { type: "delta" as const, text: candidate, tokens: given };
    const end = { finishReason: "length" as const, stopString: null, queueMs: 0, feature: null };
    yield await Promise.resolve({ type: "done" as const, tokens: [], usage: noUsage, ...end });
  }

  const engine = {
    query: (query: { type: string; text?: string; prompt?: { messages: { content: string }[] } }) => {
      const text = query.text ?? query.prompt?.messages.map(({ content }) => content).join("") ?? "";
      const tokens = Array.from(text, (character) => character.charCodeAt(0));
      return Promise.resolve(
        query.type === "tokenize"
          ? { ids: Int32Array.from(tokens) }
          : { prompts: { base: { text, tokens } } },
      );
    },
  };

  const audit = (document: string) =>
    auditItem(
      {
        engine: engine as never,
        generate,
        request: {
          ...plainRequest,
          ...{ requestId: "r", owner: "o", party: "o", configId: "c", sampling: greedy },
          prompt: { type: "chat", messages: [{ role: "user", content: "Which?" }] },
        },
        candidates: ["a", "b"],
        ...{ document, settings, normalise: "sum", endToken: null, signal: new AbortController().signal },
      },
      0,
      1,
    );

  it("is judged alone, after one side, after a critique, and after a debate", async () => {
    // Alone, b is a little likelier; the document says a.
    expect(await audit("It rains. Surely a is true. The sun is out. It snows.")).toMatchObject({
      ...{ judge: false, critique: true, debate: true, critic: true },
    });
    // It says b twice, which is a lie: its own verdict is wrong, and so is everybody who hears it.
    expect(await audit("Surely b is true. As they say, b is true.")).toMatchObject({
      ...{ judge: false, oneSide: false, critique: false, debate: false, critic: false, chanceQuotes: false },
    });
  });
});
