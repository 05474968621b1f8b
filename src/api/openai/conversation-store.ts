import { fieldError } from "../../errors.js";
import type { Journal } from "../../store/journal.js";
import type { Entry, NewEntry } from "../../store/store.js";
import type { Conversation } from "../../wire/conversation.js";
import type { ResponseItem } from "../../wire/response-item.js";

/** Most items of a conversation that are read. */
const mostItems = 4096;
/** Items that take so many bytes, or more, are not added to: all of them are read for each answer. */
const fullBytes = 4 * 1024 * 1024;

/** Conversations that responses go on with; nobody sees another's. Each item stays as long as a response does. */
export class ConversationStore {
  readonly #journal: Journal;
  readonly #maxAgeMs: number;

  constructor(journal: Journal, { maxAgeMs }: { maxAgeMs: number }) {
    this.#journal = journal;
    this.#maxAgeMs = maxAgeMs;
  }

  /** Whether any can be kept now. */
  get isEnabled(): boolean {
    return this.#maxAgeMs > 0 && this.#journal.trouble === null;
  }

  /** Adds items, and keeps the conversation itself anew. @throws ShouldersError `store_unavailable` */
  async write(owner: string, conversation: Conversation, items: readonly ResponseItem[] = []): Promise<void> {
    const { id } = conversation;
    const own = { at: Date.now(), owner, topic: id };
    const entries = items.map((item): NewEntry => ({
      ...{ ...own, kind: "conversation_item", key: keyOf(id, item.id) },
      body: JSON.stringify(item),
    }));
    const body = JSON.stringify(conversation);
    await this.#journal.write([...entries, { ...own, kind: "conversation", key: id, body }]);
  }

  /** @throws ShouldersError `store_unavailable` */
  async get(owner: string, id: string): Promise<Conversation | null> {
    const kept = await this.#journal.find({ owner, kind: "conversation", key: id });
    return kept === null || !this.#isYoung(kept) ? null : (JSON.parse(kept.body) as Conversation);
  }

  /** Oldest first; of more than can be read the newest. @throws ShouldersError `store_unavailable` */
  async items(owner: string, id: string): Promise<ResponseItem[]> {
    const place = { owner, kind: "conversation_item", topic: id } as const;
    const read = await this.#journal.read({ ...place, limit: mostItems, order: "newest", isLatest: true });
    return read
      .filter((entry) => this.#isYoung(entry))
      .reverse()
      .map(({ body }) => JSON.parse(body) as ResponseItem);
  }

  /**
   * The same, where more are to follow.
   *
   * @throws ShouldersError `invalid_request` it is full; `store_unavailable`
   */
  async itemsBefore(owner: string, id: string): Promise<ResponseItem[]> {
    const items = await this.items(owner, id);
    const bytes = items.reduce((sum, item) => sum + Buffer.byteLength(JSON.stringify(item)), 0);
    if (bytes < fullBytes) return items;
    throw fieldError("conversation", "it is full: begin another, or delete some of its items");
  }

  /** @returns whether there was one @throws ShouldersError `store_unavailable` */
  async deleteItem(owner: string, id: string, item: string): Promise<boolean> {
    return (await this.#journal.forget({ owner, kind: "conversation_item", key: keyOf(id, item) })) > 0;
  }

  /** With its items. @throws ShouldersError `store_unavailable` */
  async delete(owner: string, id: string): Promise<void> {
    await this.#journal.forget({ owner, topic: id });
  }

  #isYoung({ at }: Entry): boolean {
    return at >= Date.now() - this.#maxAgeMs;
  }
}

/** An item may be in several conversations. */
const keyOf = (conversation: string, item: string): string => `${conversation} ${item}`;
