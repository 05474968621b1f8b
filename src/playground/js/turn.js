// @ts-check
import { BaseStrip } from "./base-strip.js";
import { CreditMap } from "./credit.js";
import { button, fill, h } from "./dom.js";
import { RatingBar } from "./rating.js";
import { TokenFilter } from "./token-filter.js";
import { legend, TokenStrip } from "./token-strip.js";

/** @import { Answer } from "./answer.js" */

/**
 * What a turn tells of: `onvariant`: another of its answers comes into sight.
 *
 * @typedef {object} TurnEvents
 * @property {() => void} onretry
 * @property {(text: string) => void} onedit
 * @property {(index: number) => void} onselect
 * @property {() => void} onvariant
 */

/** A question and its answers: the first, and those that retrying or continuing brought. */
export class Turn {
  /** @type {Answer[]} */
  #answers = [];
  #on;
  #answerElement = h("article", { class: "answer" });
  #questionElement = h("div", { class: "question" });
  #shown;

  /**
   * @param {string} question
   * @param {Answer} answer
   * @param {TurnEvents} on
   */
  constructor(question, answer, on) {
    this.question = question;
    this.#on = on;
    this.element = h("div", { class: "turn" }, this.#questionElement, this.#answerElement);
    this.#showQuestion();
    this.#answers.push(answer);
    this.#shown = this.#show(answer);
    this.update();
  }

  get answer() {
    return this.#shown.answer;
  }

  get strip() {
    return this.#shown.strip;
  }

  /** @param {Answer} answer */
  add(answer) {
    this.#answers.push(answer);
    this.#turnTo(answer);
  }

  /** Shows what has changed in the answer. */
  update() {
    const { answer, strip, filter, baseStrip, shares, status, actions, rating, credit } = this.#shown;
    strip.update();
    filter.update();
    baseStrip.update();
    rating.update();
    credit.update();
    legend(answer, shares);
    shares.hidden = answer.tokens.length === 0;
    fill(status, statusOf(answer, this.#on.onretry));
    if (actions.childElementCount === 0 || answer.status !== "streaming") this.#showActions();
  }

  /** @param {Answer} answer */
  #turnTo(answer) {
    this.#shown = this.#show(answer);
    this.update();
  }

  /** @param {Answer} answer */
  #show(answer) {
    const strip = new TokenStrip(answer, this.#on.onselect);
    const filter = new TokenFilter(answer, strip);
    const baseStrip = new BaseStrip(answer);
    const shares = legend(answer);
    const status = h("div", { class: "answer-status" });
    const actions = h("div", { class: "actions" });
    const rating = new RatingBar(answer);
    const credit = new CreditMap(answer, strip);
    fill(
      this.#answerElement,
      h("h2", { class: "answer-model" }, answer.config?.id),
      strip.element,
      baseStrip.element,
      status,
      shares,
      filter.element,
      actions,
      rating.element,
      credit.element,
    );
    return { answer, strip, filter, baseStrip, shares, status, actions, rating, credit };
  }

  #showActions() {
    const { answer, actions } = this.#shown;
    const { status, traceId, tokens } = answer;
    const at = this.#answers.indexOf(answer);
    /**
     * @param {string} sign
     * @param {string} label
     * @param {Answer | undefined} other
     */
    const turnButton = (sign, label, other) =>
      button(
        sign,
        () => {
          this.#on.onvariant();
          if (other) this.#turnTo(other);
        },
        { disabled: other === undefined, "aria-label": label },
      );
    fill(
      actions,
      status !== "streaming" && [
        button("Retry", this.#on.onretry),
        tokens.length > 0 && button("Inspect", () => this.#on.onselect(0)),
        traceId &&
          tokens.length > 0 &&
          h(
            "a",
            { class: "button", href: `#/trace/${traceId}`, title: "A page of its own, to link to" },
            "Open trace",
          ),
      ],
      this.#answers.length > 1 &&
        status !== "streaming" &&
        h(
          "span",
          { class: "variants" },
          turnButton("‹", "Answer before", this.#answers[at - 1]),
          `${at + 1} of ${this.#answers.length}`,
          turnButton("›", "Next answer", this.#answers[at + 1]),
        ),
    );
  }

  #showQuestion() {
    fill(
      this.#questionElement,
      h("p", { class: "bubble" }, this.question),
      button("Edit", () => this.#editQuestion(), {
        class: "button quiet-button",
        "aria-label": "Edit the message",
      }),
    );
  }

  #editQuestion() {
    const input = h("textarea", { rows: "3", value: this.question, "aria-label": "Message" });
    const send = () => input.value.trim() !== "" && this.#on.onedit(input.value.trim());
    input.addEventListener("keydown", (event) => {
      if (event.key === "Escape") this.#showQuestion();
      if (event.key !== "Enter" || event.shiftKey || event.isComposing) return;
      event.preventDefault();
      send();
    });
    fill(
      this.#questionElement,
      h(
        "div",
        { class: "edit" },
        input,
        h(
          "div",
          { class: "actions" },
          button("Cancel", () => this.#showQuestion()),
          button("Send again", send, { class: "button primary" }),
        ),
      ),
    );
    input.focus();
  }
}

/**
 * @param {Answer} answer
 * @param {() => void} onretry
 */
function statusOf({ status, error, tokens }, onretry) {
  switch (status) {
    case "failed":
      return h("p", { class: "failure", role: "alert" }, error, " ", button("Try again", onretry));
    case "cancelled":
      return h("p", { class: "quiet" }, "Stopped.");
    case "incomplete":
      return h("p", { class: "quiet" }, "Ended by the most tokens, or a full context.");
    case "streaming":
      return tokens.length === 0 ? h("p", { class: "quiet pulse" }, "Reading the prompt") : null;
    default:
      return null;
  }
}
