// @ts-check
import { getJson } from "./api.js";
import { announce, fill } from "./dom.js";
import { knowExperts } from "./experts.js";

/** @import { ConfigBody, ConfigList } from "../../wire/config.js" */

/**
 * What all views know.
 *
 * @typedef {object} App
 * @property {ConfigBody[]} configs none while models load
 * @property {Promise<void>} isKnown it has been asked which configs there are
 *
 * @typedef {object} View
 * @property {HTMLElement} element
 * @property {(argument: string) => unknown} [show] it comes into sight, with what stands behind its name
 * @property {() => void} [hide]
 * @property {(configs: ConfigBody[]) => void} [showConfigs]
 *
 * @typedef {{ title: string; make: (app: App) => Promise<View> }} Route
 */

/** @type {Route} */
const chat = { title: "Chat", make: async (app) => new (await import("./chat.js")).ChatView(app) };

/** The page's routes; a view is made when it is first seen, and kept. @type {Map<string, Route>} */
const routes = new Map([
  ["chat", chat],
  ["compare", { title: "Compare", make: async (app) => new (await import("./compare.js")).CompareView(app) }],
  ["debate", { title: "Debate", make: async (app) => new (await import("./debate.js")).DebateView(app) }],
  ["traces", { title: "Traces", make: async () => new (await import("./traces.js")).TracesView() }],
  ["trace", { title: "Trace", make: async (app) => new (await import("./traces.js")).TraceView(app) }],
  [
    "policies",
    { title: "Policies", make: async (app) => new (await import("./policies.js")).PoliciesView(app) },
  ],
  [
    "operations",
    { title: "Operations", make: async () => new (await import("./operations.js")).OperationsView() },
  ],
]);

/** A part of `index.html`. @param {string} id */
function part(id) {
  const element = document.getElementById(id);
  if (element === null) throw new Error(`index.html has no #${id}.`);
  return element;
}

const [main, health] = [part("main"), part("health")];
/** @type {Map<Route, View>} */
const made = new Map();
/** @type {View | null} */
let current = null;

let setKnown = () => {};
/** @type {App} */
const app = { configs: [], isKnown: new Promise((resolve) => (setKnown = resolve)) };

async function show() {
  const [, wanted = "", argument = ""] = /^#\/(\w*)\/?(.*)$/.exec(location.hash) ?? [];
  const name = routes.has(wanted) ? wanted : "chat";
  const route = routes.get(name) ?? chat;
  for (const link of document.querySelectorAll("nav a")) {
    const target = link.getAttribute("data-view");
    if (target === name || (name === "trace" && target === "traces"))
      link.setAttribute("aria-current", "page");
    else link.removeAttribute("aria-current");
  }
  document.title = `${route.title} · Shoulders`;
  const view = made.get(route) ?? (await route.make(app));
  made.set(route, view);
  current?.hide?.();
  current = view;
  fill(main, view.element);
  view.show?.(decodeURIComponent(argument));
}

/** Asks until the models are there; then now and then whether they still are. */
async function watchHealth() {
  /** @type {boolean | null} */
  let wasReady = null;
  for (;;) {
    const state = await healthState();
    health.dataset.state = state.name;
    health.textContent = state.text;
    const isReady = state.name === "ready";
    if (isReady && app.configs.length === 0) await loadConfigs();
    setKnown();
    if (wasReady !== null && isReady !== wasReady) announce(state.text);
    wasReady = isReady;
    await new Promise((resolve) => setTimeout(resolve, isReady ? 3000 : 500));
  }
}

async function healthState() {
  const response = await fetch("readyz").catch(() => null);
  if (response === null) return { name: "lost", text: "Server unreachable" };
  return response.ok ? { name: "ready", text: "Ready" } : { name: "loading", text: "Loading models" };
}

async function loadConfigs() {
  /** @type {Pick<ConfigList, "data">} */
  const { data } = await getJson("v1/fusion/configs").catch(() => ({ data: [] }));
  app.configs = data;
  knowExperts(data);
  for (const view of made.values()) view.showConfigs?.(data);
}

addEventListener("hashchange", show);
await show();
await watchHealth();
