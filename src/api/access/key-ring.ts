import { timingSafeEqual } from "node:crypto";
import { type ApiKey, hashOf } from "../../config/api-keys.js";
import { ShouldersError } from "../../errors.js";

/** Who asks where no keys are set: everyone is one. */
export const anonymous = "anonymous";

/** The keys that open the server. */
export class KeyRing {
  readonly #keys: readonly ApiKey[];

  constructor(keys: readonly ApiKey[]) {
    this.#keys = keys;
  }

  get isEmpty(): boolean {
    return this.#keys.length === 0;
  }

  /**
   * The name of the key that was shown. Every key is compared, whole, so that the time tells nothing.
   * @throws ShouldersError `invalid_api_key`
   */
  nameOf(shown: string | null): string {
    if (this.isEmpty) return anonymous;
    if (shown === null)
      throw new ShouldersError(
        "invalid_api_key",
        "This server asks for a key: send the header 'Authorization: Bearer <key>'.",
      );
    const hash = hashOf(shown);
    let found: string | null = null;
    for (const { name, sha256 } of this.#keys) if (timingSafeEqual(hash, sha256)) found = name;
    if (found !== null) return found;
    throw new ShouldersError(
      "invalid_api_key",
      "The key is not one of this server's; ask its owner for one.",
    );
  }
}
