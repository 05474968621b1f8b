import { CARD_VERSION, type Card } from "../../src/routing/card.js";
import { defaultFeature, featureOf } from "../../src/routing/feature.js";

/** A card that gives each expert the prompts after which the reference's row is the one beside its id. */
export function fakeCard(rowOf: Record<string, Float32Array>): Card {
  const { dimension } = defaultFeature;
  const whitening = new Float32Array((dimension * (dimension + 1)) / 2);
  // The identity: ones at the end of each row of the lower triangle.
  for (let row = 0, at = 0; row < dimension; row++, at += row + 1) whitening[at] = 1;
  const model = { file: "fake.gguf", bytes: 0, sha256: "0".repeat(64) };
  const rows = Object.entries(rowOf);
  return {
    version: CARD_VERSION,
    config: "fake",
    date: "2024-01-01T00:00:00Z",
    base: model,
    reference: model,
    experts: rows.map(([id]) => ({ id, model, numPrompts: 8, numAnswers: 0, component: null, trials: [] })),
    vocabularySize: rows[0]?.[1].length ?? 1,
    // The row beside the id is that of one token.
    feature: { ...defaultFeature, numRows: 1 },
    figures: { accuracy: 1, logLoss: 0, confusion: [], leftOut: null },
    prior: {
      whitening,
      classes: rows.map(([expert, row]) => ({
        expert,
        mean: Float32Array.from(featureOf([row], defaultFeature)),
      })),
      temperature: 0.01,
      none: { distance: 1, slope: 2, prompts: [], shares: { base: 1 } },
      floor: 0.001,
    },
  };
}
