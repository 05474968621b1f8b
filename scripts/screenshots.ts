import { mkdirSync } from "node:fs";
import path from "node:path";
import type { Page } from "playwright-core";
import { startShoulders } from "../bench/server-process.js";
import { ask, launchBrowser } from "../test/browser/support.js";
import { root } from "./generated-docs.js";

/** `npx tsx scripts/screenshots.ts`, after a build: every view of the playground as a picture in `docs/`. */

const directory = path.join(root, "docs");
mkdirSync(directory, { recursive: true });
const shipped = [
  "--fusion-configs",
  path.join(root, "fusion-configs"),
  "--load",
  "giant,recall,problems,all-paper",
];
const [browser, server] = await Promise.all([launchBrowser(), startShoulders([], shipped)]);

const problem =
  "Oskar has 85 buttons. Then Oskar breaks 52. Oskar is given 46 more. Then Oskar gets 16. Then Oskar sells 63. " +
  "How many buttons does Oskar have?";

async function open(view: string, colorScheme: "light" | "dark", size = { width: 1400, height: 900 }) {
  const page = await browser.newPage({ viewport: size, colorScheme, deviceScaleFactor: 1.5 });
  await page.goto(`${server.url}/${view}`);
  await page.locator("#health[data-state=ready]").waitFor();
  return page;
}

/** With weight 1 for every expert, so that each token shows its colour. */
async function choose(page: Page, model: string): Promise<void> {
  const settings = page.locator(".settings");
  const wasOpen = (await settings.getAttribute("open")) !== null;
  if (!wasOpen) await page.getByText("Settings").click();
  await page.getByLabel("Model", { exact: true }).selectOption(model);
  await settings.getByLabel("Weights", { exact: true }).selectOption("static");
  if (!wasOpen) await page.getByText("Settings").click();
}

async function save(page: Page, name: string): Promise<void> {
  await page.mouse.move(0, 0);
  // Charts draw in the frame after their data.
  await page.waitForTimeout(400);
  await page.screenshot({ path: path.join(directory, `${name}.png`) });
}

const chat = await open("", "light");
await choose(chat, "problems");
await ask(chat, problem);
await chat.locator(".token.flipped").first().click();
await save(chat, "playground");

const href = await chat.getByRole("link", { name: "Open trace" }).first().getAttribute("href");
const trace = await open(href ?? "", "dark", { width: 1400, height: 1000 });
await trace.getByText("Token 1 of").waitFor();
await trace.keyboard.press("Tab");
await trace.locator(".token.flipped").first().click();
await save(trace, "inspector");

const compare = await open("#/compare", "dark");
const chosen = compare.locator(".choices input:checked");
while ((await chosen.count()) > 0) await chosen.first().uncheck({ force: true });
for (const id of ["giant", "problems", "all-paper"])
  await compare.locator(`.choices input[value="${id}"]`).check({ force: true });
await compare.getByRole("textbox", { name: "Message" }).fill(problem);
await compare.getByRole("button", { name: "Compare" }).click();
await compare.getByText("All answers are there.").waitFor({ state: "attached" });
await save(compare, "compare");

const operations = await open("#/operations", "light");
await operations.getByRole("cell", { name: "dwarf-problems" }).waitFor();
for (const model of ["problems", "all-paper", "problems", "recall", "problems", "all-paper"]) {
  await choose(chat, model);
  await ask(chat, problem);
  await chat.waitForTimeout(1000);
}
await save(operations, "operations");

const phone = await open("", "light", { width: 360, height: 740 });
await choose(phone, "problems");
await ask(phone, problem);
await save(phone, "phone");

await browser.close();
await server[Symbol.asyncDispose]();
