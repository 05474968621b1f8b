import type { DebateSettings } from "../../config/debate.js";
import { bestOf, sharedBy } from "../verdict.js";
import type { Argument } from "./transcript.js";

/** Probabilities of the candidates, in their order, by member of the panel. */
export type Members = Record<string, number[]>;

/** One transcript of a debate, and what the panel makes of it. */
export interface Transcript {
  seed: number;
  /** Index of the candidate that spoke first. */
  first: number;
  arguments: Argument[];
  members: Members;
}

/** What a debate comes to; lists are in the candidates' order. */
export interface DebateOutcome {
  /** Mean over members and transcripts. */
  probability: number[];
  /** By member, each with the transcripts (their mean) and without. */
  with: Members;
  without: Members;
  /**
   * How much more a candidate gets where its side began than where the other one did, in mean probability; null: it was
   * not argued for, or one side always began.
   */
  orderEffect: (number | null)[];
  best: number;
  /** The best's probability less the next one's. */
  margin: number;
  isSettled: boolean;
  /** Σ over the candidates of the least that a member gives, with the transcripts. */
  agreement: number;
}

/** @param without of the panel, before anybody has argued; it is the outcome where there are no transcripts */
export function outcomeOf(
  without: Members,
  transcripts: readonly Transcript[],
  { panel, margin: wanted, orders }: Pick<DebateSettings, "panel" | "margin" | "orders">,
): DebateOutcome {
  const numCandidates = without[panel[0] ?? ""]?.length ?? 0;
  const means = (from: readonly Members[]) =>
    Object.fromEntries(panel.map((member) => [member, meanOf(from.map((one) => one[member] ?? []))]));
  const judged = transcripts.length > 0 ? transcripts.map(({ members }) => members) : [without];
  const withThem = means(judged);
  const probability = meanOf(Object.values(withThem));
  const best = bestOf(probability);
  const next = Math.max(0, ...probability.filter((_, index) => index !== best));
  const margin = (probability[best] ?? 0) - next;
  const argued = new Set(transcripts.map(({ first }) => first));
  const effect = (candidate: number): number | null => {
    if (orders === "given" || !argued.has(candidate)) return null;
    const [began, answered] = [true, false].map((isFirst) =>
      meanOf(
        transcripts
          .filter(({ first }) => (first === candidate) === isFirst)
          .flatMap(({ members }) => panel.map((member) => [members[member]?.[candidate] ?? 0])),
      ),
    );
    return (began?.[0] ?? 0) - (answered?.[0] ?? 0);
  };
  return {
    ...{ probability, with: withThem, without, best, margin },
    orderEffect: Array.from({ length: numCandidates }, (_, candidate) => effect(candidate)),
    isSettled: margin >= wanted,
    agreement: sharedBy(Object.values(withThem)),
  };
}

/** Entry by entry. */
function meanOf(lists: readonly (readonly number[])[]): number[] {
  const [first = []] = lists;
  return first.map((_, index) => lists.reduce((sum, list) => sum + (list[index] ?? 0), 0) / lists.length);
}
