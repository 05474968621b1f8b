import { ShouldersError } from "../errors.js";
import { type Claim, overflow } from "./admission.js";
import { done } from "./commit.js";
import { Entrance, Entrant } from "./entrance.js";
import { checkSize, sizeOf } from "./prompt-size.js";
import type {
  Choice,
  EngineQuery,
  FromEngine,
  GenerationRequest,
  QueryOutcome,
  RequestEvent,
} from "../protocol/protocol.js";
import { answerQuery, checkQuery, sizeOfQuery } from "./queries.js";
import type { QueueLimits, RequestQueue } from "./request-queue.js";
import { Sequence } from "./sequence.js";
import { type FactoryParts, SequenceFactory } from "./sequence-factory.js";

export interface ReceptionParts extends FactoryParts {
  limits: QueueLimits;
  emit: (message: FromEngine) => void;
}

/** What the reception uses of the loop of steps. */
export interface StepLoop {
  queue: RequestQueue;
  numRunning: () => number;
  emit: (events: RequestEvent[]) => void;
  end: (sequence: Sequence, error: ShouldersError) => void;
  fail: (requestId: string, error: ShouldersError) => void;
  wake: () => void;
}

/**
 * Between a request's arrival and its place in the queue: prompts and questions are read in turn, and where there is
 * no room for all of them, those leave that `overflow` names.
 */
export class Reception {
  readonly #parts: ReceptionParts;
  readonly #loop: StepLoop;
  readonly #entrance = new Entrance();
  readonly #sequences: SequenceFactory;
  #numArrived = 0;

  constructor(parts: ReceptionParts, loop: StepLoop) {
    this.#parts = parts;
    this.#loop = loop;
    this.#sequences = new SequenceFactory(parts);
  }

  /** Answers whose prompt, and questions whose text, has not been read yet. */
  get numPlaces(): number {
    return this.#entrance.numPlaces;
  }

  submit(request: GenerationRequest, choices: readonly Choice[]): void {
    const arrived = { request, choices, arrival: this.#numArrived, arrivalMs: performance.now() };
    this.#numArrived += choices.length;
    const refuse = (requestId: string, error: ShouldersError) => this.#loop.fail(requestId, error);
    const ids = choices.map(({ requestId }) => requestId);
    try {
      checkSize(request, this.#parts.models);
    } catch (error) {
      for (const id of ids) this.#loop.fail(id, ShouldersError.from(error));
      return;
    }
    const read = async (entrant: Entrant) => {
      const { wanted } = entrant;
      try {
        const sequences = await this.#sequences.create(arrived, (id) => wanted.has(id));
        this.#entrance.leave(entrant);
        for (const sequence of sequences) this.#enter(sequence);
        if (sequences.length > 0) this.#loop.wake();
      } catch (error) {
        for (const id of this.#entrance.leave(entrant)) this.#loop.fail(id, ShouldersError.from(error));
        this.#loop.emit([]);
      }
    };
    const { party } = request;
    this.#push(new Entrant({ ids, party, arrival: arrived.arrival, size: sizeOf(request), read, refuse }));
  }

  ask(queryId: string, party: string, query: EngineQuery): void {
    const { models } = this.#parts;
    const answer = (outcome: QueryOutcome) => {
      this.#parts.emit({ type: "answer", queryId, outcome });
      this.#loop.emit([]);
    };
    const refuse = (_id: string, error: ShouldersError) => answer({ result: null, error: error.toData() });
    try {
      checkQuery(query, models);
    } catch (error) {
      refuse(queryId, ShouldersError.from(error));
      return;
    }
    const read = async (entrant: Entrant) => {
      const outcome = await answerQuery({ query, models, isWanted: () => entrant.places > 0 });
      if (this.#entrance.leave(entrant).length > 0 && outcome !== null) answer(outcome);
    };
    const arrival = this.#numArrived++;
    this.#push(new Entrant({ ids: [queryId], party, arrival, size: sizeOfQuery(query), read, refuse }));
  }

  /** It is wanted no longer. */
  cancel(id: string): void {
    this.#entrance.cancel(id);
  }

  clear(): void {
    this.#entrance.clear();
  }

  #push(entrant: Entrant): void {
    const leaving = this.#leaving(entrant);
    for (const claim of leaving) this.#refuse(claim);
    if (!leaving.includes(entrant)) this.#entrance.push(entrant);
    if (leaving.length > 0) this.#loop.emit([]);
  }

  /** What can start at once does not wait, however small the queue is. */
  #enter(sequence: Sequence): void {
    const { requestId } = sequence.request;
    const accepted: RequestEvent = {
      requestId,
      event: { type: "accepted", promptTokens: sequence.promptTokens },
    };
    if (sequence.maxTokens === 0) {
      sequence.sampler[Symbol.dispose]();
      this.#loop.emit([accepted, { requestId, event: done(sequence, "length", []) }]);
      return;
    }
    // Its prompt may be longer than it was thought to be.
    const leaving = this.#leaving(sequence);
    for (const claim of leaving) this.#refuse(claim);
    if (leaving.includes(sequence)) {
      sequence.sampler[Symbol.dispose]();
      this.#loop.fail(requestId, queueFull());
      return;
    }
    this.#loop.queue.push(sequence);
    this.#loop.emit([accepted]);
  }

  /** Those for whom there is no room with a newcomer, which may be one of them. */
  #leaving(newcomer: Claim): Claim[] {
    const claims = [...this.#entrance.claims, ...this.#loop.queue.claims, newcomer];
    const numFree = Math.max(0, this.#parts.models.numSequences - this.#loop.numRunning());
    const leaving = overflow(claims, { ...this.#parts.limits, numFree });
    // Without it, all others have room.
    return leaving.includes(newcomer) ? [newcomer] : leaving;
  }

  #refuse(claim: Claim): void {
    if (claim instanceof Sequence) this.#loop.end(claim, queueFull());
    else if (claim instanceof Entrant)
      for (const id of this.#entrance.leave(claim)) claim.refuse(id, queueFull());
  }
}

function queueFull(): ShouldersError {
  return new ShouldersError(
    "queue_full",
    "Too many requests wait already, and none has fewer than you: try again later.",
  );
}
