import { button, fill, h } from "./dom.js";
import { wasWeighed } from "./experts.js";
import { exportButtons } from "./exports.js";
import {
  CurveSection,
  divergenceSection,
  shareSection,
  summary,
  timingSection,
  topSection,
  weightSection,
} from "./inspector-sections.js";
import { Timeline } from "./timeline.js";
import { visible } from "./format.js";
import { WhatIf } from "./what-if.js";

/** Looks inside one token of an answer. */
export class Inspector {
  element = h("aside", { class: "inspector", "aria-label": "Inspector", hidden: true });
  #on;
  #timeline = new Timeline((index) => this.#go(index));
  #curves = new CurveSection();
  #whatIf;
  #head = h("header", { class: "inspector-head" });
  #exports = h("div");
  #body = h("div", { class: "cards" });
  #answer = null;
  #index = 0;

  /** `onclose` and `oncontinue` are left out where there is nothing to close or to continue. */
  constructor(on) {
    this.#on = on;
    this.#whatIf = on.oncontinue ? new WhatIf((fusion) => on.oncontinue(this.#index, fusion)) : null;
    const timeline = h(
      "section",
      { class: "card wide" },
      h("h3", null, "Over the whole answer"),
      h("p", { class: "hint" }, "Click to go to a token, drag to zoom, double-click to see all again."),
      this.#timeline.element,
      this.#exports,
    );
    this.element.append(this.#head, this.#body, timeline);
    this.element.addEventListener("keydown", ({ key, target }) => {
      if (target.closest("input, select, textarea, .tokens")) return;
      if (key === "ArrowLeft") this.#go(this.#index - 1);
      if (key === "ArrowRight") this.#go(this.#index + 1);
    });
  }

  show(answer, index) {
    const isNew = this.#answer !== answer;
    this.#answer = answer;
    this.#index = index;
    this.element.hidden = false;
    this.#showToken();
    this.update();
    if (isNew)
      fill(
        this.#exports,
        exportButtons(answer, () => this.#timeline.specs()),
      );
  }

  hide() {
    this.element.hidden = true;
    this.#answer = null;
  }

  /** The answer has grown. */
  update() {
    this.#whatIf?.update();
    this.#timeline.show(this.#answer);
    this.#timeline.select(this.#index);
    this.#showHead();
  }

  #go(index) {
    if (index < 0 || index >= this.#answer.tokens.length) return;
    this.#index = index;
    this.#showToken();
    this.#showHead();
    this.#timeline.select(index);
    this.#on.onselect(index);
  }

  #showHead() {
    const { tokens, texts } = this.#answer;
    const text = texts[this.#index] || tokens[this.#index].token.text;
    fill(
      this.#head,
      h(
        "div",
        null,
        h("p", { class: "quiet" }, `Token ${this.#index + 1} of ${tokens.length}`),
        h("h2", { class: "token-title" }, text === "" ? "end of answer" : visible(text)),
      ),
      h(
        "div",
        { class: "actions" },
        button("‹", () => this.#go(this.#index - 1), {
          disabled: this.#index === 0,
          "aria-label": "Token before",
        }),
        button("›", () => this.#go(this.#index + 1), {
          disabled: this.#index === tokens.length - 1,
          "aria-label": "Next token",
        }),
        this.#on.onclose && button("✕", this.#on.onclose, { "aria-label": "Close the inspector" }),
      ),
    );
  }

  #showToken() {
    const [answer, index] = [this.#answer, this.#index];
    this.#showRecord(answer.tokens[index]);
    void this.#showFull(answer, index);
  }

  /** The rest of a token's record is fetched when it is looked at. */
  async #showFull(answer, index) {
    const record = await answer.full(index).catch(() => null);
    if (record && this.#answer === answer && this.#index === index) this.#showRecord(record);
  }

  #showRecord(record) {
    const { config } = this.#answer;
    const canChange = this.#whatIf && config && config.experts.length > 0;
    if (canChange) this.#whatIf.show(this.#answer, record);
    fill(
      this.#body,
      summary(record),
      record.shares && shareSection(record),
      wasWeighed(record) && weightSection(record, config),
      wasWeighed(record) && divergenceSection(record),
      record.timing && timingSection(record),
      record.curves && Object.keys(record.curves).length > 0 && this.#curves.element,
      topSection(record, this.#answer.keepsFull),
      canChange && this.#whatIf.element,
    );
    if (record.curves) this.#curves.show(record);
  }
}
