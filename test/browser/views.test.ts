import { readFileSync } from "node:fs";
import { expect, it } from "vitest";
import { paperStrategy } from "../../src/strategies/registry.js";
import { FakeEngine } from "../support/fake-engine.js";
import { startTestServer } from "../support/server.js";
import { ask, lastTrace, openPage, question, usePlayground } from "./support.js";

const site = usePlayground();

it("compare runs several configs at once and marks where they part", async () => {
  const page = await openPage(site.browser, `${site.url}/#/compare`);
  await page.getByLabel("Most tokens").waitFor({ state: "attached" });
  await page.getByRole("button", { name: "Compare" }).click();
  await page.getByText("All answers are there.").waitFor({ state: "attached" });
  const columns = page.locator(".column");
  await columns.nth(1).getByRole("button", { name: "Good answer" }).click();
  await columns.nth(1).getByText("Rated 10 of 10").waitFor();
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

it("policies show what ratings say, and are pinned, let go and forgotten", async () => {
  const engine = new FakeEngine();
  const { description } = engine;
  const arms = { giant: { type: "base" as const }, paper: paperStrategy };
  const policies = { arms, choose: "tsallis-inf" as const, explore: 0.02, halfLife: null };
  engine.description = {
    ...description!,
    configs: description!.configs.map((config) => ({ ...config, policies })),
  };
  const server = await startTestServer({ engine });
  const model = description!.configs[0]!.id;
  for (let index = 0; index < 12; index++) {
    const messages = [{ role: "user", content: `question ${index}` }];
    const answer = (await (await server.post("/v1/chat/completions", { model, messages })).json()) as {
      id: string;
      choices: { fusion: { policy: { id: string } } }[];
    };
    const score = Number(answer.choices[0]!.fusion.policy.id === "paper");
    await server.post("/v1/fusion/feedback", { trace: answer.id, score });
  }
  const page = await openPage(site.browser, `${server.url}/#/policies`);
  const part = page.getByRole("region", { name: `Policies of ${model}` });
  await part.getByText("12 ratings weigh").waitFor();
  expect(await part.locator(".history-column").count()).toBe(13);
  await part.getByRole("button", { name: "Pin giant" }).click();
  await part.getByText("giant is pinned").waitFor();
  await part.getByRole("button", { name: "Unpin giant" }).click();
  await part.getByRole("button", { name: "Pin giant" }).waitFor();
  await part.getByRole("button", { name: "Forget ratings" }).click();
  await part.getByText("0 ratings weigh").waitFor();
});
