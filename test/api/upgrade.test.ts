import { request } from "node:http";
import { expect, it } from "vitest";
import { startTestServer } from "../support/server.js";

/** A request with an offer to upgrade, its body in two pieces; resolves with the answer's status and body. */
function offer(url: string, upgrade: string, body: string): Promise<[number | undefined, string]> {
  return new Promise((resolve, reject) => {
    const headers = {
      Connection: "Upgrade, HTTP2-Settings",
      Upgrade: upgrade,
      "HTTP2-Settings": "AAEAAEAAAAIAAAABAAMAAABkAAQBAAAAAAUAAEAA",
      "Content-Type": "application/json",
      "Content-Length": Buffer.byteLength(body),
    };
    const sent = request(url, { method: "POST", headers }, (response) => {
      let text = "";
      response.setEncoding("utf8").on("data", (part: string) => (text += part));
      response.on("end", () => resolve([response.statusCode, text]));
    });
    sent.on("error", reject);
    sent.write(body.slice(0, 10));
    sent.end(body.slice(10));
  });
}

it("an offer to speak HTTP/2 is ignored, whatever the size of the request", async () => {
  const server = await startTestServer();
  for (const size of [1, 1_000_000]) {
    const messages = [{ role: "user", content: "x".repeat(size) }];
    const body = JSON.stringify({ model: "both", messages });
    const [status, text] = await offer(`${server.url}/v1/chat/completions`, "h2c", body);
    expect(status).toBe(200);
    expect(text).toContain("Hello world");
    expect(server.engine.submitted.at(-1)?.prompt).toMatchObject({ type: "chat", messages });
  }
});
