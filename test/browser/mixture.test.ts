import { readFileSync } from "node:fs";
import type { Page } from "playwright-core";
import { expect, it } from "vitest";
import { strategySchema } from "../../src/strategies/registry.js";
import type { ConfigDescription, GenerationEvent } from "../../src/protocol/protocol.js";
import type { TokenRecord } from "../../src/wire/token-record.js";
import { accepted, doneAfter, tokenOf } from "../support/fake-engine.js";
import { startTestServer } from "../support/server.js";
import { answered, ask, lastTrace, numbersOf, openPage, question, usePlayground } from "./support.js";

const site = usePlayground();

it("of a mixture, legend, colours, timeline and inspector show the trace's shares", async () => {
  const sharesOf = [
    { base: 0.5, trivia: 0.4, sums: 0.1 },
    { base: 0.25, trivia: 0.75, sums: 0 },
  ];
  const scripted = await startTestServer();
  scripted.engine.script = () => [
    accepted,
    ...sharesOf.map((shares, index): GenerationEvent => {
      const record = { shares, weights: index === 0 ? { trivia: 1, sums: 1 } : { trivia: 1 } };
      return { type: "delta", text: "x", tokens: [tokenOf("x", index, record)] };
    }),
    doneAfter(2, "length"),
  ];
  const page = await openPage(site.browser, scripted.url);
  await ask(page, question);
  expect(await numbersOf(page, ".legend [data-share]", "data-share")).toEqual([0.575, 0.05, 0.375]);
  const intensities = await page
    .locator(".token")
    .evaluateAll((spans: { style: { getPropertyValue(name: string): string } }[]) =>
      spans.map(({ style }) => Number(style.getPropertyValue("--intensity"))),
    );
  expect(intensities).toEqual([0.33, 0.33]);
  await page.locator(".token").nth(1).click();
  expect(await numbersOf(page, "[data-field=share]")).toEqual([0.25, 0.75, 0]);
  await page.getByRole("img", { name: "Share of each model: token 1 to 2" }).waitFor();
  const [csv] = await Promise.all([
    page.waitForEvent("download"),
    page.getByRole("button", { name: "CSV" }).click(),
  ]);
  expect(readFileSync(await csv.path(), "utf8")).toMatch(/shares\.base,shares\.trivia,shares\.sums/);
});

it("a mixture of the real models: prior and budget reach the engine, and the page shows its shares", async () => {
  const page = await openPage(site.browser, site.url);
  const settings = page.locator(".settings");
  const even = 0.333333;
  await page.getByLabel("Model").selectOption("both");
  await page.getByLabel("Most tokens").fill("12");
  await page.getByLabel("Weights").selectOption("mixture");
  await page.getByLabel("Shares at the start").selectOption("uniform");
  await ask(page, question);
  const free = await lastTrace(page, site.url);
  expect(free.tokens[0]!.shares).toEqual({ base: even, trivia: even, sums: even });
  await expectShares(page, free.tokens);

  await settings.getByLabel("Shares at the start").selectOption("only trivia");
  await page.getByRole("button", { name: "Retry" }).click();
  await answered(page, "2 of 2");
  const pinned = await lastTrace(page, site.url);
  for (const { shares } of pinned.tokens) expect(shares).toEqual({ base: 0, trivia: 1, sums: 0 });
  await expectShares(page, pinned.tokens);
  const { nats, tokens: numPinned } = pinned.usage!.fusion;
  const bound = nats / numPinned / 4;
  expect(bound).toBeGreaterThan(0.01);

  await settings.getByLabel("Most nats a token").fill(String(bound));
  await page.getByRole("button", { name: "Retry" }).click();
  await answered(page, "3 of 3");
  const bounded = await lastTrace(page, site.url);
  const { fusion } = bounded.usage!;
  expect(fusion.nats).toBeLessThanOrEqual(bound * fusion.tokens);
  for (const { tokens, usage } of [free, pinned, bounded])
    expect(usage!.fusion).toMatchObject({
      tokens: tokens.length,
      flipped: tokens.filter(({ flipped }) => flipped).length,
    });
});

/** Legend and inspector show what the trace has. Leaves the inspector closed. */
async function expectShares(page: Page, tokens: readonly TokenRecord[]): Promise<void> {
  const shareOf = (id: string) => tokens.reduce((sum, { shares }) => sum + shares![id]!, 0) / tokens.length;
  expect(await numbersOf(page, ".legend [data-share]", "data-share")).toEqual(
    ["trivia", "sums", "base"].map(shareOf),
  );
  await page.locator(".token").first().click();
  for (const [index, { shares }] of tokens.entries()) {
    if (index > 0) await page.keyboard.press("ArrowRight");
    await page.getByText(`Token ${index + 1} of ${tokens.length}`).waitFor();
    expect(await numbersOf(page, "[data-field=share]")).toEqual(Object.values(shares!));
  }
  await page.keyboard.press("Escape");
  await page.locator(".inspector").waitFor({ state: "hidden" });
}

it("begins with a mixture where there is one", async () => {
  const scripted = await startTestServer();
  const { description } = scripted.engine;
  const [both, giant] = description!.configs as [ConfigDescription, ConfigDescription];
  const mixture = strategySchema.parse({ type: "mixture" });
  const configs = [{ ...both, id: "mixed", strategy: mixture }, { ...both, example: question }, giant];
  scripted.engine.description = { ...description!, configs };
  const page = await openPage(site.browser, scripted.url);
  await expect.poll(() => page.getByLabel("Model").inputValue()).toBe("mixed");
});

it("shares and bounds in nats reach the server", async () => {
  const scripted = await startTestServer();
  const page = await openPage(site.browser, scripted.url);
  const sent: string[] = [];
  page.on("websocket", (socket) => socket.on("framesent", ({ payload }) => sent.push(String(payload))));
  await page.getByLabel("Weights").selectOption("mixture");
  await page.getByLabel("Shares at the start").selectOption("only sums");
  await page.getByLabel("Most nats a token").fill("0.5");
  await ask(page, question);
  await page.getByLabel("Shares at the start").selectOption("uniform");
  await ask(page, question);
  const fusionOf = (frame: string) => (JSON.parse(frame) as { response: { fusion: object } }).response.fusion;
  expect(sent.map(fusionOf)).toEqual([
    {
      strategy: strategySchema.parse({ type: "mixture" }),
      // The card has this expert's weight solved; the other's is fixed.
      bounds: { sums: [0, 2] },
      prior: { shares: { sums: 1 }, pinned: true },
      budget: { token_nats: 0.5 },
      trace: "weights",
      keep_trace: "full",
    },
    {
      strategy: strategySchema.parse({ type: "mixture" }),
      // The card has this expert's weight solved; the other's is fixed.
      bounds: { sums: [0, 2] },
      prior: { shares: "uniform" },
      budget: { token_nats: 0.5 },
      trace: "weights",
      keep_trace: "full",
    },
  ]);
});
