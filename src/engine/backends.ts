import { present, ShouldersError } from "../errors.js";
import { gpuDrivers, type GpuDriver } from "../llama/gpu-drivers.js";
import type { Logger } from "../log.js";
import type { BackendChoice, EngineSettings } from "../protocol/protocol.js";
import { TriedBackends } from "./tried-backends.js";

interface Option {
  backend: BackendChoice["backend"];
  flashAttention: "auto" | "off";
  /** Identity of library and driver. */
  identity: string;
}

const processor: Option = { backend: "cpu", flashAttention: "auto", identity: "" };

/** Flash attention has shaders of its own, which some drivers break on that hold otherwise. */
function optionsOf({ backend, identity }: GpuDriver): Option[] {
  return [
    { backend, flashAttention: "auto", identity },
    { backend, flashAttention: "off", identity },
  ];
}

function possible(requested: EngineSettings["backend"], drivers: readonly GpuDriver[]): Option[] {
  if (requested === "cpu") return [processor];
  if (requested === "auto") return [...drivers.flatMap(optionsOf), processor];
  // Without a driver the library itself says what is missing.
  return optionsOf(
    drivers.find(({ backend }) => backend === requested) ?? { backend: requested, identity: "" },
  );
}

function keyOf({ identity, backend, flashAttention }: Option): string[] {
  return [identity, backend, flashAttention];
}

function nameOf({ backend, flashAttention }: Option): string {
  if (backend === "cpu") return "the processor";
  return flashAttention === "auto" ? backend : `${backend} without flash attention`;
}

/** How long a backend may take for its first tokens: CUDA may have to compile for a new GPU first. */
export const trialTimeoutMs = 120_000;

/** What may be the device's fault: another backend is worth a try then. */
const deviceFaults = new Set(["engine_died", "decode_failed", "library_mismatch", "out_of_memory"]);

export interface BackendsOptions {
  requested: EngineSettings["backend"];
  /** Paths of the files that are to be loaded. */
  models: readonly string[];
  log: Pick<Logger, "warn" | "info" | "debug">;
  /** Default: those that this machine has. */
  drivers?: readonly GpuDriver[];
}

/**
 * Which backend the engine computes on. `auto` goes from the best to the next whenever one turns out not to work, and
 * ends at the processor; a named backend is that one or none. What was found out is remembered.
 */
export class Backends {
  readonly #requested: EngineSettings["backend"];
  readonly #log: BackendsOptions["log"];
  readonly #tried = new TriedBackends();
  /** The model files: some make a driver fail that holds with others. */
  readonly #models: string;
  /** The first is the current one. */
  #options: Option[];
  readonly #proven = new Set<Option>();
  /** Sentences about those that do not work, and whether they are news. */
  #failures: { text: string; isNews: boolean }[] = [];
  /** Failed with these models only; remembered once another backend holds with them. */
  #suspects: { option: Option; text: string }[] = [];

  constructor({ requested, models, log, drivers = gpuDrivers() }: BackendsOptions) {
    this.#requested = requested;
    this.#log = log;
    this.#models = models.join("\n");
    const options = possible(requested, drivers);
    const works = options.filter((option) => this.#failureOf(option) === null);
    // A named backend that is known to fail is tried again: something may have been done about it.
    this.#options = works.length > 0 ? works : options;
    for (const option of options) {
      const text = this.#failureOf(option);
      if (text !== null && !this.#options.includes(option)) this.#failures.push({ text, isNews: false });
    }
  }

  /** What an engine is to be started with now. */
  get choice(): BackendChoice {
    const { backend, flashAttention } = this.#current;
    return { backend, flashAttention, isTrial: !this.#isProven };
  }

  /** The engine has decoded its first tokens on it. */
  proved(): void {
    this.#proven.add(this.#current);
    this.#remember(this.#current, [], null);
  }

  /** The engine is ready: says once what did not work, and where it computes instead. */
  settled(): void {
    for (const { option, text } of this.#suspects) this.#remember(option, [this.#models], text);
    this.#suspects = [];
    if (this.#failures.length === 0) return;
    const level = this.#failures.some(({ isNews }) => isNews) ? "warn" : "info";
    this.#log[level](
      `${this.#reasons} Computing on ${nameOf(this.#current)}. What failed is tried again when its driver changes, ` +
        `when it is named (--backend), and without ${this.#tried.file}.`,
    );
    this.#failures = [];
  }

  /**
   * Goes on to the next option.
   * @returns null, or what to tell when there is none, or the fault is not the device's.
   */
  failed(error: ShouldersError): ShouldersError | null {
    const failed = this.#current;
    if (failed.backend === "cpu" || !deviceFaults.has(error.code)) return error;
    const isWhole = error.code === "library_mismatch" || error.code === "out_of_memory";
    const text = isWhole ? error.message : `${nameOf(failed)} does not work: ${error.message}`;
    const failing = isWhole ? this.#options.filter(({ backend }) => backend === failed.backend) : [failed];
    for (const option of failing) {
      if (!this.#isProven && error.code !== "out_of_memory") this.#remember(option, [], text);
      // A device that is gone, or memory that others use, may be back another time.
      else if (!isWhole) this.#suspects.push({ option, text });
    }
    if (this.#drop(failing, text)) return null;
    if (isWhole) return error;
    return new ShouldersError(
      error.code,
      `Backend "${this.#requested}" does not work here. ${this.#reasons} ${text} Update the driver, or use --backend ` +
        `auto or cpu.`,
      { cause: error },
    );
  }

  /** The engine keeps dying in the middle of its work. @returns whether there is another option. */
  gaveOut(reason: string): boolean {
    const failed = this.#current;
    if (failed.backend === "cpu" || !this.#drop([failed], `${nameOf(failed)} does not hold: ${reason}`))
      return false;
    // It may have been a request's fault, or the trial was lucky: the next start tries it before it is relied on.
    this.#note(this.#tried.forget(keyOf(failed)));
    return true;
  }

  #drop(failing: readonly Option[], text: string): boolean {
    const left = this.#options.filter((option) => !failing.includes(option));
    if (left.length === 0) return false;
    this.#options = left;
    this.#failures.push({ text, isNews: true });
    return true;
  }

  get #current(): Option {
    return present(this.#options[0], "backend");
  }

  get #reasons(): string {
    // Both ways to use a backend may lack the same.
    return [...new Set(this.#failures.map(({ text }) => text))].join(" ");
  }

  get #isProven(): boolean {
    const option = this.#current;
    return (
      option.backend === "cpu" || this.#proven.has(option) || this.#tried.get(keyOf(option))?.failure === null
    );
  }

  #failureOf(option: Option): string | null {
    const [always, withThese] = [
      this.#tried.get(keyOf(option)),
      this.#tried.get([...keyOf(option), this.#models]),
    ];
    return always?.failure ?? withThese?.failure ?? null;
  }

  #remember(option: Option, more: readonly string[], failure: string | null): void {
    this.#note(this.#tried.set([...keyOf(option), ...more], failure));
  }

  #note(problem: unknown): void {
    if (problem !== null)
      this.#log.debug({ err: problem }, "what was found out about a backend cannot be written down");
  }
}
