import { numFeatures, readBag } from "./bag.js";
import { chooseHead, type ChosenHead } from "./choose-head.js";
import { concerns, type FeedbackLog, type KeptAnswer, type Rating } from "./feedback-log.js";
import { numTokens, type Example } from "./heads.js";

/** Whose answers, of which model, drawn with which policy: ratings tell of answers like those that they are of. */
export interface HeadPlace {
  owner: string;
  model: string;
  /** Id; null: none. */
  policy: string | null;
}

interface Desk {
  chosen: ChosenHead | null;
  fitting: Promise<ChosenHead> | null;
  /** Ratings that came, changed or went since it was fitted. */
  numChanges: number;
}

/** Ratings that a head is fitted on, the newest, and their tokens in all. */
const mostRatings = 500;
const mostTokens = 50_000;
/** Heads that are held ready; who used his longest ago gets a new one. */
const mostDesks = 1000;

/** Fitted heads. They are derived from ratings, and fitted anew when a tenth of those has changed. */
export class CreditDesk {
  readonly #log: FeedbackLog;
  readonly #desks = new Map<string, Desk>();

  constructor(log: FeedbackLog) {
    this.#log = log;
    log.onChange((change) => {
      for (const [key, desk] of this.#desks) {
        const [owner, model] = JSON.parse(key) as [string, string, string | null];
        // What was taken back is gone at once.
        if (concerns(change, owner, model)) desk.numChanges += change.isRemoval ? Infinity : 1;
      }
    });
  }

  /** What is known without waiting; fitting begins where it is due. null: nothing yet. */
  known(place: HeadPlace): ChosenHead | null {
    const desk = this.#desk(place);
    // A fit that fails, as where the store is closed, is tried again by the next answer.
    this.#due(place, desk).catch(() => undefined);
    return desk.chosen;
  }

  /** @throws ShouldersError `store_unavailable` */
  head(place: HeadPlace): Promise<ChosenHead> {
    return this.#due(place, this.#desk(place));
  }

  #desk(place: HeadPlace): Desk {
    const key = keyOf(place);
    const desk = this.#desks.get(key) ?? { chosen: null, fitting: null, numChanges: 0 };
    this.#desks.delete(key);
    this.#desks.set(key, desk);
    const [oldest] = this.#desks.keys();
    if (this.#desks.size > mostDesks && oldest !== undefined) this.#desks.delete(oldest);
    return desk;
  }

  #due(place: HeadPlace, desk: Desk): Promise<ChosenHead> {
    const { chosen, numChanges } = desk;
    if (chosen !== null && numChanges <= chosen.ratings / 10) return Promise.resolve(chosen);
    desk.fitting ??= this.#fit(place, desk).finally(() => (desk.fitting = null));
    return desk.fitting;
  }

  async #fit(place: HeadPlace, desk: Desk): Promise<ChosenHead> {
    for (;;) {
      desk.numChanges = 0;
      const chosen = await chooseHead(await this.#examples(place));
      // Something was taken back meanwhile.
      if (desk.numChanges === Infinity) continue;
      desk.chosen = chosen;
      return chosen;
    }
  }

  /** The newest first, as many as can be looked at. */
  async #examples({ owner, model, policy }: HeadPlace): Promise<Example[]> {
    const ratings = (await this.#log.ratings(owner, model))
      .filter((rating) => (rating.policy?.id ?? null) === policy)
      .slice(-mostRatings)
      .reverse();
    const examples: Example[] = [];
    let count = 0;
    for (const rating of ratings) {
      const answer = await this.#log.answer(owner, rating.trace);
      if (answer === null) continue;
      const own = examplesOf(rating, answer);
      count += own.reduce((sum, { bag }) => sum + numTokens(bag), 0);
      if (count > mostTokens && examples.length > 0) break;
      examples.push(...own);
    }
    return examples;
  }
}

/** The answer and its spans, each with a rating of its own. */
function examplesOf({ trace, score, spans }: Rating, answer: KeptAnswer): Example[] {
  const bag = readBag(answer.bag);
  const parts = spans.map(({ from, to, score: own }) => ({
    bag: bag.slice(from * numFeatures, to * numFeatures),
    score: own,
    group: trace,
  }));
  return [{ bag, score, group: trace }, ...parts];
}

const keyOf = ({ owner, model, policy }: HeadPlace): string => JSON.stringify([owner, model, policy]);
