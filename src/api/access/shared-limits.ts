import { randomUUID } from "node:crypto";
import type { Journal } from "../../store/journal.js";
import type { KeyUse, RequestLimiter } from "./request-limiter.js";

const topic = "requests";

/** How often other servers are told, ms. */
const tellEveryMs = 1000;

type Told = KeyUse & { server: string };

/** Lets servers with one database share the limits of keys. @returns what ends it */
export function shareLimits(limiter: RequestLimiter, journal: Journal): () => void {
  if (!limiter.isOn || !journal.isShared) return () => undefined;
  const server = randomUUID();
  journal.onNews(topic, (body) => {
    if (body === null) return;
    const { server: other, ...use } = body as Told;
    limiter.hear(other, use);
  });
  const tells = setInterval(() => {
    const news = limiter.takeUses().map((use) => ({ topic, body: { ...use, server } satisfies Told }));
    // Without the database each server has limits of its own; the journal has said so.
    if (news.length > 0) journal.write([], ...news).catch(() => undefined);
  }, tellEveryMs);
  return () => clearInterval(tells);
}
