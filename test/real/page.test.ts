import { expect, it, onTestFinished } from "vitest";
import { ask, launchBrowser, openPage } from "../browser/support.js";
import { greedy } from "../support/fake-models.js";
import { resolvedConfig } from "../support/real-engine.js";
import { serveConfigs } from "../support/real-server.js";
import { realModels, realPath } from "./models.js";

const [chatting] = realModels.filter(({ chats }) => chats);

it.runIf(chatting)("the page chats with a model that others trained", async () => {
  const { id, file } = chatting!;
  const config = { context: { tokens: 1024, sequences: 2 }, sampling: greedy };
  const server = await serveConfigs([resolvedConfig({ id, base: realPath(file), config })]);
  onTestFinished(() => server.close());
  const browser = await launchBrowser();
  onTestFinished(() => browser.close());
  const page = await openPage(browser, server.url);
  await ask(page, "How many days are in a week?");
  expect(await page.locator(".tokens").last().textContent()).toContain("7 days");
});
