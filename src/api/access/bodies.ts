interface Body {
  party: string;
  bytes: number;
  read: () => void;
}

/** How many bytes of bodies are held at a time, and by whom. */
export class Bodies {
  readonly #mostBytes: number;
  readonly #partyToBytes = new Map<string, number>();
  #numBytes = 0;
  /** Not read yet, in the order of arrival. */
  readonly #waiting = new Set<Body>();

  constructor(mostBytes: number) {
    this.#mostBytes = mostBytes;
  }

  /**
   * Has a body read once there is room for it: at once, or when others have been let go. No party holds more than it
   * leaves free: half of the room alone, a third beside another.
   *
   * @returns to be called, once, when the body is let go or is wanted no longer
   */
  hold(body: Body): () => void {
    this.#waiting.add(body);
    this.#readWaiting();
    return () => {
      if (!this.#waiting.delete(body)) this.#add(body.party, -body.bytes);
      this.#readWaiting();
    };
  }

  #readWaiting(): void {
    for (const body of this.#waiting) {
      const own = this.#partyToBytes.get(body.party) ?? 0;
      if (this.#numBytes > 0 && own + body.bytes > this.#mostBytes - this.#numBytes) continue;
      this.#waiting.delete(body);
      this.#add(body.party, body.bytes);
      body.read();
    }
  }

  #add(party: string, bytes: number): void {
    this.#numBytes += bytes;
    const own = (this.#partyToBytes.get(party) ?? 0) + bytes;
    if (own > 0) this.#partyToBytes.set(party, own);
    else this.#partyToBytes.delete(party);
  }
}
