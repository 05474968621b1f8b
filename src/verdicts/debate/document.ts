/** What advocates may say of a document: its sentences, and quotes that are in it. */

const segmenter = new Intl.Segmenter("en", { granularity: "sentence" });

/** The sentences of a text, each once, in their order (Unicode Standard Annex 29); an empty line ends one, too. */
export function sentencesOf(document: string): string[] {
  const sentences = document
    .split(/\n\s*\n/)
    .flatMap((paragraph) => [...segmenter.segment(plain(paragraph))].map(({ segment }) => plain(segment)));
  return [...new Set(sentences.filter((sentence) => sentence !== ""))];
}

/** Something in quotation marks, and whether it is in the document. */
export interface Quote {
  text: string;
  isVerified: boolean;
}

/** Pairs of quotation marks; one that is not closed quotes the rest. */
const quoted = /"([^"]*)(?:"|$)|“([^”]*)(?:”|$)|«([^»]*)(?:»|$)|„([^“”]*)(?:[“”]|$)/g;

/** White space and apostrophes as they are written most often. */
const plain = (text: string): string => text.replaceAll(/\s+/g, " ").replaceAll("’", "'").trim();

/**
 * Looks up what an argument quotes. A quote is verified where the document has its words in their order, not counting
 * white space and marks at its ends.
 *
 * @returns `heard`: the argument without what could not be verified
 */
export function verifyQuotes(argument: string, document: string): { heard: string; quotes: Quote[] } {
  const known = plain(document);
  const quotes: Quote[] = [];
  const left = argument.replaceAll(quoted, (whole: string, ...spans: (string | undefined)[]) => {
    const text = spans.slice(0, 4).find((span) => span !== undefined) ?? "";
    const isVerified = has(known, text);
    quotes.push({ text, isVerified });
    return isVerified ? whole : "";
  });
  const isWhole = quotes.every(({ isVerified }) => isVerified);
  return { heard: isWhole ? argument : left.replaceAll(/[^\S\n]{2,}/g, " ").trim(), quotes };
}

/** Whole words of it, that is. */
function has(document: string, quote: string): boolean {
  const words = plain(quote).replaceAll(/^[\s.,;:!?…]+|[\s.,;:!?…]+$/g, "");
  if (words === "") return false;
  const literal = words.replaceAll(/[\\^$.*+?()[\]{}|]/g, "\\$&");
  return new RegExp(`(?<![\\p{L}\\p{N}])${literal}(?![\\p{L}\\p{N}])`, "u").test(document);
}
