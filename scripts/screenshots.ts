import { mkdirSync } from "node:fs";
import path from "node:path";
import type { Page } from "playwright-core";
import { ask, launchBrowser, question, serve, startShippedEngine } from "../test/browser/support.js";
import { root } from "./generated-docs.js";

/** `npx tsx scripts/screenshots.ts`, after a build: every view of the playground as a picture in `docs/`. */

const directory = path.join(root, "docs");
mkdirSync(directory, { recursive: true });
const [browser, engine] = await Promise.all([launchBrowser(), startShippedEngine()]);
const { server, url } = await serve(engine);

async function open(view: string, colorScheme: "light" | "dark", size = { width: 1400, height: 900 }) {
  const page = await browser.newPage({ viewport: size, colorScheme, deviceScaleFactor: 1.5 });
  await page.goto(`${url}/${view}`);
  await page.locator("#health[data-state=ready]").waitFor();
  return page;
}

async function save(page: Page, name: string): Promise<void> {
  await page.mouse.move(0, 0);
  // Charts draw in the frame after their data.
  await page.waitForTimeout(400);
  await page.screenshot({ path: path.join(directory, `${name}.png`) });
}

const chat = await open("", "light");
await ask(chat, question);
await chat.locator(".token").last().click();
await save(chat, "playground");

const href = await chat.getByRole("link", { name: "Open trace" }).first().getAttribute("href");
const trace = await open(href ?? "", "dark", { width: 1400, height: 1000 });
await trace.getByText("Token 1 of").waitFor();
await trace.keyboard.press("Tab");
await trace.locator(".token").last().click();
await save(trace, "inspector");

const compare = await open("#/compare", "dark");
await compare.getByRole("button", { name: "Compare" }).click();
await compare.getByText("All answers are there.").waitFor({ state: "attached" });
await save(compare, "compare");

const operations = await open("#/operations", "light");
await operations.getByRole("cell", { name: "dwarf-trivia" }).waitFor();
await chat.getByLabel("Model", { exact: true }).selectOption("giant");
for (let round = 0; round < 6; round++) {
  await ask(chat, question);
  await chat.waitForTimeout(500);
}
await save(operations, "operations");

const phone = await open("", "light", { width: 360, height: 740 });
await ask(phone, question);
await save(phone, "phone");

await browser.close();
await server.close();
await engine.close();
