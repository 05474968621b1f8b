// @ts-check
/** @import { ConfigBody } from "../../wire/config.js" */

/**
 * One of the strategies that a request to this config may ask for; null: it has none of this type.
 *
 * @param {ConfigBody} config
 * @param {string} type
 */
export const choiceOf = ({ strategy_choices }, type) =>
  strategy_choices.find(({ settings }) => settings.type === type) ?? null;
