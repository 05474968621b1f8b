/** A request that waits for a sequence. */
export interface Waiting {
  owner: string;
  /** Order of arrival. */
  arrival: number;
}

/** What an owner has had so far. */
export interface OwnerShare {
  numRunning: number;
  /** When the owner's last request started, counted in starts; 0: none is remembered. */
  lastStart: number;
}

/**
 * The order in which waiting requests may start: owners take turns, the one with the fewest running sequences
 * first and then the one whose last start is longest ago, so that nobody's hundred requests hold up somebody's
 * one; each owner's own requests keep their order.
 */
export function admissionOrder<W extends Waiting>(
  waiting: readonly W[],
  shareOf: ReadonlyMap<string, OwnerShare>,
): W[] {
  const nextTurnOf = new Map([...shareOf].map(([owner, { numRunning }]) => [owner, numRunning]));
  const turns = [...waiting]
    .sort((a, b) => a.arrival - b.arrival)
    .map((request) => {
      const turn = nextTurnOf.get(request.owner) ?? 0;
      nextTurnOf.set(request.owner, turn + 1);
      return { request, turn, lastStart: shareOf.get(request.owner)?.lastStart ?? 0 };
    });
  return turns
    .sort((a, b) => a.turn - b.turn || a.lastStart - b.lastStart || a.request.arrival - b.request.arrival)
    .map(({ request }) => request);
}
