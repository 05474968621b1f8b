// @ts-check
import { announce, button, field, fill, h, table } from "./dom.js";
import { reasonOf } from "./format.js";
import { favourite } from "./settings.js";
import { holdDebate } from "./stream.js";

/**
 * @import { DebateAnswer, DebateArgument } from "../../wire/debate.js"
 * @import { DebateFrame } from "./stream.js"
 * @import { Config } from "./answer.js"
 * @import { App } from "./main.js"
 */

/** @param {number} value */
const share = (value) => value.toFixed(3);
/** @param {number} value */
const signed = (value) => `${value < 0 ? "−" : "+"}${Math.abs(value).toFixed(3)}`;

/** Two advocates argue, and a panel judges: what they say, and what each member makes of it. */
export class DebateView {
  #model = h("select", null);
  #question = h("textarea", { rows: "2", required: true });
  #document = h("textarea", { rows: "4" });
  #candidates = [0, 1].map(() => h("input", { required: true }));
  #turns = h("input", { type: "number", min: "0", max: "3", value: "1" });
  #advocate = h(
    "select",
    null,
    ["base", "fused"].map((who) => h("option", { value: who }, who)),
  );
  #panelForm = h("input", { value: "{question}\\n\\n{transcript}", spellcheck: "false" });
  #run = h("button", { class: "button primary", type: "submit" }, "Debate");
  #transcripts = h("div", { class: "debate-transcripts" });
  #result = h("div", { class: "debate-result", tabindex: "0", role: "group", "aria-label": "Verdict" });
  /** @type {(() => unknown) | null} */
  #cancel = null;
  /** Of the running or last debate. @type {string[]} */
  #names = [];
  /** Lists of arguments, by transcript. @type {Map<number, { list: HTMLElement; open: HTMLElement | null }>} */
  #parts = new Map();

  /** @param {App} app */
  constructor(app) {
    const [first, second] = this.#candidates;
    if (!first || !second) throw new Error("There are two candidates.");
    const form = h(
      "form",
      { class: "debate-form" },
      field("Model", this.#model),
      field("Question", this.#question),
      field("Document", this.#document, "Advocates quote its sentences; the panel hears the quotes alone."),
      h(
        "div",
        { class: "fields" },
        field("First candidate", first),
        field("Second candidate", second),
        field("Turns", this.#turns),
        field("Advocate", this.#advocate),
      ),
      field("What the panel reads", this.#panelForm, "With {question} and {transcript}; \\n is a new line."),
      h(
        "div",
        { class: "buttons" },
        this.#run,
        button("Stop", () => this.#cancel?.()),
      ),
    );
    form.addEventListener("submit", (event) => {
      event.preventDefault();
      void this.#start();
    });
    this.element = h(
      "div",
      { class: "page" },
      h("h1", null, "Debate"),
      h(
        "p",
        { class: "lead" },
        "Two advocates argue for opposing answers, each side begins once, and the experts judge by likelihood.",
      ),
      form,
      this.#transcripts,
      this.#result,
    );
    this.showConfigs(app.configs);
  }

  /** @param {Config[]} configs */
  showConfigs(configs) {
    const chosen = this.#model.value || favourite(configs)?.id;
    fill(
      this.#model,
      configs.map(({ id }) => h("option", { value: id, selected: id === chosen }, id)),
    );
  }

  async #start() {
    this.#cancel?.();
    this.#names = this.#candidates.map(({ value }) => value);
    this.#parts.clear();
    fill(this.#transcripts);
    fill(this.#result, h("p", { class: "quiet" }, "They argue."));
    const document = this.#document.value.trim();
    const panel = this.#panelForm.value.replaceAll("\\n", "\n");
    const { done, cancel } = holdDebate(
      {
        model: this.#model.value,
        messages: [{ role: "user", content: this.#question.value }],
        candidates: this.#names,
        ...(document && { document }),
        debate: {
          turns: Number(this.#turns.value),
          advocate: this.#advocate.value,
          templates: { panel },
        },
      },
      (frame) => this.#take(frame),
    );
    this.#cancel = cancel;
    this.#run.disabled = true;
    try {
      const debate = await done;
      fill(this.#result, debate ? shown(debate) : h("p", { class: "quiet" }, "Stopped."));
      announce(debate ? "The verdict is there." : "Stopped.");
    } catch (error) {
      fill(this.#result, h("p", { class: "failure", role: "alert" }, reasonOf(error)));
    } finally {
      this.#cancel = null;
      this.#run.disabled = false;
    }
  }

  /** @param {DebateFrame} frame */
  #take(frame) {
    if (frame.type === "debate.argument.delta") {
      const part = this.#part(frame.transcript);
      part.open ??= part.list.appendChild(h("li", null, h("b", null, `${this.#names[frame.candidate]}: `)));
      part.open.append(frame.delta);
    }
    if (frame.type === "debate.argument.done") {
      const part = this.#part(frame.argument.transcript);
      part.open?.remove();
      part.open = null;
      part.list.append(this.#argument(frame.argument));
    }
  }

  /** @param {number} index */
  #part(index) {
    const known = this.#parts.get(index);
    if (known) return known;
    const part = { list: h("ol", null), open: null };
    this.#parts.set(index, part);
    const title = `Transcript ${index + 1}`;
    this.#transcripts.append(h("section", { "aria-label": title }, h("h2", null, title), part.list));
    return part;
  }

  /** @param {DebateArgument} argument */
  #argument({ candidate, text, quotes, trace_id: trace }) {
    const struck = quotes.filter(({ verified }) => !verified);
    return h(
      "li",
      null,
      h("b", null, `${this.#names[candidate]}: `),
      text || h("i", null, "nothing"),
      struck.map((quote) => h("p", { class: "failure" }, `Struck, not in the document: ${quote.text}`)),
      trace && [" ", h("a", { href: `#/trace/${trace}` }, "Trace")],
    );
  }
}

/** What a debate came to. @param {DebateAnswer} debate */
function shown({ candidates, verdict, margin, settled, agreement, audited }) {
  const members = Object.keys(candidates[0]?.members ?? {});
  const rows = candidates.map(({ text, probability, members: own, order_effect: effect }, index) => [
    index === verdict ? h("b", null, `${text} ✓`) : text,
    share(probability),
    ...members.flatMap((member) => [share(own[member]?.without ?? 0), share(own[member]?.with ?? 0)]),
    effect === null ? "–" : signed(effect),
  ]);
  const heads = members.flatMap((member) => [`${member} without`, `${member} with`]);
  return [
    h("h2", null, "Verdict"),
    table(["Candidate", "Mean", ...heads, "Order effect"], rows),
    h(
      "p",
      null,
      `Margin ${share(margin)}, ${settled ? "settled" : "not settled"}; agreement ${share(agreement)}. `,
      audited
        ? `Audited ${audited.date.slice(0, 10)}: ${audited.outcome}${audited.same_settings ? "" : ", with other settings"}.`
        : "Nobody has audited debates of this model.",
    ),
  ];
}
