import type { Confidence } from "../config/confidence.js";
import type { StrategyConfig } from "../strategies/registry.js";
import { randomUUID } from "node:crypto";
import { samplingSchema } from "../config/fusion-config.js";
import { plainRequest } from "../protocol/protocol.js";
import { spaced } from "../verdicts/answer-tokens.js";
import { judge } from "../verdicts/judge.js";
import { mcNemar } from "../verdicts/mcnemar.js";
import { leaned } from "../verdicts/verdict.js";
import type { Asked, Example } from "./ask.js";
import { inParallel } from "./in-parallel.js";

/** How far verdicts of a config are to lean on its base, from examples whose right candidate is known. */

/** What two laws say of candidates of which one is right. */
export interface KnownVerdict {
  weak: readonly number[];
  base: readonly number[];
  right: number;
}

const alphas = [0.25, 0.5, 0.75, 1];
const thresholds = [0, 0.5, 0.7, 0.9];
/** p below which a setting has won; divided by the number of settings, for the best of many is the luckiest. */
const mostChance = 0.05 / (alphas.length * thresholds.length);

const isRight = (probabilities: readonly number[], right: number): boolean =>
  probabilities.indexOf(Math.max(...probabilities)) === right;

/** The setting with the most right verdicts; null: none wins against leaving them alone, by McNemar's exact test. */
export function chooseConfidence(known: readonly KnownVerdict[]): Confidence | null {
  const tried = alphas.flatMap((alpha) =>
    thresholds.map((threshold) => {
      const changes = known.map(({ weak, base, right }) => {
        const before = isRight(weak, right) ? 1 : 0;
        return (isRight(leaned(weak, base, { alpha, threshold }), right) ? 1 : 0) - before;
      });
      const count = (wanted: number) => changes.filter((change) => change === wanted).length;
      return { confidence: { alpha, threshold }, better: count(1), worse: count(-1) };
    }),
  );
  const gainOf = ({ better, worse }: (typeof tried)[number]) => better - worse;
  const best = tried.reduce((one, other) => (gainOf(other) > gainOf(one) ? other : one));
  const hasWon = best.better > best.worse && mcNemar(best.better, best.worse) < mostChance;
  return hasWon ? best.confidence : null;
}

/** Verdicts on the examples that have candidates, the wanted answer among them. */
export async function knownVerdicts(
  { engine, configId, signal }: Asked,
  examples: readonly Example[],
  { strategyOf, concurrency }: { strategyOf: (expert: string) => StrategyConfig; concurrency: number },
): Promise<KnownVerdict[]> {
  const asked = examples.flatMap(({ expert, prompt, answer, choices = [] }) => {
    const right = answer === null ? -1 : choices.indexOf(answer);
    return expert === null || right < 0 || choices.length < 2 ? [] : [{ expert, prompt, choices, right }];
  });
  return inParallel(asked, concurrency, async ({ expert, prompt, choices, right }) => {
    const { probabilities } = await judge({
      engine,
      generate: (request, either) => engine.generate(request, either),
      request: {
        ...plainRequest,
        ...{ requestId: randomUUID(), owner: "calibrate", party: "calibrate", configId, prompt },
        ...{ strategy: strategyOf(expert), sampling: samplingSchema.parse({ temperature: 0 }) },
        logprobs: "unrestricted",
      },
      candidates: choices.map((choice) => spaced(prompt, choice)),
      ...{ endToken: null, signal },
      options: { laws: ["fused", "base"], normalise: "sum", confidence: null },
    });
    return { weak: probabilities["fused"] ?? [], base: probabilities["base"] ?? [], right };
  });
}
