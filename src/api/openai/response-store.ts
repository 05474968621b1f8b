import { OwnedStore, type StoreLimits } from "../../trace/owned-store.js";
import type { ResponseBody } from "../../wire/response.js";
import type { ResponseItem } from "../../wire/response-item.js";

/** A response as it lies here: as JSON, whose length is what the bound on bytes counts. */
interface Kept {
  id: string;
  /** Of a `ResponseBody`. */
  response: string;
  /** Of the items that it was an answer to, all before it included. */
  input: string;
  itemIds: string[];
}

/** A response that is kept. */
export interface KeptResponse {
  response: ResponseBody;
  /** The items that it was an answer to, all before it included; oldest first. */
  input: ResponseItem[];
}

/** Rough size of an entry without its texts. */
const entryBytes = 512;

/** Responses that the next request may go on from; nobody sees another's. */
export class ResponseStore {
  readonly isEnabled: boolean;
  readonly #responses: OwnedStore<Kept>;
  /** Item id to the newest response that has it. */
  readonly #places = new Map<string, string>();

  /** @param limits an age of 0: nothing is kept */
  constructor(limits: StoreLimits) {
    this.isEnabled = limits.maxAgeMs > 0;
    this.#responses = new OwnedStore(limits, { onDrop: (kept) => this.#forget(kept) });
  }

  get bytes(): number {
    return this.#responses.bytes;
  }

  keep(owner: string, response: ResponseBody, input: readonly ResponseItem[]): void {
    const itemIds = [...input, ...response.output].map(({ id }) => id);
    const value = {
      ...{ id: response.id, itemIds },
      response: JSON.stringify(response),
      input: JSON.stringify(input),
    };
    const bytes = entryBytes + value.response.length + value.input.length;
    for (const id of itemIds) this.#places.set(id, response.id);
    this.#responses.add(response.id, { owner, value, bytes });
  }

  get(id: string, owner: string): KeptResponse | null {
    const kept = this.#responses.get(id, owner);
    if (kept === null) return null;
    return {
      response: JSON.parse(kept.response) as ResponseBody,
      input: JSON.parse(kept.input) as ResponseItem[],
    };
  }

  /** An item of any response of this owner. */
  item(id: string, owner: string): ResponseItem | null {
    const place = this.#places.get(id);
    const kept = place === undefined ? null : this.get(place, owner);
    if (kept === null) return null;
    return [...kept.input, ...kept.response.output].find((item) => item.id === id) ?? null;
  }

  /** @returns whether there was one of this owner */
  delete(id: string, owner: string): boolean {
    return this.#responses.delete(id, owner);
  }

  purge(): void {
    this.#responses.purge();
  }

  #forget({ id, itemIds }: Kept): void {
    for (const item of itemIds) if (this.#places.get(item) === id) this.#places.delete(item);
  }
}
