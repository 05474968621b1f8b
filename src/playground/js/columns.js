import { fill, h, oncePerPicture } from "./dom.js";
import { Inspector } from "./inspector.js";
import { legend, TokenStrip } from "./token-strip.js";
import { choiceOf } from "./strategies.js";

/**
 * Answers to one prompt side by side, with the token marked at which each parts from the first, and the inspector
 * of one token below. What if: an answer goes on from a token in a column of its own.
 */
export class AnswerColumns {
  element = h("div", { class: "compared" });
  #columns = h("div", { class: "columns" });
  #inspector = new Inspector({
    onselect: (index) => this.#inspected.strip.select(index),
    onclose: () => this.close(),
    oncontinue: (index, fusion) => this.#continue(index, fusion),
  });
  #entries = [];
  #inspected = null;

  constructor() {
    this.element.append(this.#columns, this.#inspector.element);
  }

  get isStreaming() {
    return this.#entries.some(({ answer }) => answer.status === "streaming");
  }

  /** Puts these in place of what was shown. */
  show(answers) {
    this.close();
    this.#entries = [];
    fill(this.#columns);
    for (const answer of answers) this.#add(answer, answer.config?.id, answer.config?.description);
  }

  stop() {
    for (const { answer } of this.#entries) void answer.stop();
  }

  inspect(at, index) {
    this.#inspect(this.#entries[at], index);
  }

  close() {
    this.#inspected?.strip.select(null);
    this.#inspected?.strip.focus();
    this.#inspected = null;
    this.#inspector.hide();
  }

  #add(answer, title, description) {
    const strip = new TokenStrip(answer, (index) => this.#inspect(entry, index));
    const [shares, status] = [legend(answer), h("p", { class: "quiet column-status" })];
    const element = h(
      "article",
      { class: "column", "data-config": answer.config?.id },
      h("h2", null, title),
      h("p", { class: "hint" }, description),
      strip.element,
      status,
      shares,
    );
    const entry = { answer, strip, element, status };
    this.#entries.push(entry);
    this.#columns.append(element);
    answer.onchange = oncePerPicture(() => {
      strip.update();
      legend(answer, shares);
      this.#markPartings();
      if (this.#inspected === entry) this.#inspector.update();
    });
    this.#markPartings();
  }

  #continue(index, fusion) {
    const { answer } = this.#inspected;
    const { fusion: before, ...body } = answer.request;
    const next = answer.continued(index);
    this.#add(next, `${answer.config.id}, what if`, describe(fusion, index, answer.config));
    const { trace, keep_trace } = before;
    void next.start({ ...body, fusion: { trace, keep_trace, ...fusion, ...answer.beginning(index) } });
    this.#entries.at(-1).element.scrollIntoView({ block: "center" });
  }

  #markPartings() {
    const [first, ...others] = this.#entries;
    const partings = others.map(({ answer }) => partingOf(answer, first.answer));
    others.forEach(({ strip, answer, status }, at) => {
      strip.markParting(partings[at]);
      const place = partings[at] === null ? "Same so far" : `Parts at token ${partings[at] + 1}`;
      status.textContent = answer.error ?? place;
    });
    first.status.textContent = first.answer.error ?? "";
    const known = partings.filter((parting) => parting !== null);
    first.strip.markParting(known.length > 0 ? Math.min(...known) : null);
  }

  #inspect(entry, index) {
    if (this.#inspected !== entry) this.#inspected?.strip.select(null);
    this.#inspected = entry;
    entry.strip.select(index);
    this.#inspector.show(entry.answer, index);
  }
}

/** The first token that two answers do not share; null while there is none. */
function partingOf(answer, other) {
  const shared = Math.min(answer.tokens.length, other.tokens.length);
  for (let at = 0; at < shared; at++) if (answer.tokens[at].token.id !== other.tokens[at].token.id) return at;
  return null;
}

/** What a request's `fusion` asks for, in a few words. */
function describe({ strategy, weights, bounds, prior, budget }, index, config) {
  const list = (values, toText) =>
    Object.entries(values)
      .map(([id, value]) => `${id} ${toText(value)}`)
      .join(", ");
  const parts = [
    weights && `weights ${list(weights, String)}`,
    bounds && `weights within ${list(bounds, ([low, high]) => `${low} to ${high}`)}`,
    strategy && choiceOf(config, strategy.type).label,
    prior && (prior.shares === "uniform" ? "even shares" : list(prior.shares, (share) => `${share * 100} %`)),
    budget && `at most ${budget.token_nats} nats a token`,
  ].filter(Boolean);
  return `From token ${index + 1}: ${parts.join("; ") || "as configured"}.`;
}
