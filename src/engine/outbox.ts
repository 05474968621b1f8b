import type { Choice, GenerationRequest } from "../protocol/protocol.js";

/** What was asked in one turn of the event loop. Answers to one prompt are asked for together: it crosses the pipe once. */
export class Outbox {
  readonly #requests = new Map<string, GenerationRequest>();
  readonly #send: (request: GenerationRequest, choices: Choice[]) => void;

  constructor(send: (request: GenerationRequest, choices: Choice[]) => void) {
    this.#send = send;
  }

  push(request: GenerationRequest): void {
    if (this.#requests.size === 0) queueMicrotask(() => this.#flush());
    this.#requests.set(request.requestId, request);
  }

  /** @returns whether it was still there, and so will never be sent */
  remove(requestId: string): boolean {
    return this.#requests.delete(requestId);
  }

  #flush(): void {
    const groups: [GenerationRequest, ...GenerationRequest[]][] = [];
    for (const request of this.#requests.values()) {
      const group = groups.find(([first]) => areChoices(first, request));
      if (group) group.push(request);
      else groups.push([request]);
    }
    this.#requests.clear();
    for (const group of groups) {
      const choices = group.map(({ requestId, seed, forced }) => ({ requestId, seed, forced }));
      this.#send(group[0], choices);
    }
  }
}

/** Whether they differ in id, seed and, where answers are given, in these alone. */
function areChoices<Request extends GenerationRequest>(one: Request, other: Request): boolean {
  const isOwn = (field: string) => field === "requestId" || field === "seed" || field === "forced";
  for (const field in one) if (!isOwn(field) && one[field] !== other[field]) return false;
  return (one.forced === null) === (other.forced === null);
}
