// @ts-check
import { h } from "./dom.js";

/** @import { ErrorBody } from "../../wire/error.js" */

/** The key, where the server asks for one, is kept for this session of the browser only. */
const stored = "shoulders.key";

export const apiKey = () => sessionStorage.getItem(stored);

/**
 * Asks for a key and tries again where one is missing or wrong.
 *
 * @param {string} path
 * @param {{ method?: string; headers?: Record<string, string>; body?: string }} [asked]
 * @throws {Error} what the server says, or that it does not answer
 */
export async function request(path, asked = {}) {
  for (;;) {
    const key = apiKey();
    const headers = { ...asked.headers, ...(key && { Authorization: `Bearer ${key}` }) };
    const response = await fetch(path, { ...asked, headers }).catch(() => {
      throw new Error("The server does not answer. Is it still running?");
    });
    if (response.ok) return response;
    if (response.status !== 401) throw new Error(await messageOf(response));
    await askForKey(key !== null);
  }
}

/** @param {string} path */
export const getJson = async (path) => (await request(path)).json();
/**
 * @param {"POST" | "DELETE"} method
 * @param {string} path
 * @param {object} [body]
 */
export const sendJson = async (method, path, body) => {
  const headers = { "Content-Type": "application/json" };
  const sent = body === undefined ? { method } : { method, headers, body: JSON.stringify(body) };
  return (await request(path, sent)).json();
};
/** @param {string} path */
export const getText = async (path) => (await request(path)).text();

/** @param {Response} response of this server, or of a proxy before it */
async function messageOf(response) {
  /** @type {Partial<ErrorBody> | null} */
  const body = await response.json().catch(() => null);
  return body?.error?.message ?? `The server answered ${response.status}.`;
}

/** @type {Promise<void> | null} */
let asking = null;

/** @param {boolean} wasWrong */
function askForKey(wasWrong) {
  asking ??= showKeyDialog(wasWrong).finally(() => (asking = null));
  return asking;
}

/**
 * @param {boolean} wasWrong
 * @returns {Promise<void>}
 */
function showKeyDialog(wasWrong) {
  const input = h("input", {
    type: "password",
    id: "api-key",
    autocomplete: "off",
    required: true,
    spellcheck: "false",
  });
  const dialog = h(
    "dialog",
    { class: "dialog", "aria-labelledby": "key-title" },
    h(
      "form",
      { method: "dialog" },
      h("h2", { id: "key-title" }, "API key"),
      h("p", null, wasWrong ? "The server refused this key." : "This server asks for a key."),
      h("label", { for: "api-key" }, "Key"),
      input,
      h("p", { class: "hint" }, "Kept until this tab is closed, and sent to this server only."),
      h("button", { class: "button primary" }, "Continue"),
    ),
  );
  dialog.addEventListener("cancel", (event) => event.preventDefault());
  document.body.append(dialog);
  dialog.showModal();
  return new Promise((resolve) => {
    dialog.addEventListener("close", () => {
      sessionStorage.setItem(stored, input.value.trim());
      dialog.remove();
      resolve();
    });
  });
}
