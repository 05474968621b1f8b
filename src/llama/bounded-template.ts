import { Environment, Interpreter, Template } from "@huggingface/jinja";

/**
 * Steps that any template may take, for each turn, and in all: a step is about a microsecond. Of the 70 templates that
 * llama.cpp keeps of well-known models none takes more than 960 for one question with a function, or one for each
 * character of many functions. Some look through all turns at each: at most 131,000 steps for 200 turns.
 */
const freeSteps = 10_000;
const stepsPerTurn = 2_000;
const mostSteps = 500_000;
/** Characters of a text that cost a step whenever an expression makes them. */
const textPerStep = 2048;
/** Reading a longer one takes seconds. */
const longestTemplate = 1 << 20;

const clock = new Template("{{ strftime_now(format) }}");

export interface RenderInput {
  messages: readonly unknown[];
  [name: string]: unknown;
}

/** A Jinja template that ends: what it does is counted, whatever it says. */
export class BoundedTemplate {
  readonly #template: Template;

  /** @throws what is wrong with the text */
  constructor(text: string) {
    if (text.length > longestTemplate)
      throw new TypeError(`it has ${text.length} characters, more than ${longestTemplate}`);
    this.#template = new Template(text);
  }

  /**
   * @param inputLength characters of all texts in the input: one more step for each.
   * @throws TypeError past the limit of steps; else what the template raises
   */
  render(input: RenderInput, inputLength: number): string {
    const globals = new LibraryScope();
    const most = Math.min(mostSteps, freeSteps + stepsPerTurn * input.messages.length + inputLength);
    const interpreter = new CountingInterpreter(globals, most);
    for (const [name, value] of Object.entries(input)) globals.set(name, value);
    return String(interpreter.run(this.#template.parsed).value);
  }
}

interface Scope {
  set(name: string, value: unknown): unknown;
}

interface Statement {
  type: string;
}

/** What makes no value, and only names one that is there. */
const givesBack = new Set(["Identifier", "StringLiteral"]);

interface Evaluator {
  run(program: unknown): { value: unknown };
  evaluate(statement: Statement | undefined, scope: Scope): { value: unknown };
}

/** The library's own types of these two do not resolve. */
const LibraryScope = Environment as new () => Scope;
const LibraryInterpreter = Interpreter as new (globals: Scope) => Evaluator;

/** Every part of a template goes through `evaluate`, also in loops, macros and filters. */
class CountingInterpreter extends LibraryInterpreter {
  readonly #most: number;
  #steps = 0;

  constructor(globals: Scope, most: number) {
    super(globals);
    this.#most = most;
    const names = { true: true, True: true, false: false, False: false, none: null, None: null };
    for (const [name, value] of Object.entries(names)) globals.set(name, value);
    globals.set("raise_exception", (message: unknown) => {
      throw new TypeError(String(message));
    });
    globals.set("strftime_now", (format: string) => clock.render({ format }));
    globals.set("range", (...bounds: number[]) => this.#range(bounds));
  }

  override evaluate(statement: Statement | undefined, scope: Scope): { value: unknown } {
    this.#count(1);
    const result = super.evaluate(statement, scope);
    const { value } = result;
    if (statement === undefined || givesBack.has(statement.type)) return result;
    if (typeof value === "string") this.#count(Math.floor(value.length / textPerStep));
    else if (Array.isArray(value) && value.length > this.#most) this.#count(value.length);
    return result;
  }

  #count(steps: number): void {
    this.#steps += steps;
    if (this.#steps > this.#most) throw new TypeError(`it takes more than ${this.#most} steps`);
  }

  /** Python's `range`, whose numbers are counted before they are made. */
  #range([first = 0, second, step = 1]: number[]): number[] {
    const [start, stop] = second === undefined ? [0, first] : [first, second];
    if (step === 0) throw new TypeError("range() step must not be zero");
    const length = Math.max(0, Math.ceil((stop - start) / step));
    this.#count(length);
    return Array.from({ length }, (_, index) => start + index * step);
  }
}
