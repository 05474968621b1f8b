import { expect, it } from "vitest";
import type { GenerationEvent } from "../../src/protocol/protocol.js";
import { accepted, doneAfter, tokenOf } from "../support/fake-engine.js";
import { startTestServer } from "../support/server.js";
import { ask, openPage, question, usePlayground } from "./support.js";

const site = usePlayground();

/** Runs in the page. */
const opacity = (span: { computedStyleMap(): Map<string, { toString(): string }> }) =>
  String(span.computedStyleMap().get("opacity"));

it("contested tokens are marked and filtered, and go on with the one that was not heard, side by side", async () => {
  const scripted = await startTestServer();
  const contested = { by: "sums", token: { id: 9, text: " Oslo", logprob: -0.05 }, against: "trivia" };
  const weights = { trivia: 0.5, sums: 0.4 };
  const said = [{}, { contested, weights }, { vouch: "nobody" as const }];
  scripted.engine.script = () => [
    accepted,
    ...said.map((record, index): GenerationEvent => {
      const text = " abc"[index + 1] ?? "";
      return { type: "delta", text, tokens: [tokenOf(text, index, record)] };
    }),
    doneAfter(3, "length"),
  ];
  const page = await openPage(site.browser, scripted.url);
  await page.getByLabel("Model").selectOption("both");
  await ask(page, question);
  expect(await page.locator(".token.contested").allTextContents()).toEqual(["b"]);
  expect(await page.locator(".token.contested").getAttribute("aria-label")).toMatch(/, contested by sums$/);

  const opacityOf = async (index: number) => {
    const quiet = page.locator(".tokens[data-only] .token").nth(index);
    return (await quiet.count()) === 0 ? "1" : quiet.evaluate(opacity);
  };
  const only = page.getByRole("button", { name: "1 contested" });
  await only.click();
  expect(await only.getAttribute("aria-pressed")).toBe("true");
  expect([await opacityOf(0), await opacityOf(1)]).toEqual(["0.3", "1"]);
  await page.getByRole("button", { name: "1 nobody's own best" }).click();
  expect([await opacityOf(1), await opacityOf(2)]).toEqual(["0.3", "1"]);
  await page.getByRole("button", { name: "1 nobody's own best" }).click();
  expect([await opacityOf(0), await opacityOf(1)]).toEqual(["1", "1"]);

  await page.getByRole("link", { name: "Open trace" }).click();
  await page.locator(".compared .token").nth(1).click();
  const card = page.locator("[data-contested=sums]");
  expect(await card.textContent()).toContain("Alone, sums would have said");
  await card.getByRole("button", { name: "Go on with sums alone" }).click();
  await page.locator(".column").nth(1).locator(".token").nth(2).waitFor();
  expect(await page.locator(".column").nth(1).locator("h2").textContent()).toBe("both, what if");
  expect(scripted.engine.submitted.at(-1)).toMatchObject({
    strategy: { type: "static", weights: { sums: 0.4 } },
  });
});
