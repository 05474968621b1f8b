import { createInterface, type Interface } from "node:readline";
import { ShouldersError } from "../errors.js";

type Input = NodeJS.ReadableStream & { isTTY?: boolean };

/** Asks questions with defaults, one a line: of a person at a terminal, or of a script that is piped in. */
export class Questions {
  readonly #lines: Interface;
  readonly #output: NodeJS.WritableStream;
  readonly #isTerminal: boolean;
  readonly #waiting: string[] = [];
  #deliver: (() => void) | null = null;
  #hasEnded = false;

  constructor(input: Input = process.stdin, output: NodeJS.WritableStream = process.stdout) {
    this.#output = output;
    this.#isTerminal = input.isTTY === true;
    this.#lines = createInterface({ input, output, terminal: this.#isTerminal });
    this.#lines.on("line", (line) => {
      this.#waiting.push(line);
      this.#deliver?.();
    });
    this.#lines.once("close", () => {
      this.#hasEnded = true;
      this.#deliver?.();
    });
  }

  /**
   * @param fallback what an empty line stands for; null: an empty line is asked again
   * @throws ShouldersError `settings_invalid`: the input ends; the reason of the signal
   */
  async ask(question: string, fallback: string | null, signal: AbortSignal): Promise<string> {
    for (;;) {
      this.#output.write(`${question}${fallback === null || fallback === "" ? "" : ` [${fallback}]`}: `);
      const line = (await this.#next(question, signal)).trim();
      // A terminal has shown what was typed; a log of a script shows it here.
      if (!this.#isTerminal) this.#output.write(`${line}\n`);
      if (line !== "") return line;
      if (fallback !== null) return fallback;
    }
  }

  /** Whether yes was answered. */
  async confirm(question: string, fallback: boolean, signal: AbortSignal): Promise<boolean> {
    const answer = await this.ask(`${question} (yes or no)`, fallback ? "yes" : "no", signal);
    return /^y(es)?$/i.test(answer);
  }

  /** Asks until the answer can be used; what is wrong with one is shown. */
  async askUntil<Value>(
    question: string,
    fallback: string | null,
    { signal, use }: { signal: AbortSignal; use: (answer: string) => Promise<Value> },
  ): Promise<Value> {
    for (;;) {
      const answer = await this.ask(question, fallback, signal);
      try {
        return await use(answer);
      } catch (error) {
        if (!(error instanceof ShouldersError)) throw error;
        this.#output.write(`${error.message}\n`);
      }
    }
  }

  close(): void {
    this.#lines.close();
  }

  async #next(question: string, signal: AbortSignal): Promise<string> {
    while (this.#waiting.length === 0) {
      signal.throwIfAborted();
      if (this.#hasEnded)
        throw new ShouldersError(
          "settings_invalid",
          `the input ended before "${question}" was answered; answer it, or use the flags (--help lists them)`,
        );
      await new Promise<void>((resolve) => {
        this.#deliver = resolve;
        signal.addEventListener("abort", () => resolve(), { once: true });
      });
      this.#deliver = null;
    }
    return this.#waiting.shift() as string;
  }
}
