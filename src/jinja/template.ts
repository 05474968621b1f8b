import { tokenize } from "./lexer.js";
import { madePerStep, Scope, type Statement } from "./scope.js";
import { StatementParser } from "./statements.js";
import { strftime } from "./strftime.js";
import {
  bind,
  isMap,
  itemsOf,
  Namespace,
  textOf,
  toValue,
  type Budget,
  type Callable,
  type Value,
} from "./values.js";

/**
 * Steps that any template may take, for each turn, and in all: a step is half a microsecond. Some of the 70 templates
 * that llama.cpp keeps of well-known models look through all turns at each.
 */
const freeSteps = 20_000;
const stepsPerTurn = 5_000;
const stepsPerCharacter = 4;
const mostSteps = 1_000_000;
/** Reading a longer one takes long. */
const longestTemplate = 1 << 20;

export interface RenderInput {
  messages: readonly unknown[];
  [name: string]: unknown;
}

/**
 * A chat template, with the meaning that it has for jinja2 as Hugging Face's transformers set it up: `trim_blocks`,
 * `lstrip_blocks`, `break` and `continue`, `raise_exception`, `strftime_now`, JSON without escapes, nothing that
 * changes its input. It ends: what it does is counted, whatever it says.
 */
export class Template {
  readonly #body: Statement;

  /** @throws SyntaxError that says what is wrong with the text */
  constructor(text: string) {
    if (text.length > longestTemplate)
      throw new SyntaxError(`it has ${text.length} characters, more than ${longestTemplate}`);
    this.#body = new StatementParser(tokenize(text)).template();
  }

  /**
   * @param inputLength characters of all texts in the input: more steps for each.
   * @throws TypeError what the template raises, or past the limit of steps
   */
  render(input: RenderInput, inputLength: number): string {
    const most = Math.min(
      mostSteps,
      freeSteps + stepsPerTurn * input.messages.length + stepsPerCharacter * inputLength,
    );
    const scope = new Scope(new StepBudget(most));
    for (const [name, value] of Object.entries({ ...globals, ...input })) scope.set(name, toValue(value));
    const out: string[] = [];
    this.#body(scope, out);
    return out.join("");
  }
}

class StepBudget implements Budget {
  readonly #most: number;
  #steps = 0;

  constructor(most: number) {
    this.#most = most;
  }

  spend(steps: number): void {
    this.#steps += steps;
    if (this.#steps > this.#most) throw new TypeError(`it takes more than ${this.#most} steps`);
  }

  make(length: number): void {
    this.spend(Math.floor(Math.max(0, length) / madePerStep));
  }
}

/** Python's `range`, whose numbers are counted before they are made. */
const range: Callable = ({ positional }, budget) => {
  const [first = 0, second, step = 1] = positional.map(Number);
  const [start, stop] = second === undefined ? [0, first] : [first, second];
  if (step === 0) throw new TypeError("range() step must not be zero");
  const length = Math.max(0, Math.ceil((stop - start) / step));
  budget.spend(length);
  return Array.from({ length }, (_, index) => start + index * step);
};

const dict: Callable = ({ positional: [first], named }) =>
  new Map<Value, Value>([...entriesOf(first), ...named]);

const entriesOf = (value: Value): [Value, Value][] =>
  isMap(value)
    ? [...value]
    : itemsOf(value).map((pair) => {
        const [key, item] = itemsOf(pair);
        return [key, item];
      });

const globals: Record<string, Callable> = {
  range,
  dict,
  namespace: ({ positional: [first], named }) =>
    new Namespace(
      new Map([...entriesOf(first).map(([key, value]) => [textOf(key), value] as const), ...named]),
    ),
  raise_exception: (given) => {
    throw new TypeError(textOf(bind(given, ["message"])[0]));
  },
  strftime_now: (given) => strftime(new Date(), textOf(bind(given, ["format"])[0])),
  cycler: ({ positional }) => {
    let at = 0;
    const fields = new Map<string, Value>([["next", () => positional[at++ % positional.length]]]);
    return new Namespace(fields, true);
  },
  joiner: (given) => {
    const [separator = ", "] = bind(given, ["sep"]);
    let isFirst = true;
    return () => {
      const text = isFirst ? "" : separator;
      isFirst = false;
      return text;
    };
  },
};
