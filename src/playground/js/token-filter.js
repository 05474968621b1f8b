// @ts-check
import { button, fill, h } from "./dom.js";

/** @import { Answer } from "./answer.js" */
/** @import { TokenStrip } from "./token-strip.js" */

/** @typedef {"contested" | "unvouched"} Kind */

/** Buttons that let the tokens stand out which experts contest, or which nobody vouches for; where there are any. */
export class TokenFilter {
  element = h("div", { class: "actions token-filter", role: "group", "aria-label": "Show only" });
  #answer;
  #strip;
  /** @type {Kind | null} */
  #chosen = null;

  /**
   * @param {Answer} answer
   * @param {TokenStrip} strip
   */
  constructor(answer, strip) {
    this.#answer = answer;
    this.#strip = strip;
    this.update();
  }

  /** The answer has grown. */
  update() {
    const { numContested, numUnvouched } = this.#answer.tally;
    this.element.hidden = numContested + numUnvouched === 0;
    fill(
      this.element,
      this.#toggle(
        "contested",
        numContested,
        "contested",
        "The surest of several models alone would have said another token.",
      ),
      this.#toggle(
        "unvouched",
        numUnvouched,
        "nobody's own best",
        "Neither the base nor an expert alone would have said it.",
      ),
    );
  }

  /**
   * @param {Kind} kind
   * @param {number} count
   * @param {string} words
   * @param {string} title
   */
  #toggle(kind, count, words, title) {
    if (count === 0) return null;
    const isChosen = this.#chosen === kind;
    return button(`${count} ${words}`, () => this.#choose(isChosen ? null : kind), {
      title,
      "aria-pressed": String(isChosen),
      "data-kind": kind,
    });
  }

  /** @param {Kind | null} kind */
  #choose(kind) {
    const had = this.element.contains(document.activeElement) ? document.activeElement : null;
    const kept = had?.getAttribute("data-kind");
    this.#chosen = kind;
    this.#strip.filter(kind);
    this.update();
    if (kept) /** @type {HTMLElement | null} */ (this.element.querySelector(`[data-kind=${kept}]`))?.focus();
  }
}
