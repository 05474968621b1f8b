import { h, fill } from "./dom.js";
import { colourClass, intensityOf, sharesOf, wasWeighed } from "./experts.js";
import { percent, visible, weight } from "./format.js";

/** The tokens of an answer, coloured by who moved them. One of them is in the order of tabs; arrows move on. */
export class TokenStrip {
  element = h("div", { class: "tokens", role: "group", "aria-label": "Tokens of the answer" });
  #spans = [];
  #answer;
  #onselect;
  #selected = null;
  #parted = null;

  constructor(answer, onselect) {
    this.#answer = answer;
    this.#onselect = onselect;
    this.element.addEventListener("click", ({ target }) => {
      const span = target.closest(".token");
      if (span) this.#choose(this.#spans.indexOf(span));
    });
    this.element.addEventListener("keydown", (event) => this.#move(event));
    this.update();
  }

  /** Shows the tokens that have come since. */
  update() {
    const { tokens } = this.#answer;
    while (this.#spans.length < tokens.length) {
      const index = this.#spans.length;
      const span = this.#span(index);
      if (index > 0 && index === this.#answer.numKept) this.element.append(h("span", { class: "seam" }));
      this.#spans.push(span);
      this.element.append(span);
    }
    this.element.classList.toggle("streaming", this.#answer.status === "streaming");
  }

  select(index) {
    this.#spans[this.#selected]?.removeAttribute("aria-current");
    this.#selected = index;
    if (index === null) return;
    this.#spans.forEach((span, at) => (span.tabIndex = at === index ? 0 : -1));
    this.#spans[index]?.setAttribute("aria-current", "true");
  }

  focus() {
    this.#spans[this.#selected ?? 0]?.focus();
  }

  /** Marks the token at which this answer parts from another; null: none. */
  markParting(index) {
    if (index === this.#parted) return;
    this.#spans[this.#parted]?.classList.remove("parting");
    this.#parted = index;
    this.#spans[index]?.classList.add("parting");
  }

  #span(index) {
    const { tokens, texts, config, numKept } = this.#answer;
    const { chosen, weights, shares, flipped, token } = tokens[index];
    const text = texts[index];
    const classes = ["token"];
    if (chosen !== null) classes.push("moved", colourClass(chosen));
    if (flipped) classes.push("flipped");
    if (index < numKept) classes.push("kept");
    if (text === "") classes.push(token.text === "" ? "end" : "part");
    const moved = shares ? percent(shares[chosen]) : weight(weights[chosen] ?? 0);
    const settled = wasWeighed(tokens[index]) ? "" : ", base not asked";
    if (settled) classes.push("settled");
    const says = (chosen === null ? "not moved" : `${chosen} ${moved}`) + settled;
    return h(
      "span",
      {
        class: classes.join(" "),
        role: "button",
        tabindex: index === 0 ? "0" : "-1",
        "aria-label": `Token ${index + 1}, ${visible(text)}: ${says}${flipped ? ", flipped" : ""}`,
        vars: { "--intensity": intensityOf(tokens[index], config).toFixed(3) },
      },
      text === "" ? (token.text === "" ? "end" : "·") : text.replaceAll("\n", "⏎\n"),
    );
  }

  #choose(index) {
    this.select(index);
    this.#onselect(index);
  }

  #move(event) {
    const last = this.#spans.length - 1;
    const at = this.#spans.indexOf(document.activeElement);
    const target = { ArrowLeft: at - 1, ArrowRight: at + 1, Home: 0, End: last, Enter: at, " ": at }[
      event.key
    ];
    if (target === undefined || at < 0) return;
    event.preventDefault();
    this.#choose(Math.max(0, Math.min(last, target)));
    this.focus();
  }
}

/** Who moved how many of the tokens. */
export function legend(answer, element = h("ul", { class: "legend", "aria-label": "Who moved the tokens" })) {
  const { isMixture, experts, alone, numFlipped } = sharesOf(answer.tokens);
  return fill(
    element,
    experts.map(({ id, share, meanWeight }) =>
      h(
        "li",
        {
          class: colourClass(id),
          "data-expert": id,
        },
        h("i", { class: "swatch" }),
        id,
        h("b", { "data-share": share }, percent(share)),
        h("span", { class: "quiet" }, isMixture ? "of the mixture" : `mean weight ${weight(meanWeight)}`),
      ),
    ),
    h(
      "li",
      null,
      h("i", { class: "swatch none" }),
      isMixture ? "base" : "not moved",
      h("b", { "data-share": alone }, percent(alone)),
    ),
    h("li", null, h("i", { class: "swatch flip" }, "a"), "flipped", h("b", null, String(numFlipped))),
  );
}
