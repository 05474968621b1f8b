import { z } from "zod";
import { ShouldersError } from "../errors.js";
import type { FusedRow, Fusion, FusionKernel, LogitsRows, Plausibility } from "../fusion/types.js";
import { isByExpertsAlone } from "./constant-run.js";
import { type ComponentConfig, componentInWords, componentSchema, idSchema, mostNamed } from "./fields.js";
import { type Component, fuseMixture, type MixturePart } from "./mixture-row.js";
import { recordOf } from "./record-of.js";
import { Shares, type Voice } from "./shares.js";
import type { Expert, ExpertAxis, PriorRequest, StartOptions, Strategy, StrategyRun } from "./strategy.js";

export const defaultFloor = 0.01;

const schema = z
  .strictObject({
    type: z.literal("mixture"),
    prior: z
      .union([z.enum(["card", "uniform"]), recordOf(idSchema, z.number().min(0).max(1), mostNamed)])
      .default("card")
      .describe(
        "Shares at the start of an answer: from the calibration card (where there is none, each expert begins the " +
          "answer, and the one that the prompt is for gets all), uniform, or given by expert id and base, in proportion.",
      ),
    components: recordOf(idSchema, componentSchema, mostNamed)
      .default({})
      .describe("By expert id; for one left out the card's, or the default."),
    floor: z
      .number()
      .min(0)
      .max(1)
      .default(defaultFloor)
      .describe("An expert whose share is below this is not run; 0: all run."),
  })
  .describe("A mixture of complete models, the base and each expert on it, whose shares follow the answer.");

export type MixtureSettings = z.output<typeof schema>;

const componentOf = (
  { components }: MixtureSettings,
  expert: Pick<Expert, "id" | "component">,
): ComponentConfig => components[expert.id] ?? expert.component;

export const mixture = {
  schema,
  label: "A mixture of models",
  words: (settings, { experts }) => {
    const [only, ...others] = experts;
    if (only === undefined || others.length > 0)
      return "A mixture of the base and each expert on it, whose shares follow the answer.";
    const words = componentInWords(only.id, componentOf(settings, only));
    return `${words.charAt(0).toUpperCase()}${words.slice(1)}.`;
  },
  needsExperts: true,
  controls: ["shares", "bounds", "budget"],
  choice: () => schema.parse({ type: "mixture" }),
  plausibilityOf: () => null,
  namedExperts: ({ components, prior }) => [
    ...Object.keys(components).map((id) => ({ path: ["components"], id })),
    ...Object.keys(typeof prior === "string" ? {} : prior)
      .filter((id) => id !== "base")
      .map((id) => ({ path: ["prior"], id })),
  ],
  problem: ({ prior }) =>
    typeof prior !== "string" && isAllZero(prior)
      ? { path: ["prior"], reason: "one share at least must be above 0" }
      : null,
  solvedExperts: (settings, experts) =>
    experts
      .filter((expert) => {
        const { kind, weight } = componentOf(settings, expert);
        return kind === "fused" && weight === "solved";
      })
      .map(({ id }) => id),
  readsCard: ({ prior }) => prior === "card",
  usesCard: ({ prior, components }, experts) =>
    prior === "card" || experts.some(({ id }) => !(id in components)),
  withCard: (settings, { shares, components }) => ({
    ...settings,
    prior: settings.prior === "card" ? (shares ?? settings.prior) : settings.prior,
    components: { ...components, ...settings.components },
  }),
  start: <E extends Expert>(settings: MixtureSettings, options: StartOptions<E>): StrategyRun<E> =>
    new MixtureRun(settings, options),
} satisfies Strategy<MixtureSettings>;

/** Whether no share is above 0, so that there is nothing to divide. */
function isAllZero(shares: Readonly<Record<string, number>>): boolean {
  return Object.values(shares).every((share) => share === 0);
}

/**
 * Where nobody has found out what a prompt is about (`engine/election.ts` does): every expert alike. The base by itself
 * has no share, for who attaches an expert wants to hear it. (With a share, the base's habits win: the experts that a
 * prompt is not for agree with it.)
 */
const equalShares = (experts: readonly Expert[]): Record<string, number> =>
  Object.fromEntries(experts.map(({ id }) => [id, 1]));

/**
 * The prior of an answer, as its request or else its strategy has it: shares by `base` and expert id in proportion;
 * null: the card is to find them from the prompt. One expert alone speaks whatever the prompt: a small share of the base
 * already brings back its habits.
 */
function priorOf<E extends Expert>(
  settings: MixtureSettings,
  { prior, hasCard, experts }: StartOptions<E>,
): Readonly<Record<string, number>> | null {
  const wanted = prior?.shares ?? settings.prior;
  if (wanted === "card") return hasCard && experts.length > 1 ? null : equalShares(experts);
  if (wanted === "uniform") return { base: 1, ...equalShares(experts) };
  if (isAllZero(wanted))
    throw new ShouldersError("invalid_request", "One share of the prior at least must be above 0.", {
      param: "fusion.prior",
    });
  return wanted;
}

/** The shares of one answer, and the component that each expert is. */
class MixtureRun<E extends Expert> implements StrategyRun<E> {
  readonly asksPrompt: boolean;
  readonly experts: readonly E[];
  readonly #settings: MixtureSettings;
  readonly #prior: PriorRequest | null;
  readonly #loss: number;
  readonly #components: ReadonlyMap<E, Component>;
  /** null until it is known how they begin. */
  #shares: Shares<E> | null = null;
  #active: readonly E[];

  constructor(settings: MixtureSettings, options: StartOptions<E>) {
    const { experts, prior } = options;
    this.#settings = settings;
    this.experts = experts;
    this.#active = experts;
    this.#prior = prior;
    this.#loss = options.loss;
    this.#components = new Map(
      experts.map((expert) => [expert, { ...componentOf(settings, expert), bounds: expert.bounds }]),
    );
    const wanted = priorOf(settings, options);
    this.asksPrompt = wanted === null;
    if (wanted !== null) this.#begin(wanted);
  }

  begin(prior: readonly number[] | null): void {
    if (this.#shares !== null) return;
    const ids = ["base", ...this.experts.map(({ id }) => id)];
    this.#begin(
      prior === null
        ? equalShares(this.experts)
        : Object.fromEntries(ids.map((id, index) => [id, prior[index] ?? 0])),
    );
  }

  #begin(shares: Readonly<Record<string, number>>): void {
    const shareOf = (id: string) => shares[id] ?? 0;
    const biasOf = (id: string) => this.#prior?.bias[id] ?? 0;
    this.#shares = new Shares<E>(
      [
        { expert: null, share: shareOf("base"), bias: biasOf("base") },
        ...this.experts.map((expert) => ({
          expert,
          share: shareOf(expert.id),
          bias: biasOf(expert.id),
        })),
      ],
      { floor: this.#settings.floor, isPinned: this.#prior?.isPinned ?? false, loss: this.#loss },
    );
    this.#chooseActive(this.#shares);
  }

  #chooseActive({ voices }: Shares<E>): void {
    this.#active = voices.flatMap(({ expert, isActive }) => (expert !== null && isActive ? [expert] : []));
  }

  get active(): readonly E[] {
    return this.#active;
  }

  get needsReference(): boolean {
    return this.#active.some((expert) => this.#component(expert).kind === "fused");
  }

  fuse(kernel: FusionKernel, rows: LogitsRows, budgets: readonly number[]): Fusion {
    return fuseMixture(kernel, rows, this.#laws(budgets));
  }

  unrestricted(
    kernel: FusionKernel,
    rows: LogitsRows,
    budgets: readonly number[],
    { weights }: Fusion,
  ): FusedRow {
    const { baseShare, parts } = this.#laws(budgets);
    const open = parts.map((part, index) => ({
      ...part,
      component: { ...part.component, weight: weights[index] ?? 0, plausibility: null },
    }));
    return fuseMixture(kernel, rows, { baseShare, parts: open }).row;
  }

  /** @param budgets of the active experts */
  #laws(budgets: readonly number[]): { baseShare: number; parts: MixturePart[] } {
    const [base] = this.#voices(null);
    const parts = this.#active.map((expert, index) => ({
      component: this.#component(expert),
      share: this.#voices(expert)[0]?.share ?? 1,
      budget: budgets[index] ?? Infinity,
    }));
    return { baseShare: base?.share ?? 1, parts };
  }

  get settling(): readonly Plausibility[] | null {
    const sets = this.#active.map((expert) => this.#component(expert).plausibility);
    return isByExpertsAlone(sets) ? sets : null;
  }

  get baseShare(): number {
    const base = this.#voices(null)[0]?.share ?? 1;
    const others = this.#active.map((expert) => this.#voices(expert)[0]?.share ?? 1);
    return base / others.reduce((sum, share) => sum + share, base);
  }

  learnOfBase(logprob: number): void {
    const voices = [null, ...this.#active].flatMap((expert) => this.#voices(expert));
    this.#shares?.learn(
      voices,
      voices.map(({ expert }) => (expert === null ? logprob : 0)),
    );
  }

  learn({ mixed }: Fusion, logprobs: readonly number[]): void {
    if (this.#shares === null || mixed.length === 0) return;
    const voices = mixed.flatMap((row) => this.#voices(row === null ? null : (this.#active[row] ?? null)));
    this.#shares.learn(voices, logprobs);
    this.#chooseActive(this.#shares);
  }

  get shares(): Readonly<Record<string, number>> | null {
    const voices = this.#shares?.voices ?? null;
    return voices && Object.fromEntries(voices.map(({ expert, share }) => [expert?.id ?? "base", share]));
  }

  get skippedShare(): number {
    return this.#shares?.skipped ?? 0;
  }

  get lost(): number {
    return this.#shares?.lost ?? 0;
  }

  axisOf(expert: E): ExpertAxis {
    const { kind, plausibility, bounds } = this.#component(expert);
    return { plausibility, bounds, isAlone: kind === "alone", hasOwnTargets: true };
  }

  #component(expert: E): Component {
    return this.#components.get(expert) as Component;
  }

  #voices(expert: E | null): Voice<E>[] {
    return this.#shares?.voices.filter((voice) => voice.expert === expert) ?? [];
  }
}
