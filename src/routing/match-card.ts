import type { LocalMember, Roles } from "../config/members.js";
import type { FusionConfig } from "../config/fusion-config.js";
import { type Card, type Fingerprint, cardPathOf, cardRefused, loadCard } from "./card.js";
import { fingerprintOf } from "./fingerprint.js";

/** A fusion config whose models have been found. */
export interface CalibratedModels {
  config: Pick<FusionConfig, "id" | "experts">;
  members: Roles<LocalMember>;
}

const isSame = (a: Fingerprint, b: Fingerprint): boolean => a.bytes === b.bytes && a.sha256 === b.sha256;

/**
 * A card in the order of its config's experts, once it is known to be of these models.
 * @throws ShouldersError `calibration_invalid`
 */
function matchCard(card: Card, file: string, models: CalibratedModels): Card {
  const { config, members } = models;
  if (card.config !== config.id) throw cardRefused(file, `the card of another config, "${card.config}"`);
  const given = config.experts.map(({ id }) => id);
  const known = card.experts.map(({ id }) => id);
  if (given.length !== known.length || !given.every((id) => known.includes(id)))
    throw cardRefused(
      file,
      `made for the experts ${known.join(", ")}; the config has ${given.join(", ") || "none"}`,
    );
  const experts = given.map((id) => card.experts[known.indexOf(id)] as Card["experts"][number]);
  const check = (role: string, found: string | null, expected: Fingerprint): void => {
    if (found === null || !isSame(fingerprintOf(found), expected))
      throw cardRefused(file, `its ${role} was another model (${expected.file}) than ${found ?? "none"}`);
  };
  check("base", members.base.path, card.base);
  check("reference", members.reference?.path ?? null, card.reference);
  experts.forEach(({ id, model, scale }, index) => {
    const member = members.experts[index];
    check(`expert ${id}`, member?.adapterPath ?? member?.path ?? null, model);
    if (member?.adapter?.scale !== scale)
      throw cardRefused(file, `made with scale ${scale ?? 1} of the adapter of expert ${id}`);
  });
  return { ...card, experts };
}

/**
 * The card beside a config's file; null: there is none, and shares begin uniform.
 * @throws ShouldersError `calibration_invalid`: a broken card, or one of other models.
 */
export function cardOf(configFile: string, models: CalibratedModels): Card | null {
  const { id } = models.config;
  const card = loadCard(configFile, id);
  return card === null ? null : matchCard(card, cardPathOf(configFile, id), models);
}
