import { present } from "../errors.js";
import type { FusionKernel, TokenLogprob } from "../fusion/types.js";
import type { GeneratedToken } from "../protocol/protocol.js";
import type { StrategyRun } from "../strategies/strategy.js";
import { toLogprob } from "../wire/numbers.js";
import { endsAnswer } from "./ends-answer.js";
import { budgetsOf, type Fused, startOf } from "./fuse.js";
import type { LoadedExpert, ModelSlot } from "./loaded-models.js";
import { mustAskAgain, unknownOf } from "./row-doubts.js";
import type { Sequence } from "./sequence.js";

/** A strategy beside that of an answer, with shares and a budget of its own. */
interface Beside {
  run: StrategyRun<LoadedExpert>;
  /** How far it would have moved the base so far. */
  nats: number;
}

/** A place of an answer by another strategy; it is not learned yet. */
interface Weighed {
  fused: Fused;
  logprob: number;
  best: TokenLogprob;
  /** Takes the token into its account. */
  learn: () => void;
}

/** The strategies that tokens of answers are also weighed by (`GenerationRequest.alsoBy`). */
export class OtherLaws {
  readonly #slots: readonly ModelSlot[];
  readonly #kernel: FusionKernel;
  readonly #known = new WeakMap<Sequence, readonly Beside[]>();

  constructor({ slots, kernel }: { slots: readonly ModelSlot[]; kernel: FusionKernel }) {
    this.#slots = slots;
    this.#kernel = kernel;
  }

  /**
   * Weighs a token by the other strategies that its request names, once it is known. The kernel holds other rows then.
   *
   * @returns false: one of them needs entries of the base's row that did not come, which are then asked for.
   * @throws ShouldersError `invalid_request`
   */
  weigh(sequence: Sequence, fused: Fused, generated: GeneratedToken): boolean {
    const { alsoBy } = sequence.request;
    if (alsoBy.length === 0) return true;
    const slot = present(this.#slots[sequence.base.model], "slot");
    const all: Weighed[] = [];
    for (const beside of this.#besides(sequence)) {
      const weighed = this.#weighBy(beside, fused, { sequence, token: generated.record.token.id });
      const unknown = unknownOf(weighed.fused, sequence);
      if (mustAskAgain(weighed.fused, slot, { sequence, unknown })) return false;
      all.push(weighed);
    }
    generated.alsoBy = all.map(({ logprob, best: { token, logprob: most } }) => ({
      logprob: toLogprob(logprob),
      best: { token, logprob: toLogprob(most), isEnd: endsAnswer(sequence, token, this.#slots) },
    }));
    for (const { learn } of all) learn();
    return true;
  }

  #besides(sequence: Sequence): readonly Beside[] {
    const { request, config } = sequence;
    const found = this.#known.get(sequence);
    if (found !== undefined) return found;
    const made = request.alsoBy.map((settings) => {
      const run = startOf(settings, request, config);
      run.begin(null);
      return { run, nats: 0 };
    });
    this.#known.set(sequence, made);
    return made;
  }

  /** @param fused rows of base, reference and of all experts that it runs; the kernel holds its fused row then. */
  #weighBy(
    beside: Beside,
    { rows, experts }: Fused,
    { sequence, token }: { sequence: Sequence; token: number },
  ): Weighed {
    const { run } = beside;
    const { active } = run;
    const own = active.map(({ id }) => {
      const at = experts.findIndex((expert) => expert.id === id);
      return present(rows.experts[at], `row of expert ${id}`);
    });
    const reference = run.needsReference ? present(rows.reference, "row of the reference") : null;
    const needed = { ...rows, reference, experts: own };
    const fusion = run.fuse(this.#kernel, needed, budgetsOf(run, sequence.request, beside.nats));
    const logprobs = fusion.row.componentLogprobs(token);
    return {
      fused: { fusion, rows: needed, experts: active },
      logprob: fusion.row.logprob(token),
      best: present(fusion.row.top(1)[0], "best token"),
      learn: () => {
        run.learn(fusion, logprobs);
        beside.nats += fusion.nats;
      },
    };
  }
}
