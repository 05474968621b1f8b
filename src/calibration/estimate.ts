import {
  type Asked,
  type Example,
  answerOf,
  featureOfPrompt,
  mixtureOf,
  readingsOf,
  scoreAnswer,
} from "./ask.js";
import { backgroundPrompts } from "./background.js";
import { firstTrials, trialReadings } from "./choose-component.js";
import { inParallel } from "./in-parallel.js";
import { readerOf } from "./reference-alone.js";

/** What a calibration asks of an engine. */
export interface Work {
  /** Prompts to read: of the examples, each in up to four forms, and of no task. */
  numReadings: number;
  /** Answers to read, each again for other settings. */
  numScored: number;
  seconds: number;
}

export interface Workload {
  asked: Asked;
  groups: readonly { expert: string | null; examples: readonly Example[] }[];
  concurrency: number;
}

const seconds = async (run: () => Promise<unknown>): Promise<number> => {
  const start = performance.now();
  await run();
  return (performance.now() - start) / 1000;
};

/** Reads a prompt and scores an answer for each place of the engine, of all experts alike, and counts the others. */
export async function estimate({ asked, groups, concurrency }: Workload): Promise<Work> {
  const ofExperts = groups.filter(({ expert }) => expert !== null);
  const all = groups.flatMap(({ examples }) => examples);
  const numReadings = all.flatMap(({ prompt }) => readingsOf(prompt)).length + backgroundPrompts(all).length;
  const numAnswers = ofExperts.reduce((sum, { examples }) => sum + examples.length, 0);
  // Its own settings; every other expert and the base; today's config and the card.
  const numOthers = ofExperts.length > 1 ? 1 : 0;
  const numScored = numAnswers * (trialReadings + numOthers + 1);

  const reader = { ...asked, configId: await readerOf(asked, groups) };
  const each = Math.ceil(concurrency / ofExperts.length);
  const sample = ofExperts.flatMap(({ examples }) => examples.slice(0, each));
  const forReadings = await seconds(() =>
    inParallel(sample, concurrency, ({ prompt }) => featureOfPrompt(reader, prompt)),
  );
  const answers = await inParallel(sample, concurrency, (example) => answerOf(asked, example));
  const forAnswers = await seconds(() =>
    inParallel(answers, concurrency, (answer) =>
      scoreAnswer(asked, answer, {
        strategies: firstTrials(false).map((one) =>
          mixtureOf({ [answer.expert]: 1 }, { [answer.expert]: one }),
        ),
        expert: answer.expert,
      }),
    ),
  );
  return {
    numReadings,
    numScored,
    seconds: (numReadings * forReadings + numScored * forAnswers) / sample.length,
  };
}
