/** A request that waits for a sequence. */
export interface Waiting {
  /** Among whom places are shared evenly. */
  party: string;
  /** Order of arrival. */
  arrival: number;
}

/** What a party has had so far. */
export interface PartyShare {
  numRunning: number;
  /** When the party's last request started, counted in starts; 0: none is remembered. */
  lastStart: number;
}

/**
 * The order in which waiting requests may start: parties take turns, the one with the fewest running sequences
 * first and then the one whose last start is longest ago, so that nobody's hundred requests hold up somebody's
 * one; each party's own requests keep their order.
 */
export function admissionOrder<W extends Waiting>(
  waiting: readonly W[],
  shareOf: ReadonlyMap<string, PartyShare>,
): W[] {
  const nextTurnOf = new Map([...shareOf].map(([party, { numRunning }]) => [party, numRunning]));
  const turns = [...waiting]
    .sort((a, b) => a.arrival - b.arrival)
    .map((request) => {
      const turn = nextTurnOf.get(request.party) ?? 0;
      nextTurnOf.set(request.party, turn + 1);
      return { request, turn, lastStart: shareOf.get(request.party)?.lastStart ?? 0 };
    });
  return turns
    .sort((a, b) => a.turn - b.turn || a.lastStart - b.lastStart || a.request.arrival - b.request.arrival)
    .map(({ request }) => request);
}

/** What waits, and how much of the room for it. */
export interface Claim extends Waiting {
  /** Answers that it asks for. */
  places: number;
  /** Tokens of its prompt; an estimate until it has been read. */
  tokens: number;
}

export interface Room {
  /** Sequences that nobody runs on: as many places, of those that came first, do not wait. */
  numFree: number;
  maxWaiting: number;
  maxWaitingTokens: number;
}

/**
 * Who must go so that the others have room: the party that claims most loses its newest claim, again and again; of
 * parties that claim as much, the one that came last. So a party that claims no more than its even share of the room
 * loses nothing, whatever others do. One prompt may wait alone, however long it is: else it could never run on a
 * busy server.
 */
export function overflow<C extends Claim>(claims: readonly C[], room: Room): C[] {
  const { numFree, maxWaiting, maxWaitingTokens } = room;
  const oldestFirst = [...claims].sort((a, b) => a.arrival - b.arrival);
  const crowd = excess(oldestFirst, ({ places }) => places, { most: numFree + maxWaiting, least: 0 });
  const stays = oldestFirst.filter((claim) => !crowd.includes(claim));
  let numStarting = 0;
  const waits = stays.filter(({ places }) => (numStarting += places) > numFree);
  return [...crowd, ...excess(waits, ({ tokens }) => tokens, { most: maxWaitingTokens, least: 1 })];
}

/** Those without whom the sizes of all sum up to no more than `most`; `least` claims stay in any case. */
function excess<C extends Claim>(
  oldestFirst: readonly C[],
  sizeOf: (claim: C) => number,
  { most, least }: { most: number; least: number },
): C[] {
  const ofParty = new Map<string, { claims: C[]; sum: number; last: number }>();
  let total = 0;
  for (const claim of oldestFirst) {
    const party = ofParty.get(claim.party) ?? { claims: [], sum: 0, last: 0 };
    ofParty.set(claim.party, party);
    party.claims.push(claim);
    party.sum += sizeOf(claim);
    party.last = claim.arrival;
    total += sizeOf(claim);
  }
  const leaving: C[] = [];
  while (total > most && oldestFirst.length - leaving.length > least) {
    const [largest] = [...ofParty.values()].sort((a, b) => b.sum - a.sum || b.last - a.last);
    const claim = largest?.claims.pop();
    if (!largest || !claim) break;
    leaving.push(claim);
    largest.sum -= sizeOf(claim);
    largest.last = largest.claims.at(-1)?.arrival ?? 0;
    total -= sizeOf(claim);
  }
  return leaving;
}

/**
 * Who gives its place to a party that has fewer: of the parties that run two more at least, the one that runs most
 * gives its newest. So places even out, and none goes back and forth.
 *
 * @param those who may be chosen; all that run count.
 * @returns null: nobody runs so much more.
 */
export function whoYields<W extends Waiting>(
  party: string,
  running: readonly W[],
  those: readonly W[] = running,
): W | null {
  const numOf = new Map<string, number>();
  for (const one of running) numOf.set(one.party, (numOf.get(one.party) ?? 0) + 1);
  const least = (numOf.get(party) ?? 0) + 2;
  const [chosen] = those
    .filter((one) => (numOf.get(one.party) ?? 0) >= least)
    .sort((a, b) => (numOf.get(b.party) ?? 0) - (numOf.get(a.party) ?? 0) || b.arrival - a.arrival);
  return chosen ?? null;
}
