/** Grammars of at most 64 KiB that are made to cost far more than their size. */
const most = 64_000;

const points = (from: number, count: number) =>
  Array.from({ length: count }, (_, index) => String.fromCodePoint(from + index)).join("");
const fill = (unit: (index: number) => string) => {
  const parts: string[] = [];
  for (let index = 0, length = 0; ; index++) {
    const part = unit(index);
    length += Buffer.byteLength(part) + 1;
    if (length > most) return parts.join("\n");
    parts.push(part);
  }
};
const scattered = Array.from({ length: 20_000 }, (_, index) => String.fromCodePoint(0x800 + 2 * index)).join(
  "",
);

export const hostileGrammars: Record<string, string> = {
  "adjacent characters left out": `root ::= c{40}\nc ::= [^\\x00-\\x7f${points(0x80, 21_000)}]`,
  "scattered characters": `root ::= c{40}\nc ::= [${scattered}]`,
  "scattered characters left out": `root ::= c*\nc ::= [^${scattered}]`,
  "one range over and over": `root ::= [${"a-z".repeat(20_000)}]*`,
  "nested ranges": `root ::= [${Array.from({ length: 9_000 }, (_, index) => `${String.fromCodePoint(0x800 + index)}-\uffff`).join("")}]*`,
  "many classes at one place":
    `root ::= (${fill((index) => `[^${points(0x4e00 + 7 * index, 8)}] | `)} "x")*`.replaceAll("\n", ""),
  "a class a rule":
    `root ::= r0*\n${fill((index) => `r${index} ::= [^\\x00-\\x7f${points(0x4e00 + index, 4)}] r${index + 1}`)}\nr`
      .replace(/(\d+)\nr$/, "0")
      .replace(/ r0$/, ""),
  "many rules": `root ::= r0\n${fill((index) => `r${index} ::= "a" r${index + 1} | "b"`)}`.replace(
    / r\d+ \| "b"$/,
    "",
  ),
  "repetitions of repetitions": `root ::= ((([^a]{0,30} "b"?){0,30} "c"?){0,30} "d"?){0,6}`,
  "long repetitions": `root ::= ${Array.from({ length: 95 }, () => "[^a]{0,2000}").join(" ")}`,
  "many short repetitions": fill((index) =>
    `${index === 0 ? "root ::=" : ""} [^a]? [b-z]{0,3} (`.replace(" (", ""),
  ).replaceAll("\n", ""),
  "negations of neighbours":
    `root ::= (${fill((index) => `[^${points(0x100 + index, 1)}] .? |`)} "x")*`.replaceAll("\n", ""),
  ambiguous: `root ::= a{0,40}\na ::= (.+ | .+ "x" | [^y]+ | .{2,9}) .* (.* "b")?`,
  "ambiguous and deep": `root ::= s\ns ::= "a" s "b" | "a" s "c" | "a" s "d" | .`,
  "a literal": `root ::= "${"é".repeat(31_000)}"`,
  "many literals": `root ::= ${fill((index) => `"${index}é" |`)} "x"`.replaceAll("\n", ""),
  "any character, many times over": `root ::= ${". ".repeat(30_000)}`,
  "all optional": `root ::= ${".? ".repeat(20_000)}`,
  comments: `root ::= .*\n${fill((index) => `# ${index}`)}`,
};
