import { getJson } from "./api.js";
import { announce, fill, h } from "./dom.js";
import { knowExperts } from "./experts.js";

/** Routes of the page; a view is made when it is first seen, and kept. */
const views = {
  chat: async (app) => new (await import("./chat.js")).ChatView(app),
  compare: async (app) => new (await import("./compare.js")).CompareView(app),
  traces: async (app) => new (await import("./traces.js")).TracesView(app),
  trace: async (app) => new (await import("./traces.js")).TraceView(app),
  operations: async (app) => new (await import("./operations.js")).OperationsView(app),
};

const titles = {
  chat: "Chat",
  compare: "Compare",
  traces: "Traces",
  trace: "Trace",
  operations: "Operations",
};

const main = document.querySelector("#main");
const health = document.querySelector("#health");
const made = new Map();
let current = null;

let setKnown = () => undefined;
/** `isKnown`: it has been asked which configs there are; none while models load. */
const app = { configs: [], isKnown: new Promise((resolve) => (setKnown = resolve)) };

async function show() {
  const [, name = "", argument] = /^#\/(\w*)\/?(.*)$/.exec(location.hash) ?? [];
  const view = name in views ? name : "chat";
  for (const link of document.querySelectorAll("nav a"))
    if (link.dataset.view === view || (view === "trace" && link.dataset.view === "traces"))
      link.setAttribute("aria-current", "page");
    else link.removeAttribute("aria-current");
  document.title = `${titles[view]} · Shoulders`;
  if (!made.has(view)) made.set(view, await views[view](app));
  current?.hide?.();
  current = made.get(view);
  fill(main, current.element);
  current.show?.(decodeURIComponent(argument ?? ""));
}

/** Asks until the models are there; then now and then whether they still are. */
async function watchHealth() {
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
  const { data } = await getJson("v1/fusion/configs").catch(() => ({ data: [] }));
  app.configs = data;
  knowExperts(data);
  for (const view of made.values()) view.showConfigs?.(data);
}

addEventListener("hashchange", show);
await show();
if (main.childElementCount === 0) main.append(h("p", { class: "notice" }, "Nothing here."));
await watchHealth();
