import { describe, expect, it } from "vitest";
import { findStop, heldLength } from "../../../src/engine/stop.js";

describe("findStop", () => {
  it("takes the earliest occurrence of any stop string", () => {
    expect(findStop("one\ntwo###", ["###", "\n"])).toEqual({ index: 3, stop: "\n" });
  });

  it("takes the longer of two that begin at the same place", () => {
    expect(findStop("a##b", ["#", "##"])).toEqual({ index: 1, stop: "##" });
  });

  it("finds nothing where there is nothing", () => {
    expect(findStop("abc", ["d"])).toBeNull();
    expect(findStop("abc", [])).toBeNull();
  });
});

describe("heldLength", () => {
  it.each([
    ["abc", ["cde"], 1],
    ["abcd", ["cde"], 2],
    ["aaa", ["aab"], 2],
    ["abc", ["x", "bcd", "c!"], 2],
    ["abc", [], 0],
    ["", ["a"], 0],
  ])("of %j before %j is %i", (text, stops, expected) => {
    expect(heldLength(text, stops)).toBe(expected);
  });
});
