import { randomInt } from "node:crypto";
import { setTimeout as delay } from "node:timers/promises";
import { drawOf, type ChooserName } from "./chooser.js";
import { concerns, type FeedbackLog, type PolicyDraw, type Rating } from "./feedback-log.js";
import { foldRatings, type Folded, type RatedDraw } from "./fold.js";

/** What a config says of its policies. */
export interface PolicyRules {
  /** Ids, in order. */
  ids: readonly string[];
  choose: ChooserName;
  explore: number;
  halfLife: number | null;
}

/** Whose answers, of which model. */
export interface PolicyPlace {
  owner: string;
  model: string;
}

interface Desk {
  /** Rated answers that have a policy, by trace. */
  ratings: Map<string, Rating>;
  /** Those of policies, in their order; null: to be made anew. */
  draws: RatedDraw[] | null;
  /** How far the log was read. */
  lastSeq: number;
  pinned: string | null;
  reading: Promise<void> | null;
  hasRead: boolean;
  /** null: it is over, or not begun. */
  firstRead: Promise<void> | null;
  /** Something of it was forgotten: it is read from the beginning. */
  isStale: boolean;
}

/** Desks, and conversations, that are remembered. */
const mostDesks = 1000;
const mostConversations = 10_000;

/** How long an answer may wait for what ratings say, ms. */
const mostWaitMs = 250;

const noEntropy = 2 ** 47;

/** Draws policies, and knows what ratings say of them; all of it is read from the log. */
export class PolicyDesk {
  readonly #log: FeedbackLog;
  readonly #desks = new Map<string, Desk>();
  /** Conversation to its policy. */
  readonly #drawn = new Map<string, PolicyDraw>();
  /** From 0 to 1. */
  readonly #random: () => number;

  constructor(log: FeedbackLog, random = () => randomInt(noEntropy) / noEntropy) {
    this.#log = log;
    this.#random = random;
    log.onChange((change) => {
      for (const [key, desk] of this.#desks) {
        const [owner, model] = JSON.parse(key) as [string, string];
        if (!concerns(change, owner, model)) continue;
        desk.isStale ||= change.isForgotten;
        this.#read({ owner, model }, desk).catch(() => undefined);
      }
    });
  }

  /**
   * The policy of the next answer. A conversation keeps the one that it began with.
   *
   * @param conversation null: one that begins, and has no name
   */
  async draw(
    place: PolicyPlace,
    rules: PolicyRules,
    { conversation, begins }: { conversation: string; begins: boolean },
  ): Promise<PolicyDraw> {
    const desk = this.#desk(place);
    // Only the first time: later ratings are read beside the answers. A database that hangs is not waited for.
    if (!desk.hasRead) {
      desk.firstRead ??= this.#read(place, desk)
        .catch(() => undefined)
        .finally(() => (desk.firstRead = null));
      await Promise.race([desk.firstRead, delay(mostWaitMs, undefined, { ref: false })]);
    }
    const key = JSON.stringify([place.owner, place.model, conversation]);
    const before = begins ? undefined : this.#drawn.get(key);
    const draw = before !== undefined && rules.ids.includes(before.id) ? before : this.#drawAnew(desk, rules);
    remember(this.#drawn, key, draw, mostConversations);
    return draw;
  }

  /** What ratings have come to, and what the next draw would be. @throws ShouldersError `store_unavailable` */
  async standing(place: PolicyPlace, rules: PolicyRules) {
    const desk = this.#desk(place);
    await this.#read(place, desk);
    const draws = this.#drawsOf(desk);
    return { folded: foldRatings(draws, rules.ids, rules.halfLife), draws, pinned: desk.pinned };
  }

  /** @throws ShouldersError `store_unavailable` */
  async pin(place: PolicyPlace, policy: string | null): Promise<void> {
    await this.#log.pin(place.owner, place.model, policy);
  }

  #drawAnew(desk: Desk, rules: PolicyRules): PolicyDraw {
    const { pinned } = desk;
    if (pinned !== null && rules.ids.includes(pinned))
      return { id: pinned, probability: 1, gamma: 0, isDrawn: false };
    const { probabilities, gamma } = nextDraw(
      foldRatings(this.#drawsOf(desk), rules.ids, rules.halfLife),
      rules,
    );
    let [at, left] = [0, this.#random()];
    while (at < rules.ids.length - 1 && (left -= probabilities[at] ?? 0) >= 0) at++;
    return { id: rules.ids[at] ?? "", probability: probabilities[at] ?? 1, gamma, isDrawn: true };
  }

  /** Every answer asks, and ratings come seldom. */
  #drawsOf(desk: Desk): RatedDraw[] {
    desk.draws ??= [...desk.ratings.values()]
      .sort((a, b) => a.seq - b.seq)
      .flatMap(({ score, policy }) => {
        if (policy === null) return [];
        const { id, ...draw } = policy;
        return [{ policy: id, score, ...draw }];
      });
    return desk.draws;
  }

  #desk(place: PolicyPlace): Desk {
    const key = JSON.stringify([place.owner, place.model]);
    const fresh = {
      ratings: new Map(),
      draws: null,
      lastSeq: 0,
      pinned: null,
      reading: null,
      hasRead: false,
      firstRead: null,
      isStale: false,
    };
    const desk: Desk = this.#desks.get(key) ?? fresh;
    remember(this.#desks, key, desk, mostDesks);
    return desk;
  }

  /** Reads what has come since, after what is being read. */
  #read(place: PolicyPlace, desk: Desk): Promise<void> {
    const reading = (desk.reading ?? Promise.resolve())
      .catch(() => undefined)
      .then(() => this.#readNow(place, desk));
    desk.reading = reading;
    return reading;
  }

  async #readNow({ owner, model }: PolicyPlace, desk: Desk): Promise<void> {
    const { isStale } = desk;
    desk.isStale = false;
    try {
      const changes = await this.#log.changes(owner, model, isStale ? 0 : desk.lastSeq);
      desk.pinned = await this.#log.pinned(owner, model);
      if (isStale) Object.assign(desk, { ratings: new Map(), draws: null, lastSeq: 0 });
      for (const { trace, rating, at } of changes) {
        if (rating === null) desk.ratings.delete(trace);
        else desk.ratings.set(trace, rating);
        desk.lastSeq = at;
        desk.draws = null;
      }
      desk.hasRead = true;
    } catch (thrown) {
      desk.isStale ||= isStale;
      throw thrown;
    }
  }
}

/** By what ratings have come to. */
export function nextDraw(folded: Folded, { choose, explore }: PolicyRules) {
  // A policy that nobody rated is tried before one that is known to lose.
  const means = folded.counts.map((count, at) => (count === 0 ? 0 : 1 - (folded.scores[at] ?? 0) / count));
  return drawOf(choose, folded, { explore, means });
}

/** Puts it last in the map, and drops the first where there are too many. */
function remember<Value>(map: Map<string, Value>, key: string, value: Value, most: number): void {
  map.delete(key);
  map.set(key, value);
  const [oldest] = map.keys();
  if (map.size > most && oldest !== undefined) map.delete(oldest);
}
