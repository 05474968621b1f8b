// @ts-check
import { fill, h } from "./dom.js";

/** @import { Answer, TokenRecord } from "./answer.js" */

const titles = {
  asked: "The base was asked",
  guessed: "Guessed right, and the base asked about it with others",
  settled: "Settled by experts: the base was not asked",
};

/** Where the base ran: a bar under an answer, with a piece for each run of tokens that came about alike. */
export class BaseStrip {
  #bar = h("div", { class: "base-bar", "aria-hidden": "true" });
  #words = h("p", { class: "quiet" });
  element = h("div", { class: "base-strip", hidden: true }, this.#bar, this.#words);
  #answer;
  /** Tokens by how they came about. */
  #counts = { asked: 0, guessed: 0, settled: 0 };
  /** @type {{ kind: string; length: number; piece: HTMLElement } | null} */
  #last = null;

  /** @param {Answer} answer */
  constructor(answer) {
    this.#answer = answer;
    this.update();
  }

  /** Shows the tokens that have come since. */
  update() {
    const { tokens } = this.#answer;
    const { asked, guessed, settled } = this.#counts;
    for (const record of tokens.slice(asked + guessed + settled)) this.#add(kindOf(record));
    this.element.hidden = tokens.length === 0;
    fill(this.#words, this.#told());
  }

  /** @param {"asked" | "guessed" | "settled"} kind */
  #add(kind) {
    this.#counts[kind]++;
    if (this.#last?.kind !== kind) {
      const piece = h("i", { class: kind, title: titles[kind] });
      this.#bar.append(piece);
      this.#last = { kind, length: 0, piece };
    }
    this.#last.length++;
    this.#last.piece.style.setProperty("--tokens", String(this.#last.length));
  }

  #told() {
    const { asked, guessed, settled } = this.#counts;
    const passes = this.#answer.usage?.fusion.base_passes;
    const words = [`The base was asked about ${asked + guessed} of ${asked + guessed + settled} tokens`];
    if (passes !== undefined) words.push(` in ${passes} ${passes === 1 ? "pass" : "passes"}`);
    if (guessed > 0) words.push(`; ${guessed} guessed right`);
    return `${words.join("")}.`;
  }
}

/** @param {TokenRecord} record */
function kindOf({ certain, accepted }) {
  if (certain) return "settled";
  return accepted ? "guessed" : "asked";
}
