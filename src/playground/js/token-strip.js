// @ts-check
import { h, fill } from "./dom.js";
import { colourClass, intensityOf, isMoved, moverOf } from "./experts.js";
import { nats, percent, visible } from "./format.js";

/** @typedef {import("./answer.js").Answer} Answer */

/** What decided a token, in a few words. */
export const decisionWords = {
  weight: "by weight",
  plausible_set: "by the plausible set",
  certain: "by certainty: one token alone was plausible",
  base: "by the base itself",
  grammar: "by the grammar",
};

/**
 * The tokens of an answer, coloured by who moved them and how far. One of them is in the order of tabs; arrows move
 * on. Marks of what cannot be seen are drawn by the style sheet, so that copying gives the answer's text.
 */
export class TokenStrip {
  element = h("div", { class: "tokens", role: "group", "aria-label": "Tokens of the answer" });
  /** @type {HTMLElement[]} */
  #spans = [];
  #answer;
  #onselect;
  /** @type {number | null} */
  #selected = null;
  /** The one in the order of tabs. */
  #tabbed = 0;
  /** @type {number | null} */
  #parted = null;

  /**
   * @param {Answer} answer
   * @param {(index: number) => void} onselect
   */
  constructor(answer, onselect) {
    this.#answer = answer;
    this.#onselect = onselect;
    this.element.addEventListener("click", ({ target }) => {
      const span = /** @type {HTMLElement} */ (target).closest(".token");
      if (span) this.#choose(this.#spans.indexOf(/** @type {HTMLElement} */ (span)));
    });
    this.element.addEventListener("keydown", (event) => this.#move(event));
    this.update();
  }

  /** Shows the tokens that have come since. */
  update() {
    const { tokens } = this.#answer;
    const fresh = [];
    while (this.#spans.length < tokens.length) {
      const index = this.#spans.length;
      const span = this.#span(index);
      if (index > 0 && index === this.#answer.numKept) fresh.push(h("span", { class: "seam" }));
      this.#spans.push(span);
      fresh.push(span);
    }
    this.element.append(...fresh);
    this.element.classList.toggle("streaming", this.#answer.status === "streaming");
  }

  /** @param {number | null} index */
  select(index) {
    this.#spans[this.#selected ?? -1]?.removeAttribute("aria-current");
    this.#selected = index;
    if (index === null) return;
    const [before, now] = [this.#spans[this.#tabbed], this.#spans[index]];
    if (before) before.tabIndex = -1;
    if (now) now.tabIndex = 0;
    this.#tabbed = index;
    now?.setAttribute("aria-current", "true");
  }

  /** Lets only these tokens stand out; null: all. @param {"contested" | "unvouched" | null} kind */
  filter(kind) {
    if (kind === null) delete this.element.dataset["only"];
    else this.element.dataset["only"] = kind;
  }

  focus() {
    this.#spans[this.#selected ?? 0]?.focus();
  }

  /** Marks the token at which this answer parts from another; null: none. @param {number | null} index */
  markParting(index) {
    // What is not drawn yet is marked when it is.
    if (index === this.#parted || (index !== null && !this.#spans[index])) return;
    this.#spans[this.#parted ?? -1]?.classList.remove("parting");
    this.#parted = index;
    this.#spans[index ?? -1]?.classList.add("parting");
  }

  /** Shows what each token adds to a rating, in place of who moved it; null: no more. @param {number[] | null} credits */
  colour(credits) {
    this.element.classList.toggle("credited", credits !== null);
    const most = Math.max(1e-9, ...(credits ?? []).map(Math.abs));
    this.#spans.forEach((span, index) => {
      const credit = credits?.[index] ?? 0;
      span.classList.toggle("raises", credit > 0);
      span.style.setProperty("--credit", (Math.abs(credit) / most).toFixed(3));
      if (credits === null) span.removeAttribute("title");
      else span.title = `adds ${credit.toFixed(3)}`;
    });
  }

  /** @param {number} index */
  #span(index) {
    const { tokens, texts, numKept } = this.#answer;
    const record = /** @type {import("./answer.js").TokenRecord} */ (tokens[index]);
    const { flipped, token, decided_by, contested, vouch } = record;
    const text = texts[index] ?? "";
    const mover = moverOf(record);
    const classes = ["token"];
    if (mover !== null && isMoved(record)) classes.push("moved", colourClass(mover));
    if (flipped) classes.push("flipped");
    if (contested) classes.push("contested");
    if (vouch === "nobody") classes.push("unvouched");
    if (index < numKept) classes.push("kept");
    if (text === "") classes.push(token.text === "" ? "end" : "part");
    const isSettled = record.nats === null;
    if (isSettled) classes.push("settled");
    const moved = isSettled ? "base not asked" : `${nats(record.nats)} nats`;
    const says = mover === null ? "not moved" : `${mover}, ${moved}, ${decisionWords[decided_by]}`;
    return h(
      "span",
      {
        class: classes.join(" "),
        role: "button",
        tabindex: index === 0 ? "0" : "-1",
        "aria-label": `Token ${index + 1}, ${visible(text)}: ${says}${flipped ? ", flipped" : ""}${contested ? `, contested by ${contested.by}` : ""}${vouch === "nobody" ? ", nobody's own best" : ""}`,
        vars: { "--intensity": intensityOf(record).toFixed(3) },
      },
      text === "" ? mark(token.text === "" ? "end" : "·") : shown(text),
    );
  }

  /** @param {number} index */
  #choose(index) {
    this.select(index);
    this.#onselect(index);
  }

  /** @param {KeyboardEvent} event */
  #move(event) {
    const last = this.#spans.length - 1;
    const at = this.#spans.indexOf(/** @type {HTMLElement} */ (document.activeElement));
    const places = { ArrowLeft: at - 1, ArrowRight: at + 1, Home: 0, End: last, Enter: at, " ": at };
    const target = places[/** @type {keyof typeof places} */ (event.key)];
    if (target === undefined || at < 0) return;
    event.preventDefault();
    this.#choose(Math.max(0, Math.min(last, target)));
    this.focus();
  }
}

/** Something that is seen and not copied. @param {string} sign */
const mark = (sign) => h("i", { class: "mark", "data-mark": sign });

/** A text with a mark at each of its line breaks. @param {string} text */
const shown = (text) =>
  text.split("\n").flatMap((line, at) => (at === 0 ? [line] : [mark("⏎"), `\n${line}`]));

/**
 * Who moved the tokens, how far, and what decided them.
 *
 * @param {Answer} answer
 */
export function legend(answer, element = h("ul", { class: "legend", "aria-label": "Who moved the tokens" })) {
  const { isMixture, byExpert, baseShare, numTokens, numFlipped, decided } = answer.tally;
  const share = (/** @type {number} */ sum) => sum / Math.max(1, numTokens);
  const entry = (/** @type {string} */ id, /** @type {{ nats: number; share: number }} */ sums) =>
    h(
      "li",
      { class: colourClass(id), "data-expert": id },
      h("i", { class: "swatch" }),
      id,
      isMixture && h("b", { "data-share": share(sums.share) }, percent(share(sums.share))),
      h("b", { "data-nats": sums.nats }, `${sums.nats.toFixed(2)} nats`),
    );
  const decisions = [...decided]
    .filter(([by]) => by !== "base")
    .map(([by, count]) => h("li", { class: "quiet", "data-decided": by }, `${count} ${decisionWords[by]}`));
  return fill(
    element,
    [...byExpert].map(([id, sums]) => entry(id, sums)),
    isMixture &&
      h(
        "li",
        null,
        h("i", { class: "swatch none" }),
        "base",
        h("b", { "data-share": share(baseShare) }, percent(share(baseShare))),
      ),
    decisions,
    h("li", null, h("i", { class: "swatch flip" }, "a"), "flipped", h("b", null, String(numFlipped))),
  );
}
