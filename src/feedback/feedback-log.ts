import { ShouldersError, fieldError } from "../errors.js";
import type { Journal, News } from "../store/journal.js";
import type { Entry, NewEntry, Retention } from "../store/store.js";
import type { DebateAnswer } from "../wire/debate.js";
import type { FeedbackSpan } from "../wire/feedback.js";
import type { BagWriter } from "./bag.js";

/** The policy of an answer, and what its rating will be weighed by. */
export interface PolicyDraw {
  id: string;
  /** 1 where it was asked for, or pinned. */
  probability: number;
  /** See `Draw`. */
  gamma: number;
  /** Whether chance drew it: only such ratings weigh. */
  isDrawn: boolean;
}

/** An answer that was given, as it is kept. */
export interface KeptAnswer {
  numTokens: number;
  /** See `BagWriter`. */
  bag: string;
  policy: PolicyDraw | null;
  /** Where texts are kept. */
  texts?: AnswerTexts;
}

export interface AnswerTexts {
  prompt: unknown;
  answer: string;
}

/** What somebody says of an answer. */
export interface Rating {
  trace: string;
  model: string;
  /** Unix time, ms. */
  at: number;
  /** 0 to 1. */
  score: number;
  spans: FeedbackSpan[];
  note: string | null;
  policy: PolicyDraw | null;
  /** Place in the log of the first rating of this answer: later ones change it, and do not move it. */
  seq: number;
}

/** A rating as it is kept; score null: it was taken back. `first`: null in the first of its answer. */
type KeptRating = Pick<Rating, "spans" | "note" | "policy"> & { score: number | null; first: number | null };

export interface GivenRating {
  trace: string;
  score: number;
  spans?: FeedbackSpan[];
  note?: string | null;
}

/** What was rated, pinned or taken back, by this server or another. */
export interface Change {
  /** Owner and model; null: of any. */
  owner: string | null;
  model: string | null;
  isRemoval: boolean;
  /** Nothing is left in the log, not even that it was taken back: what is known has to be read anew. */
  isForgotten: boolean;
}

/** Whether a change may be of this owner's answers of this model. */
export const concerns = ({ owner, model }: Change, itsOwner: string, itsModel: string): boolean =>
  (owner ?? itsOwner) === itsOwner && (model ?? itsModel) === itsModel;

/** What may have happened while nobody listened. */
const anything: Change = { owner: null, model: null, isRemoval: true, isForgotten: true };

export interface FeedbackSettings {
  isOn: boolean;
  keepsTexts: boolean;
  maxAgeMs: number;
  maxBytes: number;
  /** Milliseconds; a test's clock. */
  now?: () => number;
}

/** Answers that may be rated, and their ratings; nobody sees another's. */
export class FeedbackLog {
  readonly #journal: Journal;
  readonly #settings: Required<FeedbackSettings>;
  readonly #listeners: ((change: Change) => void)[] = [];

  constructor(journal: Journal, settings: FeedbackSettings) {
    this.#journal = journal;
    this.#settings = { now: Date.now, ...settings };
    journal.onNews(topic, (change) => this.#changed((change as Change | null) ?? anything));
  }

  /** Why answers cannot be rated now; null: they can. */
  get trouble(): string | null {
    return this.#settings.isOn ? this.#journal.trouble : "the setting says so";
  }

  get keepsTexts(): boolean {
    return this.#settings.keepsTexts;
  }

  /** What may stay. */
  get retention(): Retention {
    const { now, maxAgeMs, maxBytes } = this.#settings;
    return { kinds: ["answer", "rating", "debate"], oldest: now() - maxAgeMs, maxBytes };
  }

  onChange(listener: (change: Change) => void): void {
    this.#listeners.push(listener);
  }

  /** Does not wait for the disk; a rating that comes next finds it all the same. */
  answered(
    { owner, model, trace }: { owner: string; model: string; trace: string },
    { bag, policy, texts }: { bag: BagWriter; policy: PolicyDraw | null; texts?: AnswerTexts },
  ): void {
    if (this.trouble !== null) return;
    const { numTokens } = bag;
    const kept: KeptAnswer = { numTokens, bag: bag.toString(), policy, ...(texts && { texts }) };
    const entry = { at: this.#settings.now(), owner, kind: "answer", topic: model, key: trace } as const;
    // Where it fails the journal says so; the answer is out.
    this.#journal.write([{ ...entry, body: JSON.stringify(kept) }]).catch(() => undefined);
  }

  /**
   * Rates an answer of this owner, or rates it anew. Resolves when the rating outlives the process.
   * @throws ShouldersError `trace_not_found`, `invalid_request`, `store_unavailable`
   */
  async rate(owner: string, { trace, score, spans = [], note = null }: GivenRating): Promise<Rating> {
    this.#requireOn();
    const answer = await this.#journal.find({ owner, kind: "answer", key: trace });
    if (answer === null) throw notRateable();
    const { numTokens, policy } = JSON.parse(answer.body) as KeptAnswer;
    const tooLong = spans.findIndex(({ to }) => to > numTokens);
    if (tooLong >= 0) throw fieldError(`spans.${tooLong}.to`, `the answer has ${numTokens} tokens`);
    const before = await this.#journal.find({ owner, kind: "rating", key: trace });
    const at = this.#settings.now();
    const kept: KeptRating = {
      ...{ score, spans, policy, first: before && firstOf(before) },
      note: this.keepsTexts ? note : null,
    };
    await this.#append({ at, owner, topic: answer.topic, key: trace }, kept);
    const rating = await this.get(owner, trace);
    if (rating === null) throw notRateable();
    return rating;
  }

  /** As if it had never been rated. @returns whether it was @throws ShouldersError `store_unavailable` */
  async unrate(owner: string, trace: string): Promise<boolean> {
    const before = await this.#journal.find({ owner, kind: "rating", key: trace });
    if (before === null || toRating(before) === null) return false;
    const kept: KeptRating = { score: null, spans: [], note: null, policy: null, first: firstOf(before) };
    await this.#append({ at: this.#settings.now(), owner, topic: before.topic, key: trace }, kept);
    return true;
  }

  async get(owner: string, trace: string): Promise<Rating | null> {
    const entry = await this.#journal.find({ owner, kind: "rating", key: trace });
    return entry && toRating(entry);
  }

  /** All ratings of an owner, of one model where it is given; in the order in which the answers were first rated. */
  async ratings(owner: string, model?: string): Promise<Rating[]> {
    const place = { owner, kind: "rating", ...(model !== undefined && { topic: model }) } as const;
    const query = { ...place, limit: mostRatings, order: "newest", isLatest: true } as const;
    const entries = await this.#journal.read(query);
    const ratings = entries.flatMap((entry) => toRating(entry) ?? []);
    return ratings.sort((a, b) => a.seq - b.seq);
  }

  /** What was rated, rated anew or taken back (null) after a place in the log, oldest first. */
  async changes(
    owner: string,
    model: string,
    after: number,
  ): Promise<{ trace: string; rating: Rating | null; at: number }[]> {
    const query = {
      owner,
      kind: "rating",
      topic: model,
      after,
      limit: mostRatings,
      order: "oldest",
    } as const;
    const entries = await this.#journal.read(query);
    return entries.map((entry) => ({ trace: entry.key, rating: toRating(entry), at: entry.seq }));
  }

  /** What is kept of an answer; null: it is too old, or it never was. */
  async answer(owner: string, trace: string): Promise<(KeptAnswer & { model: string }) | null> {
    const entry = await this.#journal.find({ owner, kind: "answer", key: trace });
    return entry && { ...(JSON.parse(entry.body) as KeptAnswer), model: entry.topic };
  }

  /** Keeps a debate beside its answer: it does not wait for the disk. */
  debated({ owner, model, id }: { owner: string; model: string; id: string }, debate: DebateAnswer): void {
    if (this.trouble !== null) return;
    const entry = { at: this.#settings.now(), owner, kind: "debate", topic: model, key: id } as const;
    this.#journal.write([{ ...entry, body: JSON.stringify(debate) }]).catch(() => undefined);
  }

  /** null: it is too old, or it never was. */
  async debate(owner: string, id: string): Promise<DebateAnswer | null> {
    const entry = await this.#journal.find({ owner, kind: "debate", key: id });
    return entry && (JSON.parse(entry.body) as DebateAnswer);
  }

  /** Newest first. */
  async debates(owner: string, limit: number): Promise<DebateAnswer[]> {
    const entries = await this.#journal.read({ owner, kind: "debate", limit, order: "newest" });
    return entries.map(({ body }) => JSON.parse(body) as DebateAnswer);
  }

  /** Leaves no rating of an owner, of one model or of all, and nothing of answers and debates. @returns how many entries went */
  async forget(owner: string, model?: string): Promise<number> {
    const place = { owner, ...(model !== undefined && { topic: model }) };
    const change: Change = { owner, model: model ?? null, isRemoval: true, isForgotten: true };
    const numRatings = await this.#journal.forget({ ...place, kind: "rating" }, newsOf(change));
    const numAnswers = await this.#journal.forget({ ...place, kind: "answer" });
    const numDebates = await this.#journal.forget({ ...place, kind: "debate" });
    this.#changed(change);
    return numRatings + numAnswers + numDebates;
  }

  /** Lets one policy of a model answer; null: ratings choose. @throws ShouldersError `store_unavailable` */
  async pin(owner: string, model: string, policy: string | null): Promise<void> {
    const place = { at: this.#settings.now(), owner, topic: model, key: model };
    const change: Change = { owner, model, isRemoval: false, isForgotten: false };
    await this.#journal.write([{ ...place, kind: "pin", body: JSON.stringify(policy) }], newsOf(change));
    this.#changed(change);
  }

  /** The policy that was pinned last; null: none is. @throws ShouldersError `store_unavailable` */
  async pinned(owner: string, model: string): Promise<string | null> {
    const pin = await this.#journal.find({ owner, kind: "pin", topic: model });
    return pin && (JSON.parse(pin.body) as string | null);
  }

  async #append(place: Omit<NewEntry, "kind" | "body">, kept: KeptRating): Promise<void> {
    const { owner, topic: model } = place;
    const change: Change = { owner, model, isRemoval: kept.score === null, isForgotten: false };
    await this.#journal.write([{ ...place, kind: "rating", body: JSON.stringify(kept) }], newsOf(change));
    this.#changed(change);
  }

  #changed(change: Change): void {
    for (const listener of this.#listeners) listener(change);
  }

  #requireOn(): void {
    if (!this.#settings.isOn)
      throw new ShouldersError("store_unavailable", "This server takes no feedback: its settings say so.");
  }
}

/** Of what other servers tell. */
const topic = "feedback";
const newsOf = (body: Change): News => ({ topic, body });

/** Ratings of one owner that are looked at, the newest. */
const mostRatings = 100_000;

const firstOf = (entry: Entry): number => (JSON.parse(entry.body) as KeptRating).first ?? entry.seq;

/** null: it was taken back. */
function toRating(entry: Entry): Rating | null {
  const { score, spans, note, policy, first } = JSON.parse(entry.body) as KeptRating;
  if (score === null) return null;
  const { key: trace, topic: model, at, seq } = entry;
  return { trace, model, at, score, spans, note, policy, seq: first ?? seq };
}

export function notRateable(): ShouldersError {
  return new ShouldersError(
    "trace_not_found",
    "No answer of yours has this id: it is too old, it was forgotten, or it never was.",
    { param: "trace" },
  );
}
