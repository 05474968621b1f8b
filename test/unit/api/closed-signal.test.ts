import { EventEmitter, getEventListeners } from "node:events";
import type { Response } from "express";
import { expect, it } from "vitest";
import { closedSignal } from "../../../src/api/sse-writer.js";

const open = () => Object.assign(new EventEmitter(), { destroyed: false });
const signalOf = (response: EventEmitter, cut: AbortController) =>
  closedSignal(response as unknown as Response, cut.signal);

it("holds nothing of a request whose answer is out", () => {
  const cut = new AbortController();
  for (let index = 0; index < 20; index++) {
    const response = open();
    const signal = signalOf(response, cut);
    expect([signal.aborted, getEventListeners(cut.signal, "abort").length]).toEqual([false, 1]);
    response.emit("close");
    expect([signal.aborted, getEventListeners(cut.signal, "abort").length]).toEqual([true, 0]);
  }
});

it("is aborted at once when the client has left before", () => {
  const cut = new AbortController();
  const signal = signalOf(Object.assign(open(), { destroyed: true }), cut);
  expect([signal.aborted, getEventListeners(cut.signal, "abort").length]).toEqual([true, 0]);
});

it("is aborted with the reason of the cut", () => {
  const cut = new AbortController();
  const signal = signalOf(open(), cut);
  cut.abort(new Error("stopped"));
  expect(signal.reason).toEqual(new Error("stopped"));
});
