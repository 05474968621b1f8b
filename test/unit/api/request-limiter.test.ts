import { expect, it } from "vitest";
import { RequestLimiter } from "../../../src/api/access/request-limiter.js";

/** Servers with one clock; each call of `tell` is a second in which all have told each other. */
function servers(count: number, limits: { requestsPerMinute?: number; concurrentRequests?: number }) {
  let now = 0;
  const all = Array.from(
    { length: count },
    () => new RequestLimiter({ requestsPerMinute: 0, concurrentRequests: 0, ...limits }, () => now),
  );
  const tell = (from = all) => {
    for (const one of from)
      for (const use of one.takeUses())
        for (const other of all) if (other !== one) other.hear(String(all.indexOf(one)), use);
  };
  return { all, tell, pass: (ms: number) => (now += ms) };
}

const limited = expect.objectContaining({ code: "rate_limited" }) as unknown;

/** How many requests a server takes of 100. */
function numTaken(limiter: RequestLimiter, owner = "ann"): number {
  let taken = 0;
  for (let index = 0; index < 100; index++)
    try {
      limiter.enter(owner);
      taken++;
    } catch (error) {
      expect(error).toEqual(limited);
    }
  return taken;
}

it("servers that tell each other have one rate together, for each key its own", () => {
  const { all, tell, pass } = servers(3, { requestsPerMinute: 60 });
  const [one, two, three] = all as [RequestLimiter, RequestLimiter, RequestLimiter];
  for (let index = 0; index < 40; index++) one.enter("ann");
  tell();
  expect(numTaken(two)).toBe(20);
  tell();
  expect([one, two, three].map((limiter) => numTaken(limiter))).toEqual([0, 0, 0]);
  expect(numTaken(three, "bob")).toBe(60);
  pass(10_000);
  expect(numTaken(one)).toBe(10);
});

it("what all admit before they have told each other is paid back later, but no more than a minute's worth", () => {
  const { all, tell, pass } = servers(4, { requestsPerMinute: 60 });
  for (const limiter of all) expect(numTaken(limiter)).toBe(60);
  tell();
  pass(59_000);
  expect(all.map((limiter) => numTaken(limiter))).toEqual([0, 0, 0, 0]);
  pass(3_000);
  expect(numTaken(all[0]!)).toBe(2);
});

it("requests that run elsewhere count, until they end or their server has been silent", () => {
  const { all, tell, pass } = servers(2, { concurrentRequests: 2 });
  const [one, two] = all as [RequestLimiter, RequestLimiter];
  const ends = [one.enter("ann"), one.enter("ann")];
  tell();
  expect(() => two.enter("ann")).toThrow(limited);
  ends[0]!();
  tell();
  two.enter("ann")();
  pass(4000);
  // What runs on is told again.
  tell();
  pass(4000);
  ends[1]!();
  one.enter("ann");
  expect(numTaken(two)).toBe(1);
  pass(2000);
  expect(numTaken(two)).toBe(1);
});

it("tells nothing of a key that does nothing", () => {
  const limiter = new RequestLimiter({ requestsPerMinute: 5, concurrentRequests: 5 });
  expect(limiter.takeUses()).toEqual([]);
  limiter.enter("ann")();
  expect(limiter.takeUses()).toEqual([{ owner: "ann", numBegun: 1, numRunning: 0 }]);
  expect(limiter.takeUses()).toEqual([]);
});
