import { expect, it } from "vitest";
import { openPage, usePlayground } from "./support.js";

const site = usePlayground();

it("debate shows arguments, what each member makes of them, and the effect of the order", async () => {
  const page = await openPage(site.browser, `${site.url}/#/debate`);
  await page.getByLabel("Model").selectOption("both");
  await page.getByLabel("Question").fill("What is the home town of Venur Gevol?");
  await page.getByLabel("Document").fill("Venur Gevol lives in Trorar. The sun was out. Some say Gevol.");
  await page.getByLabel("First candidate").fill("Trorar");
  await page.getByLabel("Second candidate").fill("Gevol");
  await page.getByRole("button", { name: "Debate", exact: true }).click();
  await page.getByText("The verdict is there.").waitFor({ state: "attached" });

  for (const [title, first] of [
    ["Transcript 1", "Trorar: "],
    ["Transcript 2", "Gevol: "],
  ] as const) {
    const said = page.getByRole("region", { name: title }).getByRole("listitem");
    expect(await said.count()).toBe(2);
    expect(await said.first().textContent()).toContain(first);
  }
  const verdict = page.getByRole("group", { name: "Verdict" });
  const heads = await verdict.getByRole("columnheader").allTextContents();
  expect(heads).toEqual([
    ...["Candidate", "Mean"],
    ...["expert:trivia without", "expert:trivia with", "expert:sums without", "expert:sums with"],
    "Order effect",
  ]);
  const cells = await verdict.locator("tbody tr").first().locator("td").allTextContents();
  expect(cells[0]).toMatch(/Trorar/);
  for (const cell of cells.slice(1, -1)) expect(cell).toMatch(/^[01]\.\d{3}$/);
  expect(cells.at(-1)).toMatch(/^[+−]\d\.\d{3}$/);
  await verdict.getByText("Nobody has audited").waitFor();

  // What is wrong is said, and nothing hangs.
  await page.getByLabel("What the panel reads").fill("no place");
  await page.getByRole("button", { name: "Debate", exact: true }).click();
  await page.getByRole("alert").getByText("verdict.debate.templates.panel").waitFor();
});
