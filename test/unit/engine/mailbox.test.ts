import { describe, expect, it } from "vitest";
import { Mailbox } from "../../../src/engine/mailbox.js";
import { ShouldersError } from "../../../src/errors.js";

const full: boolean[] = [];
const create = () => new Mailbox<number>({ pauseAt: 3, resumeAt: 1, onFull: (isFull) => full.push(isFull) });

async function read(mailbox: Mailbox<number>): Promise<number[]> {
  const events = [];
  for await (const event of mailbox) events.push(event);
  return events;
}

describe("Mailbox", () => {
  it("keeps the order, before and after the reader waits", async () => {
    const mailbox = create();
    mailbox.push(1);
    const reading = read(mailbox);
    await Promise.resolve();
    mailbox.push(2);
    mailbox.push(3);
    mailbox.close();
    expect(await reading).toEqual([1, 2, 3]);
  });

  it("gives what came before a failure, then throws it", async () => {
    const mailbox = create();
    mailbox.push(1);
    mailbox.fail(new ShouldersError("engine_died", "gone"));
    const seen: number[] = [];
    await expect(async () => {
      for await (const event of mailbox) seen.push(event);
    }).rejects.toMatchObject({ code: "engine_died" });
    expect(seen).toEqual([1]);
  });

  it("tells once when too much is unread, and once when that is over", async () => {
    full.length = 0;
    const mailbox = create();
    for (const event of [1, 2, 3]) mailbox.push(event);
    expect(full).toEqual([]);
    for (const event of [4, 5]) mailbox.push(event);
    expect(full).toEqual([true]);
    const events = mailbox[Symbol.asyncIterator]();
    for (const left of [4, 3, 2]) {
      await events.next();
      expect(full, `${left} unread`).toEqual([true]);
    }
    await events.next();
    expect(full).toEqual([true, false]);
  });

  it("ends once: a failure after the end changes nothing", async () => {
    const mailbox = create();
    mailbox.close();
    mailbox.fail(new ShouldersError("engine_died", "gone"));
    expect(await read(mailbox)).toEqual([]);
  });
});
