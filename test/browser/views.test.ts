import { readFileSync } from "node:fs";
import { expect, it } from "vitest";
import { ask, lastTrace, openPage, question, usePlayground } from "./support.js";

const site = usePlayground();

it("compare runs several configs at once and marks where they part", async () => {
  const page = await openPage(site.browser, `${site.url}/#/compare`);
  await page.getByLabel("Most tokens").waitFor({ state: "attached" });
  await page.getByRole("button", { name: "Compare" }).click();
  await page.getByText("All answers are there.").waitFor({ state: "attached" });
  const columns = page.locator(".column");
  expect(
    await columns.evaluateAll((all: { dataset: { config: string } }[]) =>
      all.map((one) => one.dataset.config),
    ),
  ).toEqual(["giant", "trivia-static", "trivia"]);
  const textsOf = (at: number) => columns.nth(at).locator(".token").allTextContents();
  const [giant, dynamic] = [await textsOf(0), await textsOf(2)];
  const parting = dynamic.findIndex((text, at) => text !== giant[at]);
  await expect.poll(() => columns.nth(2).locator(".parting").allTextContents()).toEqual([dynamic[parting]]);
  await columns
    .nth(2)
    .getByText(`Parts at token ${parting + 1}`)
    .waitFor();
  await columns.nth(2).locator(".token").first().click();
  await page.getByText(`Token 1 of ${dynamic.length}`).waitFor();
});

it("a trace has a page of its own, from which charts and data are saved", async () => {
  const page = await openPage(site.browser, site.url, { expectedErrors: /404/ });
  await ask(page, question);
  const { id, tokens } = await lastTrace(page, site.url);
  await page.getByRole("link", { name: "Open trace" }).click();
  await page.getByText(`Token 1 of ${tokens.length}`).waitFor();
  expect(page.url()).toContain(`#/trace/${id}`);
  await page.reload();
  await page.getByText(`Token 1 of ${tokens.length}`).waitFor();
  expect(await page.locator(".token").count()).toBe(tokens.length);

  const saved = async (format: string) => {
    const [download] = await Promise.all([
      page.waitForEvent("download"),
      page.getByRole("button", { name: format, exact: true }).click(),
    ]);
    expect(download.suggestedFilename()).toBe(`${id}.${format.toLowerCase()}`);
    return readFileSync(await download.path());
  };
  const svg = (await saved("SVG")).toString();
  expect(svg).toContain("Weight of each expert");
  expect(svg.match(/<polyline/g)?.length).toBe(6);
  expect((await saved("PNG")).subarray(1, 4).toString()).toBe("PNG");
  expect((await saved("CSV")).toString().trim().split("\r\n")).toHaveLength(tokens.length + 1);
  expect(JSON.parse((await saved("JSON")).toString())).toMatchObject({ id });

  await page.goto(`${site.url}/#/trace/none`);
  await page.getByText("No trace has this id").waitFor();
});
