import type { Journal } from "../../store/journal.js";
import type { NewEntry, Retention } from "../../store/store.js";
import type { ResponseBody, ResponseEvent } from "../../wire/response.js";
import type { ResponseItem } from "../../wire/response-item.js";

/** A response that is kept. */
export interface KeptResponse {
  response: ResponseBody;
  /** The items that it was an answer to, all before it included; oldest first. */
  input: ResponseItem[];
  /** What its stream told, where it may be asked for again. */
  events?: ResponseEvent[];
}

export const isUnfinished = ({ status }: ResponseBody): boolean =>
  status === "queued" || status === "in_progress";

interface ResponseLimits {
  maxBytes: number;
  /** 0: nothing is kept. */
  maxAgeMs: number;
  /** Milliseconds; a test's clock. */
  now?: () => number;
}

/** Responses that the next request may go on from, also after a restart; nobody sees another's. */
export class ResponseStore {
  readonly #journal: Journal;
  readonly #limits: Required<ResponseLimits>;

  constructor(journal: Journal, limits: ResponseLimits) {
    this.#journal = journal;
    this.#limits = { now: Date.now, ...limits };
  }

  /** Whether what is answered now will be kept. */
  get isEnabled(): boolean {
    return this.#limits.maxAgeMs > 0 && this.#journal.trouble === null;
  }

  /** What may stay. */
  get retention(): Retention {
    const { maxBytes } = this.#limits;
    return {
      kinds: ["response", "item", "conversation", "conversation_item"],
      oldest: this.#oldest,
      maxBytes,
    };
  }

  /** Does not wait for the disk; what is asked for next sees it all the same. */
  keep(owner: string, kept: KeptResponse): void {
    const { response, input } = kept;
    const { id } = response;
    const own = { at: this.#limits.now(), owner, topic: "" };
    const places = [...input, ...response.output].map((item): NewEntry => ({
      ...own,
      kind: "item",
      key: item.id,
      body: JSON.stringify(id),
    }));
    const body = JSON.stringify(kept);
    // Where it fails the journal says so, and the next response that it is not kept.
    this.#journal.write([{ ...own, kind: "response", key: id, body }, ...places]).catch(() => undefined);
  }

  /** @throws ShouldersError `store_unavailable` */
  async get(id: string, owner: string): Promise<KeptResponse | null> {
    const kept = await this.#journal.find({ owner, kind: "response", key: id });
    return kept === null || kept.at < this.#oldest ? null : (JSON.parse(kept.body) as KeptResponse);
  }

  /** An item of the newest response of this owner that has it. @throws ShouldersError `store_unavailable` */
  async item(id: string, owner: string): Promise<ResponseItem | null> {
    const place = await this.#journal.find({ owner, kind: "item", key: id });
    const kept = place === null ? null : await this.get(JSON.parse(place.body) as string, owner);
    if (kept === null) return null;
    return [...kept.input, ...kept.response.output].find((item) => item.id === id) ?? null;
  }

  /** @returns whether there was one of this owner @throws ShouldersError `store_unavailable` */
  async delete(id: string, owner: string): Promise<boolean> {
    return (await this.#journal.forget({ owner, kind: "response", key: id })) > 0;
  }

  get #oldest(): number {
    return this.#limits.now() - this.#limits.maxAgeMs;
  }
}
