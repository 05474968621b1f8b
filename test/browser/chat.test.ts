import type { Page } from "playwright-core";
import { expect, it } from "vitest";
import type { GenerationEvent } from "../../src/protocol/protocol.js";
import type { TokenRecord } from "../../src/wire/token-record.js";
import { accepted, answering, deltaOf, doneAfter, tokenOf } from "../support/fake-engine.js";
import { startTestServer } from "../support/server.js";
import { answered, ask, lastTrace, numbersOf, openPage, question, usePlayground } from "./support.js";

const site = usePlayground();

it("a chat streams; tokens, marks and shares are those of the trace", async () => {
  const page = await openPage(site.browser, site.url);
  const frames: string[] = [];
  page.on("websocket", (socket) =>
    socket.on("framereceived", ({ payload }) => {
      frames.push((JSON.parse(String(payload)) as { type: string }).type);
    }),
  );
  await page.getByRole("button", { name: `Try ${question}` }).click();
  await page.getByRole("button", { name: "Retry" }).waitFor();
  expect(frames.filter((type) => type === "response.output_text.delta").length).toBeGreaterThan(1);

  const { tokens } = await lastTrace(page, site.url);
  expect(await page.locator(".token").allTextContents()).toEqual(tokens.map(({ token }) => token.text));
  const seen = await page
    .locator(".token")
    .evaluateAll((spans: { className: string }[]) =>
      spans.map(({ className }) => [className.includes("expert-0"), className.includes("flipped")]),
    );
  // The one expert's weight or its plausible set moved it.
  expect(seen).toEqual(tokens.map(({ nats, flipped }) => [nats! > -Math.log(0.995), flipped]));
  const background = await page
    .locator(".token.moved")
    .first()
    .evaluate((span) => (globalThis as unknown as Styles).getComputedStyle(span).backgroundColor);
  expect(background).not.toBe("rgba(0, 0, 0, 0)");

  const nats = tokens.reduce((sum, record) => sum + record.nats!, 0);
  const [told] = await numbersOf(page, ".legend [data-nats]", "data-nats");
  expect(told).toBeCloseTo(nats, 5);
  expect(await page.locator(".legend").textContent()).toContain(`${nats.toFixed(2)} nats`);
  const decided = tokens.filter(({ decided_by }) => decided_by === "plausible_set").length;
  const sets = page.locator(".legend [data-decided=plausible_set]");
  expect(await sets.allTextContents()).toEqual(decided > 0 ? [`${decided} by the plausible set`] : []);
});

it("a bar under the answer shows where the base ran", async () => {
  const scripted = await startTestServer();
  const settled: Partial<TokenRecord> = { certain: true };
  const wrong: Partial<TokenRecord> = { drafted: true };
  const records = [{}, {}, settled, settled, settled, wrong, { ...wrong, accepted: true as const }];
  scripted.engine.script = () => [
    accepted,
    ...records.map((record, index): GenerationEvent => {
      const text = String(index);
      return { type: "delta", text, tokens: [tokenOf(text, index, record)] };
    }),
    { ...done(records.length), tokens: [] },
  ];
  const page = await openPage(site.browser, scripted.url);
  await ask(page, question);
  const pieces = await page
    .locator(".base-bar i")
    .evaluateAll((all: { className: string; offsetWidth: number }[]) =>
      all.map(({ className, offsetWidth }) => [className, offsetWidth] as const),
    );
  expect(pieces.map(([kind]) => kind)).toEqual(["asked", "settled", "asked", "guessed"]);
  const [two, three, one] = pieces.map(([, width]) => width) as [number, number, number];
  expect(Math.abs(two - 2 * one)).toBeLessThanOrEqual(2);
  expect(Math.abs(three - 3 * one)).toBeLessThanOrEqual(2);
  const words = await page.locator(".base-strip p").textContent();
  expect(words).toBe("The base was asked about 4 of 7 tokens in 8 passes; 1 guessed right.");
});

const done = (numTokens: number) => doneAfter(numTokens) as Extract<GenerationEvent, { type: "done" }>;

it("copying an answer gives its text and nothing else", async () => {
  const scripted = await startTestServer();
  const texts = ["One", ".\n\n", "Two", "\n", " three"];
  scripted.engine.script = () => [
    accepted,
    ...texts.map((text, index) => deltaOf(text, index)),
    { ...done(texts.length), tokens: [tokenOf("", texts.length)] },
  ];
  const page = await openPage(site.browser, scripted.url);
  await ask(page, question);
  await page.locator(".token.end").waitFor();
  const copied = await page.locator(".tokens").evaluate((strip) => {
    const { getSelection } = globalThis as unknown as { getSelection: () => PageSelection };
    getSelection().selectAllChildren(strip);
    return getSelection().toString();
  });
  expect(copied).toBe(texts.join(""));
});

interface PageSelection {
  selectAllChildren(element: unknown): void;
  toString(): string;
}

it(
  "4,000 tokens are drawn in linear time, and a whole record is fetched only for who looks inside",
  { timeout: 180_000 },
  async () => {
    const scripted = await startTestServer();
    const page = await openPage(site.browser, scripted.url);
    page.setDefaultTimeout(60_000);
    const asked: string[] = [];
    page.on("request", (request) => asked.push(request.url()));
    const drawnMs = async (count: number) => {
      scripted.engine.script = () =>
        answering(...Array.from({ length: count }, (_, index) => `word${index} `));
      const startMs = performance.now();
      await ask(page, question);
      await page.locator(".turn").last().locator(".token").nth(count).waitFor();
      return performance.now() - startMs;
    };
    await drawnMs(100);
    const [short, long] = [await drawnMs(1000), await drawnMs(4000)];
    expect(long).toBeLessThan(3 * 4 * short);
    const records = () => asked.filter((url) => url.includes("/traces/"));
    expect(records()).toEqual([]);
    await page.locator(".turn").last().locator(".token").nth(2).click();
    await expect.poll(() => records().length).toBe(1);
    expect(records()[0]).toMatch(/\?offset=2&limit=1$/);
  },
);

interface Styles {
  getComputedStyle(element: unknown): { backgroundColor: string };
}

it("the inspector shows the numbers of the trace, token by token, by keyboard", async () => {
  const page = await openPage(site.browser, site.url);
  await page.getByLabel("Model").selectOption("both");
  await page.getByLabel("Most tokens").fill("6");
  await ask(page, question);
  const { tokens } = await lastTrace(page, site.url);

  await page.locator(".token").first().focus();
  await page.keyboard.press("Enter");
  for (const [index, record] of tokens.entries()) {
    if (index > 0) await page.keyboard.press("ArrowRight");
    await page.getByText(`Token ${index + 1} of ${tokens.length}`).waitFor();
    await expectInspected(page, record);
  }
  await page.keyboard.press("Escape");
  await page.locator(".inspector").waitFor({ state: "hidden" });
});

async function expectInspected(page: Page, record: TokenRecord): Promise<void> {
  const { weights, divergence, top, curves, timing, logprob } = record;
  const rows = [divergence, ...Object.values(divergence.targets)];
  expect(await numbersOf(page, "[data-field=weight]")).toEqual(Object.values(weights));
  expect(await numbersOf(page, "[data-field=forward]")).toEqual(rows.map(({ forward }) => forward));
  expect(await numbersOf(page, "[data-field=reverse]")).toEqual(rows.map(({ reverse }) => reverse));
  expect(await numbersOf(page, "[data-field=logprob]")).toEqual([logprob]);
  await page.locator(".top-column").first().waitFor();
  const columns = [top!.base, top!.fused, top!.reference, ...Object.values(top!.experts)];
  expect(await numbersOf(page, ".top-column li", "data-logprob")).toEqual(
    columns.flat().map((candidate) => candidate.logprob),
  );
  expect(await page.locator("[data-curve] [role=img]").count()).toBe(2 * Object.keys(curves!).length);
  expect(await page.locator(".bar-row.time").count()).toBe(Object.keys(timing!.decode_ms).length + 2);
  expect(await page.locator(".inspector .badge").count()).toBe(record.flipped ? 1 : 0);
}

it("stop ends an answer, retry brings another, edit asks anew", async () => {
  const page = await openPage(site.browser, site.url);
  await page.getByLabel("Model").selectOption("giant");
  await page.locator("#message").fill(question);
  // Within the page: on a busy machine the answer would be whole before a click came from here.
  const stopped = page.evaluate(`new Promise((resolve) => {
    const observer = new MutationObserver(() => {
      if (document.querySelectorAll(".token").length <= 5) return;
      observer.disconnect();
      document.querySelector("button.stop").click();
      resolve();
    });
    observer.observe(document.body, { childList: true, subtree: true });
  })`);
  await page.locator("#message").press("Enter");
  await stopped;
  await page.getByText("Stopped.").waitFor();
  expect(await page.locator(".token").count()).toBeLessThan(480);

  await page.getByLabel("Most tokens").fill("5");
  await page.getByRole("button", { name: "Retry" }).click();
  await answered(page, "2 of 2");
  expect(await page.locator(".token").count()).toBe(5);
  await page.getByRole("button", { name: "Answer before" }).click();
  await page.getByText("Stopped.").waitFor();

  await page.getByRole("button", { name: "Edit the message" }).click();
  await page.locator(".edit textarea").fill("Where was Venur Gevol born?");
  await page.getByRole("button", { name: "Send again" }).click();
  await page.getByRole("button", { name: "Retry" }).waitFor();
  expect(await page.locator(".bubble").allTextContents()).toEqual(["Where was Venur Gevol born?"]);
});

it("sampling settings and the system prompt reach the server", async () => {
  const page = await openPage(site.browser, site.url);
  const sent: string[] = [];
  page.on("websocket", (socket) => socket.on("framesent", ({ payload }) => sent.push(String(payload))));
  await page.getByLabel("System prompt").fill("Be brief.");
  await page.getByLabel("Temperature").fill("0.5");
  await page.getByLabel("Seed").fill("7");
  await page.getByLabel("Record top tens").uncheck();
  await ask(page, question);
  expect(JSON.parse(sent[0] ?? "")).toMatchObject({
    type: "response.create",
    response: {
      model: "trivia",
      messages: [
        { role: "system", content: "Be brief." },
        { role: "user", content: question },
      ],
      temperature: 0.5,
      seed: 7,
      fusion: { trace: "weights", keep_trace: "weights" },
    },
  });
  await page.locator(".token").first().click();
  await page.getByText("Not recorded").waitFor();
});

it("the timeline stays zoomed in while an answer grows", async () => {
  const held: (() => void)[] = [];
  const page = await openPage(site.browser, site.url, {
    prepare: (opened) =>
      opened.routeWebSocket(/stream/, (socket) => {
        socket.connectToServer().onMessage((message) => {
          const isHeld = held.length > 0 || String(message).includes('"position":40,');
          if (isHeld) held.push(() => socket.send(message));
          else socket.send(message);
        });
      }),
  });
  await page.getByLabel("Model").selectOption("giant");
  await page.getByLabel("Most tokens").fill("60");
  await page.locator("#message").fill(question);
  await page.locator("#message").press("Enter");
  await page.locator(".token").nth(15).click();
  await expect.poll(() => held.length).toBeGreaterThan(0);
  const chart = page.locator("[data-chart=divergences] [role=img]");
  // In one go: the chart may be drawn anew meanwhile.
  await chart.evaluate((element: { scrollIntoView(): void }) => element.scrollIntoView());
  const { x, y, width, height } = (await page
    .locator("[data-chart=divergences] [role=img] > svg")
    .boundingBox())!;
  await page.mouse.move(x + width * 0.25, y + height / 2);
  await page.mouse.down();
  await page.mouse.move(x + width * 0.75, y + height / 2, { steps: 4 });
  await page.mouse.up();
  await expect.poll(() => chart.getAttribute("aria-label")).not.toMatch(/token 1 to/);
  const zoomed = await chart.getAttribute("aria-label");
  for (const release of held.splice(0)) release();
  await expect.poll(() => page.locator(".inspector-head").textContent()).toContain("of 60");
  expect(await chart.getAttribute("aria-label")).toBe(zoomed);
  await page.mouse.dblclick(x + width / 2, y + height / 2);
  await expect.poll(() => chart.getAttribute("aria-label")).toMatch(/token 1 to 60$/);
});

it("characters that are split over tokens are whole, in the chat and on the page of a trace", async () => {
  const parts = [...new TextEncoder().encode("日")].map((byte, index) =>
    tokenOf(Uint8Array.of(byte), index, { token: { id: 300 + index, text: "\ufffd", bytes: [byte] } }),
  );
  const scripted = await startTestServer();
  scripted.engine.script = () => [
    accepted,
    { type: "delta", text: "日", tokens: parts },
    deltaOf(" Ort", parts.length),
    doneAfter(parts.length + 1, "length"),
  ];
  const page = await openPage(site.browser, scripted.url);
  const shown = () => page.locator(".token").allTextContents();
  await ask(page, question);
  expect(await shown()).toEqual(["", "", "日", " Ort"]);
  await page.getByRole("link", { name: "Open trace" }).click();
  await page.getByText("Token 1 of 4").waitFor();
  expect(await shown()).toEqual(["", "", "日", " Ort"]);
});

it("every answer has thumbs and a slider, and what was said last counts", async () => {
  const server = await startTestServer();
  const page = await openPage(site.browser, server.url);
  await ask(page, question);
  const bar = page.getByRole("group", { name: "Rate this answer" });
  const up = bar.getByRole("button", { name: "Good answer" });
  await up.click();
  await bar.getByText("Rated 10 of 10").waitFor();
  expect(await up.getAttribute("aria-pressed")).toBe("true");
  const kept = async () => {
    const list = await (await fetch(`${server.url}/v1/fusion/feedback`)).json();
    return (list as { data: { score: number }[] }).data.map(({ score }) => score);
  };
  expect(await kept()).toEqual([1]);
  await bar.getByRole("slider", { name: "Score from 0 to 10" }).fill("3");
  await bar.getByText("Rated 3 of 10").waitFor();
  expect(await up.getAttribute("aria-pressed")).toBe("false");
  expect(await kept()).toEqual([0.3]);
  await bar.getByRole("button", { name: "Take back" }).click();
  await bar.getByText("Not rated").waitFor();
  expect(await kept()).toEqual([]);

  await page.getByRole("button", { name: "Retry" }).click();
  await answered(page, "2 of 2");
  await bar.getByRole("button", { name: "Bad answer" }).click();
  await bar.getByText("Rated 0 of 10").waitFor();
  expect(await kept()).toEqual([0]);
});

it("the heat map colours tokens by what they add to a rating, and says by what", async () => {
  const server = await startTestServer();
  const page = await openPage(site.browser, server.url);
  await ask(page, question);
  const toggle = page.getByRole("button", { name: "Heat map" });
  await toggle.click();
  await page.getByText(/Probable rating .* of 10 \(likelihood: .*; 0 ratings\)/).waitFor();
  const strip = page.locator(".tokens.credited");
  const said = await strip
    .locator(".token")
    .evaluateAll((spans: { title: string }[]) => spans.map(({ title }) => title));
  expect(said).toEqual(["adds -0.250", "adds -0.250", "adds -0.250"]);
  await toggle.click();
  expect(await strip.count()).toBe(0);
});
