import type { LocalMember } from "../../../src/config/members.js";
import { readFileSync, writeFileSync } from "node:fs";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import {
  CARD_VERSION,
  type Card,
  cardPathOf,
  cardText,
  loadCard,
  parseCard,
} from "../../../src/routing/card.js";
import { featureOf } from "../../../src/routing/feature.js";
import { fingerprintOf } from "../../../src/routing/fingerprint.js";
import { type CalibratedModels, cardOf } from "../../../src/routing/match-card.js";
import { priorOf, sharesOf, whiten } from "../../../src/routing/prior.js";
import { ShouldersError } from "../../../src/errors.js";
import { type TemporaryDirectory, temporaryDirectory } from "../../support/temporary-directory.js";

const dimension = 2;
const vocabularySize = 40;

let directory: TemporaryDirectory;

beforeEach(() => {
  directory = temporaryDirectory();
  for (const name of ["giant", "dwarf", "maths", "law"]) writeFileSync(directory.file(`${name}.gguf`), name);
});

afterEach(() => directory.remove());

const memberOf = (name: string, role: LocalMember["role"]): LocalMember => {
  const path = directory.file(`${name}.gguf`);
  const source = { model: path, gpuLayers: "auto" as const };
  return { role, id: role === "expert" ? name : role, path, source, adapter: null, adapterPath: null };
};
const models = (experts = ["maths", "law"]): CalibratedModels => ({
  config: { id: "tutor", experts: experts.map((id) => ({ id })) as never },
  members: {
    base: memberOf("giant", "base"),
    reference: memberOf("dwarf", "reference"),
    experts: experts.map((id) => memberOf(id, "expert")),
  },
});

function makeCard(): Card {
  const expert = (id: string) => ({
    id,
    model: fingerprintOf(directory.file(`${id}.gguf`)),
    numPrompts: 8,
    numAnswers: 0,
    component: { kind: "fused" as const, weight: "solved" as const, plausibility: null },
    trials: [],
  });
  return {
    version: CARD_VERSION,
    config: "tutor",
    date: "2026-01-02T03:04:05.000Z",
    base: fingerprintOf(directory.file("giant.gguf")),
    reference: fingerprintOf(directory.file("dwarf.gguf")),
    experts: [expert("maths"), expert("law")],
    vocabularySize,
    feature: { seed: 7, dimension, numRows: 16 },
    figures: { accuracy: 1, logLoss: 0.1, confusion: [], leftOut: null },
    prior: {
      whitening: Float32Array.of(1, 0, 1),
      classes: [
        { expert: "maths", mean: Float32Array.of(3, 0.1) },
        { expert: "law", mean: Float32Array.of(-3, 0.1) },
      ],
      temperature: 1,
      none: { distance: 4, slope: 2, prompts: [], shares: { base: 1 } },
      floor: 0.03,
    },
  };
}

const cardFile = () => cardPathOf(directory.file("any.json"), "tutor");

function refusal(run: () => unknown): string {
  try {
    run();
  } catch (error) {
    expect(error).toMatchObject({ code: "calibration_invalid" });
    const { message } = error as ShouldersError;
    expect(message).toContain(cardFile());
    expect(message).toContain("Run `shoulders calibrate` again, or delete this card");
    return message;
  }
  return "accepted";
}

describe("a card", () => {
  it("is read as it was written", () => {
    const card = makeCard();
    writeFileSync(cardFile(), cardText(card));
    expect(loadCard(directory.file("any.json"), "tutor")).toEqual(card);
    expect(cardText(parseCard(readFileSync(cardFile(), "utf8"), "F"))).toBe(cardText(card));
  });

  it("need not be there", () => {
    expect(loadCard(directory.file("any.json"), "tutor")).toBeNull();
    expect(cardOf(directory.file("any.json"), models())).toBeNull();
  });

  it("comes in the order of the config's experts", () => {
    writeFileSync(cardFile(), cardText(makeCard()));
    const ids = (order: string[]) =>
      cardOf(directory.file("any.json"), models(order))?.experts.map(({ id }) => id);
    expect(ids(["maths", "law"])).toEqual(["maths", "law"]);
    expect(ids(["law", "maths"])).toEqual(["law", "maths"]);
  });

  it("of an adapter is of its file and its scale", () => {
    writeFileSync(directory.file("lora.gguf"), "lora");
    const withAdapter = (scale: number): CalibratedModels => {
      const { config, members } = models();
      const [maths, law] = members.experts as [LocalMember, LocalMember];
      const adapterPath = directory.file("lora.gguf");
      const adapted = { ...law, adapter: { file: "lora.gguf", scale }, adapterPath };
      return { config, members: { ...members, experts: [maths, adapted] } };
    };
    const card = makeCard();
    const [maths, law] = card.experts as [Card["experts"][number], Card["experts"][number]];
    const model = fingerprintOf(directory.file("lora.gguf"));
    writeFileSync(cardFile(), cardText({ ...card, experts: [maths, { ...law, model, scale: 0.5 }] }));
    const read = (of: CalibratedModels) => refusal(() => cardOf(directory.file("any.json"), of));
    expect(read(withAdapter(0.5))).toBe("accepted");
    expect(read(withAdapter(1))).toContain("made with scale 0.5 of the adapter of expert law");
    expect(read(models())).toContain("its expert law was another model (lora.gguf)");
    writeFileSync(cardFile(), cardText(card));
    expect(read(withAdapter(0.5))).toContain("its expert law was another model (law.gguf)");
  });

  it("of other models is refused, with file and remedy", () => {
    const card = makeCard();
    const read = (change: Partial<Card>, of = models()) => {
      writeFileSync(cardFile(), cardText({ ...card, ...change }));
      return refusal(() => cardOf(directory.file("any.json"), of));
    };
    expect(read({})).toBe("accepted");
    expect(read({ config: "other" })).toContain('the card of another config, "other"');
    expect(read({}, models(["maths"]))).toContain("made for the experts maths, law; the config has maths");
    const joined = card.prior.classes.map((one) => ({ ...one, expert: "law,maths" })).slice(1);
    const [first] = card.experts;
    expect(
      read({ experts: [{ ...first!, id: "law,maths" }], prior: { ...card.prior, classes: joined } }),
    ).toContain("made for the experts law,maths; the config has maths, law");
    expect(read({}, { ...models(), members: { ...models().members, reference: null } })).toContain(
      "reference was another model",
    );
    for (const [file, role] of [
      ["giant", "base"],
      ["dwarf", "reference"],
      ["law", "expert law"],
    ] as const) {
      writeFileSync(directory.file(`${file}.gguf`), "another of it");
      expect(read({})).toContain(`its ${role} was another model (${file}.gguf)`);
      writeFileSync(directory.file(`${file}.gguf`), file);
    }
  });

  it("that is broken is refused, with line and field", () => {
    const written = JSON.parse(cardText(makeCard())) as Record<string, unknown>;
    const read = (change: object) => {
      writeFileSync(cardFile(), JSON.stringify({ ...written, ...change }));
      return refusal(() => loadCard(directory.file("any.json"), "tutor"));
    };
    expect(read({})).toBe("accepted");
    expect(read({ version: 1 })).toContain("a card of version 1; this program reads version 2");
    expect(read({ version: "x" })).toContain("version: ");
    expect(read({ surprise: 1 })).toContain("surprise: ");
    expect(read({ vocabularySize: 0 })).toMatch(/:1:\d+: vocabularySize: too small/);
    expect(read({ feature: { seed: 1, dimension: 3, numRows: 1 } })).toContain(
      "feature.dimension: must be a power of two",
    );
    expect(read({ feature: { seed: 1, dimension: 4, numRows: 1 } })).toContain(
      "prior.whitening: not a triangle of 4 rows",
    );
    const prior = written.prior as Record<string, unknown>;
    expect(read({ prior: { ...prior, whitening: "AAAA" } })).toContain(
      "prior.whitening: not float32 numbers",
    );
    const nan = Buffer.from(Float32Array.of(1, NaN, 1).buffer).toString("base64");
    expect(read({ prior: { ...prior, whitening: nan } })).toContain("prior.whitening: not finite numbers");
    // A divisor that makes every score infinite.
    expect(read({ prior: { ...prior, temperature: 1e-320 } })).toContain("prior.temperature: too small");
    const classes = prior.classes as object[];
    expect(read({ prior: { ...prior, classes: classes.slice(1) } })).toContain(
      "experts.0.id: an expert needs one class",
    );
    expect(read({ prior: { ...prior, classes: [...classes, { ...classes[0], expert: "x" }] } })).toContain(
      "prior.classes.2.expert: no such expert",
    );
    const none = prior.none as object;
    expect(read({ prior: { ...prior, none: { ...none, shares: { base: 1, poem: 1 } } } })).toContain(
      "prior.none.shares.poem: no such expert",
    );
    expect(read({ prior: { ...prior, none: { ...none, shares: { law: 0 } } } })).toContain(
      "prior.none.shares: one share at least",
    );
    writeFileSync(cardFile(), "{");
    expect(refusal(() => loadCard(directory.file("any.json"), "tutor"))).toContain("not JSON");
  });
});

describe("the prior", () => {
  const settings = { temperature: 2, none: { distance: 10, slope: 1 }, outOfDomain: [1, 0, 0], floor: 0.03 };

  it("follows its formula", () => {
    const isNone = 1 / (1 + 10 / 4);
    const first = 1 / (1 + Math.exp(-(8 - 4) / 4));
    const expected = [isNone, (1 - isNone) * first, (1 - isNone) * (1 - first)];
    const shares = sharesOf([4, 8], null, settings);
    shares.forEach((share, index) => expect(share).toBeCloseTo(0.97 * expected[index]! + 0.01, 12));
  });

  it("gives a prompt far from all experts, or near those that fit none, to the base", () => {
    expect(sharesOf([1e9, 2e9], null, settings)[0]).toBeCloseTo(0.98, 6);
    expect(sharesOf([9, 9], 0.1, settings)[0]).toBeGreaterThan(0.8);
    expect(sharesOf([0, 50], null, settings)[1]).toBeCloseTo(0.98, 4);
  });

  it("gives what fits nobody to those who stand in, whoever is nearest", () => {
    const standIn = { ...settings, outOfDomain: [0.25, 0, 0.75] };
    const expected = [0.25, 0, 0.75].map((share) => 0.97 * share + 0.01);
    for (const distances of [
      [1e9, 2e9],
      [2e9, 1e9],
    ])
      sharesOf(distances, null, standIn).forEach((share, index) =>
        expect(share).toBeCloseTo(expected[index]!, 6),
      );
    // Known to fit none: told by the person who made the card.
    expect(sharesOf([9, 9], 0.1, standIn)[0]).toBeGreaterThan(0.45);
  });

  it("takes the proportions of a card for shares", () => {
    const card = makeCard();
    const row = Float32Array.from({ length: vocabularySize }, (_, index) => (index % 3) * 500);
    const feature = featureOf([row], card.feature);
    const [base = 0, maths = 0, law = 0] = priorOf(card, feature);
    expect(base).toBeCloseTo(0.98, 2);
    card.prior.none.shares = { law: 0.5, base: 0.5 };
    const shared = priorOf(card, feature);
    expect(shared[0]).toBeCloseTo(0.97 * 0.5 + 0.01, 2);
    expect(shared[1]).toBeCloseTo(maths, 6);
    expect(shared[2]! - law).toBeCloseTo(0.97 * 0.5, 2);
  });

  it("takes a prompt for out-of-domain that is nearer to one of no task than to an expert", () => {
    const card = makeCard();
    const row = Float32Array.from({ length: vocabularySize }, (_, index) => (index % 3) * 0.5);
    const feature = featureOf([row], card.feature);
    const before = priorOf(card, feature)[0]!;
    card.prior.none.prompts = [Float32Array.from(whiten(feature, card.prior.whitening))];
    expect(before).toBeLessThan(0.9);
    expect(priorOf(card, feature)[0]).toBeGreaterThan(0.97);
    expect(parseCard(cardText(card), "F").prior.none.prompts).toEqual(card.prior.none.prompts);
  });

  it("adds up to 1 and never leaves anybody without", () => {
    for (const distances of [[0], [1e-300, 1e300], [1e300, 1e300], [5, 0, 3]]) {
      const shares = sharesOf(distances, null, settings);
      expect(shares.reduce((sum, share) => sum + share, 0)).toBeCloseTo(1, 12);
      expect(Math.min(...shares)).toBeGreaterThanOrEqual(0.03 / shares.length - 1e-15);
    }
  });
});

describe("the feature", () => {
  const settings = { seed: 3, dimension: 64 };
  const row = Float32Array.from({ length: 500 }, (_, index) => Math.cos(index * 1.7) * 5);

  it("is linear in the row, blind to a constant, and a mean over rows", () => {
    const other = Float32Array.from({ length: 500 }, (_, index) => Math.sin(index * 0.9));
    const sum = featureOf([row.map((logit, index) => logit + 2 * other[index]!)], settings);
    const parts = [featureOf([row], settings), featureOf([other], settings)];
    sum.forEach((value, index) => expect(value).toBeCloseTo(parts[0]![index]! + 2 * parts[1]![index]!, 5));
    expect([...featureOf([new Float32Array(500).fill(-3)], settings)].every((value) => value === 0)).toBe(
      true,
    );
    const shifted = featureOf([row.map((logit) => logit - 8)], settings);
    shifted.forEach((value, index) => expect(value).toBeCloseTo(parts[0]![index]!, 5));
    featureOf([row, other, other], settings).forEach((value, index) =>
      expect(value).toBeCloseTo((parts[0]![index]! + 2 * parts[1]![index]!) / 3, 9),
    );
  });

  it("keeps lengths on average: a random projection", () => {
    const seeds = Array.from({ length: 200 }, (_, seed) => seed);
    const squares = seeds.map((seed) =>
      featureOf([row], { seed, dimension: 64 }).reduce((sum, value) => sum + value * value, 0),
    );
    const mean = row.reduce((sum, logit) => sum + logit, 0) / row.length;
    const variance = row.reduce((sum, logit) => sum + (logit - mean) ** 2, 0) / row.length;
    // Each logit goes into four sums.
    const ratio = squares.reduce((sum, square) => sum + square, 0) / seeds.length / (4 * variance);
    expect(ratio).toBeGreaterThan(0.9);
    expect(ratio).toBeLessThan(1.1);
  });

  it("takes a masked token for an average one", () => {
    const masked = row.slice();
    masked[7] = -Infinity;
    const rest = row.filter((_, index) => index !== 7);
    const mean = rest.reduce((sum, logit) => sum + logit, 0) / rest.length;
    const filled = row.slice();
    filled[7] = mean;
    featureOf([masked], settings).forEach((value, index) =>
      expect(value).toBeCloseTo(featureOf([filled], settings)[index]!, 5),
    );
  });

  it("is what cards of this version were made with", () => {
    const known = featureOf([Float32Array.of(1, 2, 4, 8)], { seed: 24301, dimension: 8 });
    expect([...known]).toMatchInlineSnapshot(`
      [
        0,
        2.125,
        -0.125,
        -1.25,
        -1.25,
        -3.125,
        1.375,
        -2.25,
      ]
    `);
  });
});

describe("a fingerprint", () => {
  it("tells the whole of a small file", () => {
    const file = directory.file("a.gguf");
    const bytes = Buffer.alloc(100_000, 1);
    writeFileSync(file, bytes);
    const before = fingerprintOf(file);
    expect(before).toMatchObject({ file: "a.gguf", bytes: 100_000 });
    expect(fingerprintOf(file)).toEqual(before);
    bytes[77_777] = 2;
    writeFileSync(file, bytes);
    expect(fingerprintOf(file).sha256).not.toBe(before.sha256);
  });

  it("of a large file changes with its beginning, its end, its size and what is changed all over it", () => {
    const file = directory.file("b.gguf");
    const size = 40 * 2 ** 20;
    const original = Buffer.alloc(size, 1);
    const printOf = (bytes: Buffer) => {
      writeFileSync(file, bytes);
      return fingerprintOf(file);
    };
    const changed = (places: number[]) => {
      const bytes = Buffer.from(original);
      for (const place of places) bytes[place] = 2;
      return printOf(bytes).sha256;
    };
    const before = printOf(original);
    expect(changed([])).toBe(before.sha256);
    expect(changed([1000])).not.toBe(before.sha256);
    expect(changed([size - 1])).not.toBe(before.sha256);
    expect(changed(Array.from({ length: 400 }, (_, index) => index * 100_000))).not.toBe(before.sha256);
    expect(printOf(original.subarray(1))).not.toEqual(before);
  });

  it("of a model in parts is of all of them", () => {
    const part = (index: number) => directory.file(`m-0000${index}-of-00002.gguf`);
    writeFileSync(part(1), "one");
    writeFileSync(part(2), "two");
    const before = fingerprintOf(part(1));
    expect(before.bytes).toBe(6);
    writeFileSync(part(2), "owt");
    expect(fingerprintOf(part(1)).sha256).not.toBe(before.sha256);
  });
});
