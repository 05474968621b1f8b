import { dottedPath } from "../../config/explain-issues.js";
import type { ModelSource } from "../../config/fusion-config.js";
import { type LoadedFusionConfig, parseFusionConfig } from "../../config/load.js";
import type { Roles } from "../suite.js";

/** Writes fusion configs over the models of the roles; each is made once, under an id that says what it is. */
export class ConfigMaker {
  readonly configs = new Map<string, LoadedFusionConfig>();
  readonly #roles: Roles;

  constructor(roles: Roles) {
    this.#roles = roles;
  }

  /** @returns the id of the config. */
  make(name: string, parts: { base?: ModelSource; experts?: object[]; fewShot?: readonly object[] }): string {
    const id = `eval.${name}`;
    const { reference, context } = this.#roles;
    const { experts = [], fewShot = [] } = parts;
    const written = {
      id,
      base: parts.base ?? this.#roles.base,
      reference: experts.length > 0 ? reference : null,
      experts,
      fewShot,
      // Examples come on top of what a question and its answer need.
      context: fewShot.length === 0 ? context : { ...context, tokens: 2 * context.tokens },
    };
    const placeOf = (field: readonly PropertyKey[]) => `${id} ${dottedPath(field)}`;
    this.configs.set(id, { ...parseFusionConfig(JSON.stringify(written), id), placeOf });
    return id;
  }

  /** A config for each of the named models. @returns name to the id of its config. */
  makeEach(
    prefix: string,
    named: Record<string, ModelSource>,
    partsOf: (model: ModelSource, name: string) => Parameters<ConfigMaker["make"]>[1],
  ): Map<string, string> {
    return new Map(
      Object.entries(named).map(([name, model]) => [
        name,
        this.make(`${prefix}.${name}`, partsOf(model, name)),
      ]),
    );
  }
}
