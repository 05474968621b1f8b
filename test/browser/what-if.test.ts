import { expect, it } from "vitest";
import type { TokenRecord } from "../../src/wire/token-record.js";
import { answered, ask, lastTrace, openPage, question, usePlayground } from "./support.js";

const site = usePlayground();

it("what if: the kept tokens are weighed anew by other weights, and the rest is drawn", async () => {
  const page = await openPage(site.browser, site.url);
  await ask(page, question);
  const before = await page.locator(".token").allTextContents();
  await page.locator(".token").last().click();
  await page.locator(".what-if select").first().selectOption("base");
  await page.getByLabel("Most tokens").fill("8");
  await page.getByRole("button", { name: "Continue from this token" }).click();
  await answered(page, "2 of 2");
  const after = await page.locator(".token").allTextContents();
  const numKept = before.length - 1;
  expect(after.slice(0, numKept)).toEqual(before.slice(0, numKept));
  expect(after[numKept]).not.toBe(before[numKept]);
  expect(after).toHaveLength(numKept + 8);
  expect(await page.locator(".token.kept").count()).toBe(numKept);
  const { tokens } = await lastTrace(page, site.url);
  expect(tokens.map(({ weights }) => weights)).toEqual(Array(numKept + 8).fill({}));

  await page.getByRole("button", { name: "Answer before" }).click();
  await page.locator(".token").nth(1).click();
  await page.locator(".what-if select").first().selectOption("static");
  await page.locator(".what-if input[type=range]").fill("0.35");
  await page.getByRole("button", { name: "Continue from this token" }).click();
  await answered(page, "3 of 3");
  const fixed = await lastTrace(page, site.url);
  expect(new Set(fixed.tokens.map(({ weights }) => weights["trivia"]))).toEqual(new Set([0.35]));
  const body = {
    model: "trivia",
    messages: [{ role: "user", content: question }],
    completion: fixed.tokens.map(({ token }) => token.id),
    fusion: { weights: { trivia: 0.35 } },
  };
  const explained = await fetch(`${site.url}/v1/fusion/explain`, {
    method: "POST",
    headers: { "content-type": "application/json" },
    body: JSON.stringify(body),
  });
  const { tokens: forced } = (await explained.json()) as { tokens: TokenRecord[] };
  forced.forEach(({ logprob }, index) => expect(fixed.tokens[index]!.logprob).toBeCloseTo(logprob, 2));
});

it("what if: each expert has bounds of its own", async () => {
  const page = await openPage(site.browser, site.url);
  await page.getByLabel("Model").selectOption("both");
  await page.getByLabel("Most tokens").fill("12");
  await ask(page, question);
  const first = await lastTrace(page, site.url);
  expect(first.tokens.some(({ weights }) => weights["trivia"]! > 0.4)).toBe(true);
  await page.locator(".token").nth(8).click();
  await page.locator(".what-if select").first().selectOption("dynamic");
  await page.locator(".what-if").getByLabel("trivia, at most").fill("0.4");
  await page.locator(".what-if").getByLabel("sums, at least").fill("0.5");
  await page.getByRole("button", { name: "Continue from this token" }).click();
  await answered(page, "2 of 2");
  const { tokens } = await lastTrace(page, site.url);
  expect(tokens.length).toBeGreaterThan(8);
  for (const { weights } of tokens) {
    expect(weights["trivia"]).toBeLessThanOrEqual(0.4);
    if (weights["sums"] !== 0) expect(weights["sums"]).toBeGreaterThanOrEqual(0.5);
  }
});

it("what if: from compare, and from a trace whose prompt is said again", async () => {
  const page = await openPage(site.browser, `${site.url}/#/compare`);
  await page.getByRole("button", { name: "Compare" }).click();
  await page.getByText("All answers are there.").waitFor({ state: "attached" });
  await page.locator("[data-config=trivia] .token").last().click();
  await page.locator(".what-if select").first().selectOption("base");
  await page.getByRole("button", { name: "Continue from this token" }).click();
  const [giant, whatIf] = [page.locator(".column").first(), page.locator(".column").nth(3)];
  expect(await whatIf.locator("h2").textContent()).toBe("trivia, what if");
  await whatIf.getByText("Base alone").waitFor();
  // It had said the same up to there.
  const alone = await giant.locator(".token").allTextContents();
  await expect
    .poll(async () => (await whatIf.locator(".token").allTextContents()).slice(0, alone.length))
    .toEqual(alone);

  await page.goto(site.url);
  await ask(page, question);
  const { tokens } = await lastTrace(page, site.url);
  await page.getByRole("link", { name: "Open trace" }).click();
  await page.getByText(`Token 1 of ${tokens.length}`).waitFor();
  await page.reload();
  await page.getByText(`Token 1 of ${tokens.length}`).waitFor();
  await page.locator(".token").last().click();
  const goOn = page.getByRole("button", { name: "Continue from this token" });
  expect(await goOn.isDisabled()).toBe(true);
  await page.getByLabel("Prompt").fill(question);
  await page.locator(".what-if select").first().selectOption("static");
  await goOn.click();
  await page.locator(".column").nth(1).getByText("From token").waitFor();
  const kept = page.locator(".column").nth(1).locator(".token.kept");
  await kept.nth(tokens.length - 2).waitFor();
  expect(await kept.allTextContents()).toEqual(tokens.slice(0, -1).map(({ token }) => token.text));
});
