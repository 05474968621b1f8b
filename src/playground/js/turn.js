import { button, fill, h } from "./dom.js";
import { legend, TokenStrip } from "./token-strip.js";

/** A question and its answers: the first, and those that retrying or continuing brought. */
export class Turn {
  strip = null;
  answers = [];
  #at = -1;
  #on;
  #answerElement = h("article", { class: "answer" });
  #questionElement = h("div", { class: "question" });
  #legend = null;
  #status = null;
  #actions = null;

  constructor(question, on) {
    this.question = question;
    this.#on = on;
    this.element = h("div", { class: "turn" }, this.#questionElement, this.#answerElement);
    this.#showQuestion();
  }

  get answer() {
    return this.answers[this.#at];
  }

  add(answer) {
    this.answers.push(answer);
    this.#show(this.answers.length - 1);
  }

  /** Shows what has changed in the answer. */
  update() {
    this.strip.update();
    legend(this.answer, this.#legend);
    this.#legend.hidden = this.answer.tokens.length === 0;
    fill(this.#status, statusOf(this.answer, this.#on.onretry));
    if (this.#actions.childElementCount === 0 || this.answer.status !== "streaming") this.#showActions();
  }

  #show(at) {
    this.#at = at;
    this.strip = new TokenStrip(this.answer, this.#on.onselect);
    this.#legend = legend(this.answer);
    this.#status = h("div", { class: "answer-status" });
    this.#actions = h("div", { class: "actions" });
    fill(
      this.#answerElement,
      h("h2", { class: "answer-model" }, this.answer.config.id),
      this.strip.element,
      this.#status,
      this.#legend,
      this.#actions,
    );
    this.update();
  }

  #showActions() {
    const { status, traceId, tokens } = this.answer;
    const step = (by) => {
      this.#on.onvariant();
      this.#show(this.#at + by);
    };
    fill(
      this.#actions,
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
      this.answers.length > 1 &&
        status !== "streaming" &&
        h(
          "span",
          { class: "variants" },
          button("‹", () => step(-1), { disabled: this.#at === 0, "aria-label": "Answer before" }),
          `${this.#at + 1} of ${this.answers.length}`,
          button("›", () => step(1), {
            disabled: this.#at === this.answers.length - 1,
            "aria-label": "Next answer",
          }),
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
