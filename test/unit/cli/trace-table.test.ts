import { describe, expect, it } from "vitest";
import { plainStyle, styleFor } from "../../../src/cli/style.js";
import { renderTrace } from "../../../src/cli/trace-table.js";
import type { TokenRecord } from "../../../src/wire/token-record.js";

function record(changes: Partial<TokenRecord>): TokenRecord {
  return {
    position: 12,
    token: { id: 1, text: " Paris" },
    logprob: Math.log(0.5),
    nats: 1.2,
    log_ratio: 1.5,
    decided_by: "weight",
    weights: { trivia: 0.83, sums: 0 },
    chosen: "trivia",
    divergence: { forward: 0, reverse: 0, targets: {} },
    objective: 0,
    evaluations: 5,
    base_token: { id: 2, text: " The", logprob: -1.9 },
    flipped: true,
    ran: ["base", "trivia"],
    vouch: "expert",
    ...changes,
  };
}

describe("renderTrace", () => {
  it("shows token, probability, the base's own choice, what decided, how far it was moved, and the weights", () => {
    const same = record({
      position: 13,
      token: { id: 3, text: "\n" },
      flipped: false,
      decided_by: "plausible_set",
      nats: null,
      weights: {},
      chosen: null,
    });
    const text = renderTrace([record({}), same], ["trivia", "sums"], plainStyle);
    expect(text.split("\n").map((line) => line.trimEnd())).toEqual([
      "position  token         p  base alone  by             nats  trivia           sums",
      "────────  ────────  ─────  ──────────  ─────────────  ────  ──────  ───────  ────",
      '      12  " Paris"  0.500  " The"      weight         1.20    0.83  ███████  0.00',
      '      13  "\\n"      0.500  same        plausible set          0.00           0.00',
      "",
    ]);
  });

  it("has no columns of experts for the base alone", () => {
    expect(renderTrace([record({})], [], plainStyle)).not.toContain("trivia");
  });

  it("colours by expert on a terminal only, and not under NO_COLOR", () => {
    const colours = styleFor({ isTTY: true }, {});
    const text = renderTrace([record({})], ["trivia", "sums"], colours);
    expect(text).toContain("\u001b[1m\u001b[32m");
    expect(styleFor({ isTTY: true }, { NO_COLOR: "1" })).toBe(plainStyle);
    expect(styleFor({ isTTY: true }, { TERM: "dumb" })).toBe(plainStyle);
    expect(styleFor({}, {})).toBe(plainStyle);
  });
});
