/** A custom tool takes a text. The models are told of a function whose one argument is that text. */
export const customInput = "input";

const opening = new RegExp(`^\\s*\\{\\s*"${customInput}"\\s*:\\s*"`);
/** An escape that is whole; where a surrogate is first, with the second. */
const whole = /^(?:[^"\\]|\\u[dD][89abAB]..\\u....|\\u(?![dD][89abAB])....|\\["\\/bfnrt])+/;

/** Reads the text of `{"input": "…"}`, as it comes. */
export class CustomInput {
  #held = "";
  #state: "before" | "within" | "after" = "before";

  /** @param json the next piece @returns what it adds to the text */
  read(json: string): string {
    this.#held += json;
    if (this.#state === "before") {
      const found = opening.exec(this.#held);
      if (found === null) return "";
      this.#held = this.#held.slice(found[0].length);
      this.#state = "within";
    }
    if (this.#state === "after") return "";
    const written = whole.exec(this.#held)?.[0] ?? "";
    this.#held = this.#held.slice(written.length);
    if (this.#held.startsWith('"')) this.#state = "after";
    return JSON.parse(`"${written}"`) as string;
  }
}
