// @ts-check
import { Answer } from "./answer.js";
import { announce, fill, h, oncePerPicture } from "./dom.js";
import { Inspector } from "./inspector.js";
import { Settings } from "./settings.js";
import { Turn } from "./turn.js";

/** @import { Config, Message } from "./answer.js" */
/** @import { FusionFields } from "./fusion-controls.js" */
/** @import { App } from "./main.js" */

/** The conversation, with its settings on one side and the inspector of a token on the other. */
export class ChatView {
  /** @type {Turn[]} */
  #turns = [];
  #settings = new Settings({ onmodel: (config) => this.#greet(config) });
  #list = h("div", { class: "turns" });
  #greeting = h("div", { class: "greeting" });
  #input = h("textarea", { id: "message", rows: "1", placeholder: "Ask something", "aria-label": "Message" });
  #send = h("button", { class: "button primary", type: "submit" }, "Send");
  #inspector = new Inspector({
    onclose: () => this.#close(),
    onselect: (index) => this.#inspected?.turn.strip.select(index),
    oncontinue: (index, fusion) => this.#continueFrom(index, fusion),
  });
  /** @type {{ turn: Turn; answer: Answer } | null} */
  #inspected = null;

  /** @param {App} app */
  constructor(app) {
    const composer = h(
      "form",
      { class: "composer", onsubmit: (event) => this.#submit(event) },
      this.#input,
      this.#send,
    );
    this.#input.addEventListener("keydown", (event) => {
      if (event.key === "Enter" && !event.shiftKey && !event.isComposing) this.#submit(event);
    });
    this.#input.addEventListener("input", () => this.#fit());
    const column = h(
      "section",
      { class: "conversation", "aria-label": "Conversation" },
      this.#greeting,
      this.#list,
      composer,
    );
    this.element = h("div", { class: "chat" }, this.#settings.element, column, this.#inspector.element);
    this.element.addEventListener("keydown", (event) => {
      if (event.key === "Escape" && this.#inspected) this.#close();
    });
    this.showConfigs(app.configs);
  }

  /** @param {Config[]} configs */
  showConfigs(configs) {
    this.#settings.showConfigs(configs);
    this.#updateSend();
  }

  get #running() {
    const last = this.#turns.at(-1);
    return last?.answer.status === "streaming" ? last : null;
  }

  /** @param {Config} config */
  #greet({ example }) {
    fill(
      this.#greeting,
      h("h1", null, "Who speaks, token by token"),
      h(
        "p",
        null,
        "Every token of an answer is coloured by the expert that moved the base there, the stronger the further. ",
        "Click one to look inside.",
      ),
      example !== null &&
        h(
          "button",
          { type: "button", class: "example", onclick: () => this.#ask(example) },
          h("span", { class: "quiet" }, "Try"),
          example,
        ),
    );
  }

  /** @param {Event} event */
  #submit(event) {
    event.preventDefault();
    if (this.#running) {
      void this.#running.answer.stop();
      return;
    }
    const text = this.#input.value.trim();
    if (text === "" || this.#settings.config === null) return;
    this.#input.value = "";
    this.#fit();
    this.#ask(text);
  }

  /** @param {string} text */
  #ask(text) {
    const answer = new Answer(this.#settings.config);
    const turn = new Turn(text, answer, {
      onretry: () => this.#retry(turn),
      onedit: (changed) => this.#edit(turn, changed),
      onselect: (index) => this.#inspect(turn, index),
      onvariant: () => this.#close(),
    });
    this.#turns.push(turn);
    this.#list.append(turn.element);
    void this.#start(turn, answer, this.#settings.fusion.value);
  }

  /** Everything after the turn goes, as its answer may become another. @param {Turn} turn */
  #cutAfter(turn) {
    void this.#running?.answer.stop();
    const at = this.#turns.indexOf(turn);
    for (const later of this.#turns.splice(at + 1)) later.element.remove();
    this.#close();
  }

  /** @param {Turn} turn */
  #retry(turn) {
    this.#cutAfter(turn);
    const answer = new Answer(this.#settings.config);
    turn.add(answer);
    void this.#start(turn, answer, this.#settings.fusion.value);
  }

  /**
   * @param {Turn} turn
   * @param {string} text
   */
  #edit(turn, text) {
    this.#cutAfter(turn);
    this.#turns.pop();
    turn.element.remove();
    this.#ask(text);
  }

  /**
   * @param {number} index
   * @param {FusionFields} fusion
   */
  #continueFrom(index, fusion) {
    if (this.#inspected === null) return;
    const { turn, answer } = this.#inspected;
    this.#cutAfter(turn);
    const next = answer.continued(index);
    turn.add(next);
    void this.#start(turn, next, { ...fusion, ...answer.beginning(index) });
  }

  /**
   * @param {Turn} turn
   * @param {Answer} answer
   * @param {FusionFields} fusion
   */
  async #start(turn, answer, fusion) {
    if (answer.config === null) return;
    const messages = [...this.#settings.systemMessages, ...this.#messagesUpTo(turn)];
    answer.onchange = oncePerPicture(() => {
      const isFollowing = isNearEnd();
      // Another answer of the turn may be shown by now.
      if (turn.answer === answer) turn.update();
      if (this.#inspected?.answer === answer) this.#inspector.update();
      this.#updateSend();
      if (isFollowing) turn.element.scrollIntoView({ block: "end" });
    });
    this.#updateSend();
    turn.element.scrollIntoView({ block: "end" });
    await answer.start({
      model: answer.config.id,
      messages,
      ...this.#settings.sampling,
      fusion: { ...fusion, ...this.#settings.traces },
    });
    announce(answer.error ?? `Answer: ${answer.text}`);
  }

  /** @param {Turn} turn */
  #messagesUpTo(turn) {
    /** @type {Message[]} */
    const messages = [];
    for (const { question, answer } of this.#turns.slice(0, this.#turns.indexOf(turn)))
      if (answer.text !== "")
        messages.push({ role: "user", content: question }, { role: "assistant", content: answer.text });
    messages.push({ role: "user", content: turn.question });
    return messages;
  }

  /**
   * @param {Turn} turn
   * @param {number} index
   */
  #inspect(turn, index) {
    if (this.#inspected && this.#inspected.turn !== turn) this.#inspected.turn.strip.select(null);
    this.#inspected = { turn, answer: turn.answer };
    this.element.classList.add("inspecting");
    this.#inspector.show(turn.answer, index);
  }

  #close() {
    const { turn } = this.#inspected ?? {};
    this.#inspected = null;
    this.element.classList.remove("inspecting");
    this.#inspector.hide();
    turn?.strip.focus();
    turn?.strip.select(null);
  }

  #updateSend() {
    this.#send.textContent = this.#running ? "Stop" : "Send";
    this.#send.classList.toggle("stop", this.#running !== null);
    this.#send.disabled = !this.#settings.config;
    this.#greeting.hidden = this.#turns.length > 0 || !this.#settings.config;
  }

  #fit() {
    this.#input.style.height = "auto";
    this.#input.style.height = `${Math.min(200, this.#input.scrollHeight + 2)}px`;
  }
}

const isNearEnd = () => innerHeight + scrollY > document.documentElement.scrollHeight - 160;
