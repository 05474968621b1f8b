import { setImmediate } from "node:timers/promises";
import { FairLine } from "../../fair-line.js";

/** Bodies and frames of fewer bytes are worked on as they come. */
export const longestShort = 16 * 1024;

interface Body {
  party: string;
  bytes: number;
  read: () => void;
}

/**
 * Large bodies and frames: how many bytes of them are held at a time, and when they are worked on. A hundred that
 * come within one turn of the event loop would else be parsed, checked and handed on before anybody else is heard.
 */
export class Bodies {
  readonly #mostBytes: number;
  readonly #partyToBytes = new Map<string, number>();
  #numBytes = 0;
  /** Not read yet, in the order of arrival. */
  readonly #waiting = new Set<Body>();
  /** Read, and not worked on yet. */
  readonly #line = new FairLine<{ party: string; work: () => void }>();
  #isWorking = false;

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

  /** Has what was read worked on, one at a time with everybody else's events in between; parties take turns. */
  inTurn(party: string, work: () => void): void {
    this.#line.push({ party, work });
    if (!this.#isWorking) void this.#workOff();
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

  async #workOff(): Promise<void> {
    this.#isWorking = true;
    for (let next = this.#line.take(); next !== null; next = this.#line.take()) {
      next.work();
      await setImmediate();
    }
    this.#isWorking = false;
  }
}
