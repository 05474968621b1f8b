import { afterAll, beforeAll, describe, expect, it } from "vitest";
import type { Explanation } from "../../src/wire/fusion.js";
import type { VerdictAnswer } from "../../src/wire/verdict.js";
import { run } from "../support/command-line.js";
import { startRealServer, type RealServer } from "../support/real-server.js";
import { connect } from "../support/socket.js";

let server: RealServer;
beforeAll(async () => {
  server = await startRealServer();
});
afterAll(() => server.close());

const messages = [{ role: "user", content: "What is the home town of Venur Gevol?" }];
const candidates = ["Trorar", "Gevol", "12", "the river"];
const laws = ["fused", "base", "expert:trivia", "expert:sums"];

async function judge(body: object): Promise<VerdictAnswer> {
  const response = await server.post("/v1/fusion/judge", { model: "both", messages, candidates, ...body });
  expect(response.status, await response.clone().text()).toBe(200);
  return (await response.json()) as VerdictAnswer;
}

/** The sum that `explain` gives the same tokens. */
async function explained(completion: number[], body: object): Promise<number> {
  const response = await server.post("/v1/fusion/explain", { model: "both", messages, completion, ...body });
  return ((await response.json()) as Explanation).logprob.sum;
}

const bestOf = (answer: VerdictAnswer) => answer.verdicts[0]!.candidates[answer.verdicts[0]!.verdict]!.text;

describe("laws", () => {
  it("are what explain says of the same tokens, each by itself", async () => {
    const weights = { trivia: 1, sums: 0.5 };
    const alone = (id: string) => ({
      strategy: {
        ...{ type: "mixture", prior: { [id]: 1 } },
        components: { [id]: { kind: "alone", weight: 1, plausibility: null } },
      },
    });
    const fusionOf = {
      fused: { weights },
      base: { strategy: { type: "base" } },
      "expert:trivia": alone("trivia"),
      "expert:sums": alone("sums"),
    };
    const [together] = (await judge({ laws, fusion: { weights } })).verdicts;
    for (const [index, text] of candidates.entries()) {
      const [verdict] = (await judge({ laws, fusion: { weights }, candidates: [text] })).verdicts;
      const { tokens, logprob } = verdict!.candidates[0]!;
      for (const [law, fusion] of Object.entries(fusionOf)) {
        const sum = await explained(tokens, { fusion: { ...fusion, logprobs: "unrestricted" } });
        expect(Math.abs(logprob[law]! - sum), law).toBeLessThan(2e-5);
        // Rows differ in their last bits with what else is in their batch.
        expect(Math.abs(together!.candidates[index]!.logprob[law]! - sum), law).toBeLessThan(5e-3);
      }
    }
    expect(together!.best["fused"]).toBe(0);
  });

  it("base is the fusion at weight 0", async () => {
    const zero = await judge({ laws: ["fused", "base"], fusion: { weights: { trivia: 0, sums: 0 } } });
    for (const { logprob } of zero.verdicts[0]!.candidates)
      expect(logprob["fused"]).toBeCloseTo(logprob["base"]!, 4);
    expect(zero.verdicts[0]).toMatchObject({ settled: true });
    expect(zero.verdicts[0]!.agreement).toBeCloseTo(1, 4);
  });

  it("may be of experts that a mixture leaves out", async () => {
    const mixture = { strategy: { type: "mixture", prior: { trivia: 1 } } };
    const one = await judge({ laws, fusion: mixture });
    const all = await judge({ laws });
    for (const [index, { logprob }] of one.verdicts[0]!.candidates.entries())
      for (const law of laws.slice(1))
        expect(logprob[law]).toBeCloseTo(all.verdicts[0]!.candidates[index]!.logprob[law]!, 4);
  });
});

describe("a verdict", () => {
  it("does not depend on the order, halves a duplicate, and is sure of one alone", async () => {
    const plain = await judge({});
    const turned = await judge({ candidates: [...candidates].reverse() });
    expect(bestOf(turned)).toBe(bestOf(plain));
    const inOrder = (answer: VerdictAnswer) =>
      Object.fromEntries(
        answer.verdicts[0]!.candidates.map(({ text, logprob }) => [text, logprob["fused"]!]),
      );
    for (const [text, sum] of Object.entries(inOrder(turned)))
      expect(sum).toBeCloseTo(inOrder(plain)[text]!, 4);
    const [first, second] = (await judge({ candidates: ["Trorar", "Trorar"] })).verdicts[0]!.candidates;
    expect([first!.verdict, second!.verdict]).toEqual([0.5, 0.5]);
    expect((await judge({ candidates: ["Trorar"] })).verdicts[0]!.candidates[0]!.verdict).toBe(1);
  });

  it("with α 0 is the weak one, with α 1 and threshold 0 the base's best", async () => {
    const weak = await judge({});
    expect((await judge({ confidence: { alpha: 0 } })).verdicts[0]!.verdict).toBe(weak.verdicts[0]!.verdict);
    const [whole] = (await judge({ confidence: { alpha: 1, threshold: 0 } })).verdicts;
    expect(whole!.verdict).toBe(whole!.best["base"]);
  });

  it("counts the end of an answer where it is asked to", async () => {
    const [sum, end] = [await judge({}), await judge({ normalise: "end" })];
    const [plain, ended] = [sum, end].map((answer) => answer.verdicts[0]!.candidates[0]!) as [
      VerdictAnswer["verdicts"][0]["candidates"][0],
      VerdictAnswer["verdicts"][0]["candidates"][0],
    ];
    expect(ended.tokens.slice(0, -1)).toEqual(plain.tokens);
    expect(ended.logprob["fused"]).toBeLessThan(plain.logprob["fused"]!);
  });

  it("reads a prompt once for 64 candidates, among others' requests", async () => {
    const many = Array.from({ length: 64 }, (_, index) => `Town ${index}`);
    const prompts = [{ messages }, { prompt: "Q: What is the home town of Venur Gevol?\nA:" }];
    const [answer] = await Promise.all([
      judge({ messages: undefined, prompts, candidates: many }),
      judge({}),
      server.client.chat.completions.create({
        ...{ model: "both", temperature: 0, max_completion_tokens: 8 },
        messages: [{ role: "user", content: "What is 2 + 2?" }],
      }),
    ]);
    expect(answer.verdicts.map(({ candidates: judged }) => judged.length)).toEqual([64, 64]);
    const { candidates: judged } = answer.verdicts[0]!;
    expect(judged.reduce((sum, { verdict }) => sum + verdict, 0)).toBeCloseTo(1, 3);
    // Each prompt counts once, with what was tokenized.
    expect(answer.usage.prompt_tokens).toBeLessThan(100);
  });

  it("leaves no cells behind when its client goes", async () => {
    const leaving = new AbortController();
    const many = Array.from({ length: 64 }, (_, index) => `Town ${index} and ${"more ".repeat(40)}`);
    const asked = fetch(`${server.url}/v1/fusion/judge`, {
      ...{ method: "POST", headers: { "Content-Type": "application/json" }, signal: leaving.signal },
      body: JSON.stringify({ model: "both", messages, candidates: many }),
    }).catch(() => null);
    await expect.poll(() => server.engine.stats.running).toBeGreaterThan(0);
    leaving.abort();
    expect(await asked).toBeNull();
    await expect.poll(() => server.engine.stats).toMatchObject({ running: 0, waiting: 0 });
  });

  it("comes over WebSocket, too", async () => {
    const socket = await connect(server.url);
    socket.send({ type: "verdict.create", verdict: { model: "both", messages, candidates } });
    const { verdict } = await socket.until("verdict.done");
    expect(verdict?.verdicts[0]?.verdict).toBe((await judge({})).verdicts[0]!.verdict);
  });
});

describe("shoulders judge", () => {
  it("prints a table, the best marked", async () => {
    const { code, stdout } = await run([
      ...["judge", messages[0]!.content, "--fusion", "trivia", "--laws", "fused,base"],
      ...["--candidates", "Trorar", "Gevol"],
    ]);
    expect(code).toBe(0);
    expect(stdout).toMatch(/^ +candidate +tokens +fused +p +base +p +verdict\n/);
    expect(stdout).toMatch(/→ +Trorar/);
    expect(stdout).toMatch(/agreement [01]\.\d+, settled/);
    const wrong = await run(["judge", "x", "--fusion", "trivia", "--candidates", "a", "--laws", "best"]);
    expect(wrong).toMatchObject({ code: 2, stdout: "" });
    expect(wrong.stderr).toContain("known: fused, base, expert:trivia");
  });
});
