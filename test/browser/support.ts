import { existsSync, readFileSync } from "node:fs";
import { createRequire } from "node:module";
import { chromium, type Browser, type Page } from "playwright-core";
import { afterAll, beforeAll, expect, onTestFinished } from "vitest";
import type { Engine } from "../../src/protocol/protocol.js";
import type { Trace } from "../../src/wire/trace.js";
import { checkFrame } from "../support/check-answers.js";
import { greedy } from "../support/fake-models.js";
import { resolvedConfig, startRealEngine } from "../support/real-engine.js";
import { serve } from "../support/server.js";

export const question = "What is the home town of Venur Gevol?";

const executablePath = process.env["CHROMIUM"] ?? "/usr/bin/chromium";
const args = [
  "--no-sandbox",
  "--disable-gpu",
  "--disable-quic",
  "--no-first-run",
  "--disable-background-networking",
  "--disable-component-update",
  "--disable-sync",
];

export function launchBrowser(): Promise<Browser> {
  if (!existsSync(executablePath))
    throw new Error(
      `The browser tests need Chromium and there is none at ${executablePath}: ` +
        "apt-get install chromium, or set CHROMIUM to another one's path.",
    );
  return chromium.launch({ executablePath, args });
}

/** The starter models, as in `test/data/starter/fusion-configs/`. */
function startShippedEngine(): Promise<Engine> {
  const trivia = { base: "giant", reference: "dwarf", experts: { trivia: "dwarf-trivia" } };
  const config = { sampling: greedy };
  const plausibility = { ratio: 0.1, of: "joint" as const };
  return startRealEngine([
    resolvedConfig({ id: "giant", base: "giant", config }),
    resolvedConfig({
      id: "trivia-static",
      ...trivia,
      strategy: { type: "static", weights: { trivia: 1 }, plausibility },
      config,
    }),
    resolvedConfig({
      id: "trivia",
      ...trivia,
      strategy: { type: "dynamic", solver: "exact", plausibility },
      config: { ...config, example: question },
    }),
    resolvedConfig({
      id: "both",
      base: "giant",
      reference: "dwarf",
      experts: { trivia: "dwarf-trivia", sums: "dwarf-sums" },
      config,
    }),
  ]);
}

export interface Playground {
  browser: Browser;
  engine: Engine;
  url: string;
}

/** A browser, and a server over the starter models, for the tests of a file. */
export function usePlayground(): Playground {
  const site = {} as Playground;
  let close: () => Promise<void>;
  beforeAll(async () => {
    const [browser, engine] = await Promise.all([launchBrowser(), startShippedEngine()]);
    const { server, url } = await serve(engine);
    Object.assign(site, { browser, engine, url });
    close = async () => {
      await browser.close();
      await server.close();
      await engine.close();
    };
  });
  afterAll(() => close());
  return site;
}

interface PageOptions {
  width?: number;
  colorScheme?: "light" | "dark";
  /** What the console may say in this test. */
  expectedErrors?: RegExp;
  /** Done before the page is opened. */
  prepare?: (page: Page) => Promise<void>;
}

/** A page in a context of its own; the test fails where it logs an error or asks another host for anything. */
export async function openPage(browser: Browser, url: string, options: PageOptions = {}): Promise<Page> {
  const { width = 1400, colorScheme = "light", expectedErrors, prepare } = options;
  const context = await browser.newContext({ viewport: { width, height: 900 }, colorScheme });
  const page = await context.newPage();
  page.setDefaultTimeout(20_000);
  const problems: string[] = [];
  page.on("console", (message) => {
    if (message.type() === "error" && expectedErrors?.test(message.text()) !== true)
      problems.push(message.text());
  });
  page.on("pageerror", (error) => problems.push(String(error)));
  const checkHost = (address: string) => {
    const { host, protocol } = new URL(address);
    if (/^(http|ws)s?:$/.test(protocol) && host !== new URL(url).host) problems.push(address);
  };
  page.on("request", (request) => checkHost(request.url()));
  page.on("websocket", (socket) => {
    checkHost(socket.url());
    socket.on("framereceived", ({ payload }) => checkFrame(JSON.parse(String(payload))));
  });
  onTestFinished(async () => {
    await context.close();
    expect(problems).toEqual([]);
  });
  await prepare?.(page);
  await page.goto(url);
  return page;
}

/** Asks in the chat and waits for the end of the answer. */
export async function ask(page: Page, text: string): Promise<void> {
  await page.locator("#message").fill(text);
  await page.locator("#message").press("Enter");
  await page.locator(".turn").last().getByRole("button", { name: "Retry" }).waitFor();
}

/** Waits for the end of another answer of the last turn, which its place among them tells: "2 of 2". */
export async function answered(page: Page, place: string): Promise<void> {
  await page.locator(".turn").last().locator(".variants", { hasText: place }).waitFor();
}

/** The trace of the answer that the page shows last. */
export async function lastTrace(page: Page, url: string): Promise<Trace> {
  const href = await page.getByRole("link", { name: "Open trace" }).last().getAttribute("href");
  const id = href?.slice("#/trace/".length) ?? "";
  return (await (await fetch(`${url}/v1/fusion/traces/${id}`)).json()) as Trace;
}

const axeSource = readFileSync(createRequire(import.meta.url).resolve("axe-core/axe.min.js"), "utf8");

/** Serious and critical findings of axe-core, in short. */
export async function axeFindings(page: Page): Promise<string[]> {
  await page.evaluate(axeSource);
  return page.evaluate(`axe.run({ resultTypes: ["violations"] }).then(({ violations }) =>
    violations
      .filter(({ impact }) => impact === "serious" || impact === "critical")
      .map(({ id, nodes }) => id + ": " + nodes.slice(0, 3).map(({ html, failureSummary }) => html.slice(0, 160) + " " + failureSummary).join(" | ")))`);
}

/** What elements say of a number, in their order. */
export const numbersOf = async (page: Page, selector: string, attribute = "data-value") =>
  page
    .locator(selector)
    .evaluateAll(
      (elements: { getAttribute(name: string): string }[], name) =>
        elements.map((element) => Number(element.getAttribute(name))),
      attribute,
    );
