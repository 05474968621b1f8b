import { readdirSync, readFileSync, statSync } from "node:fs";
import path from "node:path";
import { gzipSync } from "node:zlib";
import { expect, it } from "vitest";
import { vendoredFiles } from "../../src/api/playground.js";
import { hashOf } from "../../src/config/api-keys.js";
import { root } from "../support/real-engine.js";
import { serve } from "../support/server.js";
import { answered, ask, axeFindings, openPage, question, usePlayground } from "./support.js";

const site = usePlayground();

it("everything that the page is made of is under 400 kB compressed", () => {
  const directory = path.join(root, "src", "playground");
  const files = readdirSync(directory, { recursive: true, encoding: "utf8" })
    .map((name) => path.join(directory, name))
    .filter((file) => statSync(file).isFile());
  const sizes = [...files, ...Object.values(vendoredFiles)].map(
    (file) => gzipSync(readFileSync(file)).length,
  );
  expect(sizes.reduce((sum, size) => sum + size, 0)).toBeLessThan(400_000);
});

it("the page opens within a second, under a strict content security policy", async () => {
  const answer = await fetch(site.url);
  const policy = answer.headers.get("content-security-policy") ?? "";
  expect(policy).toContain("default-src 'none'");
  expect(policy).not.toMatch(/unsafe|https?:|\*/);
  expect(await answer.text()).not.toMatch(/<style|style=|<script>|\son\w+=/);

  const page = await openPage(site.browser, site.url);
  await page.getByRole("heading", { name: "Who speaks, token by token" }).waitFor();
  // The best of three: other tests load the machine.
  const paints: number[] = [];
  for (let load = 0; load < 3; load++) {
    await page.reload();
    await page.getByRole("heading", { name: "Who speaks, token by token" }).waitFor();
    paints.push(
      await page.evaluate<number>("performance.getEntriesByName('first-contentful-paint')[0].startTime"),
    );
  }
  expect(Math.min(...paints)).toBeLessThan(1000);
});

it("where keys are set the page asks for one, and keeps it for this session only", async () => {
  const key = "a-key-of-the-tests-0";
  const guarded = await serve(site.engine, { access: { keys: [{ name: "tester", sha256: hashOf(key) }] } });
  try {
    const page = await openPage(site.browser, guarded.url, { expectedErrors: /401/ });
    await page.getByLabel("Key", { exact: true }).fill("not-the-key-of-the-tests");
    await page.getByRole("button", { name: "Continue" }).click();
    await page.getByText("The server refused this key.").waitFor();
    await page.getByLabel("Key", { exact: true }).fill(key);
    await page.getByRole("button", { name: "Continue" }).click();
    await ask(page, question);
    expect(await page.locator(".token").count()).toBeGreaterThan(2);
    expect(await page.evaluate("JSON.stringify(localStorage) + document.cookie")).toBe("{}");
    expect(await page.evaluate("Object.values(sessionStorage)")).toEqual([key]);
  } finally {
    await guarded.server.close();
  }
});

it.each(["light", "dark"] as const)("axe-core finds nothing serious in any view, %s", async (colorScheme) => {
  const page = await openPage(site.browser, site.url, { colorScheme });
  const theme = await page.evaluate("document.documentElement.dataset.theme");
  expect(theme).toBe(colorScheme);
  await page.getByLabel("Model").selectOption("both");
  await page.getByLabel("Most tokens").fill("12");
  expect(await axeFindings(page)).toEqual([]);
  await ask(page, question);
  await page.locator(".token").nth(1).click();
  await page.locator(".what-if select").selectOption("static");
  expect(await axeFindings(page)).toEqual([]);
  const href = await page.getByRole("link", { name: "Open trace" }).getAttribute("href");
  for (const view of ["#/compare", "#/traces", href, "#/operations"]) {
    await page.goto(`${site.url}/${view}`);
    await page.locator("h1").waitFor();
    await page.waitForTimeout(300);
    expect(await axeFindings(page)).toEqual([]);
  }
});

it("the theme can be chosen, and stays", async () => {
  const page = await openPage(site.browser, site.url);
  await page.getByRole("button", { name: "Switch between light and dark" }).click();
  await page.reload();
  expect(await page.evaluate("document.documentElement.dataset.theme")).toBe("dark");
});

it("at 360 pixels nothing runs out of the page, and chat and inspector work", async () => {
  const page = await openPage(site.browser, site.url, { width: 360 });
  const overflow = () => page.evaluate("document.documentElement.scrollWidth - innerWidth");
  await ask(page, question);
  expect(await overflow()).toBe(0);
  await page.locator(".token").first().click();
  await page.getByText("Token 1 of").waitFor();
  expect(await overflow()).toBe(0);
  await page.getByRole("button", { name: "Close the inspector" }).click();
  for (const view of ["compare", "traces", "operations"]) {
    await page.goto(`${site.url}/#/${view}`);
    await page.locator("h1").waitFor();
    await page.waitForTimeout(200);
    expect(await overflow()).toBe(0);
  }
});

it("operations shows the models and counts what runs", async () => {
  const page = await openPage(site.browser, `${site.url}/#/operations`);
  await page.getByRole("cell", { name: "dwarf-trivia" }).waitFor();
  const tile = (name: string) => page.locator(`[data-tile="${name}"] b`).textContent();
  expect(await tile("Engine restarts")).toMatch(/^\d+$/);
  // The models alone are 6 MB.
  for (const name of ["Engine memory", "Server memory"])
    expect(Number.parseInt((await tile(name)) ?? "")).toBeGreaterThan(6);
  for (const name of ["Decode", "Solve", "First token"]) expect(await tile(name)).toMatch(/^[\d.]+ ms$/);
  expect(Number.parseInt((await tile("Tokens")) ?? "")).toBeGreaterThan(0);
});

it("an engine that dies during a chat is told of, and the next answer comes", async () => {
  const page = await openPage(site.browser, site.url, { expectedErrors: /503/ });
  await page.getByLabel("Model").selectOption("giant");
  await page.locator("#message").fill(question);
  await page.locator("#message").press("Enter");
  await page.locator(".token").nth(3).waitFor();
  process.kill(site.engine.description?.pid ?? 0, "SIGKILL");
  await page.getByRole("alert").waitFor();
  expect(await page.getByRole("alert").textContent()).toMatch(/engine/i);
  await page.locator("#health[data-state=ready]").waitFor();
  await expect.poll(() => site.engine.description !== null, { timeout: 20_000 }).toBe(true);
  await page.getByLabel("Most tokens").fill("5");
  await page.getByRole("button", { name: "Try again" }).click();
  await answered(page, "2 of 2");
  expect(await page.locator(".token").count()).toBe(5);
});
