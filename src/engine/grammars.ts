import { setImmediate as othersHaveGoneOn } from "node:timers/promises";
import { isEndFor } from "./token-roles.js";
import { present } from "../errors.js";
import { inOrder } from "../config/members.js";
import { compileInSteps, type CompiledGrammar } from "../grammar/gbnf.js";
import { GrammarMask } from "../grammar/grammar-mask.js";
import { TokenTable } from "../grammar/token-table.js";
import type { LoadedConfig, ModelSlot } from "./loaded-models.js";

/** Compiled grammars that are kept: the answers to one prompt, and a client's next request, often share one. */
const mostKept = 16;

/** Grammars of requests over the vocabularies of the loaded models. */
export class Grammars {
  readonly #slots: readonly ModelSlot[];
  readonly #tables = new WeakMap<LoadedConfig, TokenTable>();
  /** Grammars by config and text, the one used last at the end. */
  readonly #compiled = new Map<string, Promise<CompiledGrammar>>();
  /** Ends with the compilation of the grammar that came last: they take turns, so that steps wait for one at most. */
  #last: Promise<unknown> = Promise.resolve();

  constructor(slots: readonly ModelSlot[]) {
    this.#slots = slots;
  }

  /**
   * What makes the mask of each answer to a request.
   * @param root the rule to begin with
   *
   * @throws ShouldersError `invalid_request` for a text that is no grammar.
   */
  async masksOf(text: string, config: LoadedConfig, root = "root"): Promise<() => GrammarMask> {
    const table = this.tableOf(config);
    const key = `${config.resolved.config.id} ${root} ${text}`;
    const known = this.#compiled.get(key);
    const grammar = known ?? this.#compile(text, table, root);
    this.#compiled.delete(key);
    this.#compiled.set(key, grammar);
    const [oldest] = this.#compiled.keys();
    if (oldest !== undefined && this.#compiled.size > mostKept) this.#compiled.delete(oldest);
    const compiled = await grammar;
    return () => new GrammarMask(compiled, table);
  }

  #compile(text: string, table: TokenTable, root: string): Promise<CompiledGrammar> {
    const compiled = this.#last.then(async () => {
      const steps = compileInSteps(text, table, root);
      for (;;) {
        const { done, value } = steps.next();
        if (done) return value;
        await othersHaveGoneOn();
      }
    });
    this.#last = compiled.catch(() => undefined);
    return compiled;
  }

  /** Of the tokens that a config's models share. */
  tableOf(config: LoadedConfig): TokenTable {
    const known = this.#tables.get(config);
    if (known) return known;
    // Small models of another vocabulary have ids of their own.
    const members = config.reader === null ? inOrder(config) : [config.base];
    const vocabularyOf = (model: number) => present(this.#slots[model], "slot").model.vocabulary;
    const table = new TokenTable(config.tokenNames, config.vocabularySize, (token) =>
      members.some(({ model }) => isEndFor(vocabularyOf(model), config.roles.get(model), token)),
    );
    this.#tables.set(config, table);
    return table;
  }
}
