// @ts-check
import { sendJson } from "./api.js";
import { announce, button, fill, h } from "./dom.js";
import { percent, reasonOf, visible } from "./format.js";

/**
 * @import { Answer } from "./answer.js"
 * @import { Credit } from "../../wire/feedback.js"
 * @import { TokenStrip } from "./token-strip.js"
 */

/** What is said of each head. */
const headWords = {
  likelihood: "by how likely each token was, nothing is learned yet",
  mean: "each token has its part in the rating",
  all: "one mistake spoils the answer",
};

/** How many tokens are named that lower the rating most. */
const numNamed = 3;

/** Colours an answer's tokens by what each adds to the rating that it would probably get. */
export class CreditMap {
  element = h("div", { class: "credit" });
  #answer;
  #strip;
  #told = h("p", { class: "hint", role: "status" });
  #button = button("Heat map", () => this.#toggle(), { "aria-pressed": "false" });

  /**
   * @param {Answer} answer
   * @param {TokenStrip} strip
   */
  constructor(answer, strip) {
    this.#answer = answer;
    this.#strip = strip;
    fill(this.element, this.#button, this.#told);
    this.update();
  }

  update() {
    const { status, traceId, tokens } = this.#answer;
    this.element.hidden = status === "streaming" || traceId === null || tokens.length === 0;
  }

  async #toggle() {
    const isShown = this.#button.getAttribute("aria-pressed") === "true";
    try {
      await (isShown ? this.#hide() : this.#show());
      this.#button.setAttribute("aria-pressed", String(!isShown));
    } catch (error) {
      this.#told.textContent = reasonOf(error);
      announce(reasonOf(error));
    }
  }

  async #show() {
    /** @type {Credit} */
    const credit = await sendJson("POST", "v1/fusion/credit", { trace: this.#answer.traceId });
    this.#strip.colour(credit.tokens.map((token) => token.credit));
    this.#told.textContent = this.#words(credit);
  }

  #hide() {
    this.#strip.colour(null);
    this.#told.textContent = "";
  }

  /** @param {Credit} credit */
  #words({ head, ratings, concordance, predicted, tokens }) {
    const worst = tokens
      .filter(({ credit }) => credit < 0)
      .sort((a, b) => a.credit - b.credit)
      .slice(0, numNamed)
      .map(({ index, credit }) => `“${visible(this.#answer.texts[index] ?? "")}” ${credit.toFixed(2)}`);
    const right = concordance === null ? "" : `, ${percent(concordance)} of pairs ordered right`;
    return (
      `Probable rating ${(predicted * 10).toFixed(1)} of 10 (${head}: ${headWords[head]}; ` +
      `${ratings} ratings${right}). Marked down most: ${worst.join(", ") || "none"}.`
    );
  }
}
