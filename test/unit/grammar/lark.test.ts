import { describe, expect, it } from "vitest";
import { compileGrammar } from "../../../src/grammar/gbnf.js";
import { GrammarMachine } from "../../../src/grammar/machine.js";
import { GrammarBuilder } from "../../../src/grammar/json/grammar-builder.js";
import { addLark } from "../../../src/grammar/lark/lark-grammar.js";
import { LarkError, UndoneLark } from "../../../src/grammar/lark/lark-reader.js";
import { jsonWriting, plainWriting } from "../../../src/grammar/regular/write-automaton.js";

/** Whether a grammar has a text, written as it is and within JSON. */
function takes(definition: string, text: string): boolean {
  const machineOf = (writing: typeof plainWriting) => {
    const builder = new GrammarBuilder("grammar");
    return new GrammarMachine(compileGrammar(builder.build(addLark(builder, definition, writing))));
  };
  const isTaken = (machine: GrammarMachine, written: string) => {
    const state = machine.follow(machine.start(), Buffer.from(written));
    return state >= 0 && machine.accepts(state);
  };
  const plain = isTaken(machineOf(plainWriting), text);
  expect(isTaken(machineOf(jsonWriting), JSON.stringify(text).slice(1, -1)), "within JSON").toBe(plain);
  return plain;
}

/** As agents send it for patches. */
const patch = `
start: begin_patch hunk+ end_patch
begin_patch: "*** Begin Patch" LF
end_patch: "*** End Patch" LF?

hunk: add_hunk | delete_hunk
  | update_hunk
add_hunk: "*** Add File: " filename LF add_line+
delete_hunk: "*** Delete File: " filename LF
update_hunk: "*** Update File: " filename LF change?
filename: /(.+)/
add_line: "+" /(.*)/ LF -> line
change: (("@@" | "@@ " /(.+)/) LF | ("+" | "-" | " ") /(.*)/ LF)+

%import common.LF
`;
const sums = `
?start: sum // what is asked for
?sum: sum ("+"|"-") product -> add
    | product
?product.2: product "*" atom | atom
!atom: NUMBER | "(" sum ")"
%import common (NUMBER, WS_INLINE)
%ignore WS_INLINE
`;
const words = `
start: (WORD | "\\"" LOWER~2..3 "\\"" | "select"i | A "\\\\" [/[\\w\\-\\"]/])+
A: "a".."c" | /x.y/s
LOWER: /[a-z]/
WORD: "Wort\\n" /\\d+/
`;

it.each<[string, string, string[], string[]]>([
  [
    "a patch",
    patch,
    [
      '*** Begin Patch\n*** Add File: a.ts\n+const a = "é\\n";\n+\n*** End Patch',
      "*** Begin Patch\n*** Delete File: b\n*** Update File: c\n@@ f\n-x\n+y\n*** End Patch\n",
    ],
    ["*** Begin Patch\n*** End Patch", "*** Begin Patch\n*** Add File: a\nno\n*** End Patch", "a patch", ""],
  ],
  ["sums", sums, ["1", "1+2*(3 - 4.5e3) ", " 7"], ["", "1+", "1 2", "(1"]],
  [
    "words",
    words,
    ["Wort\n12", '"ab""abc"', "SeLect", "a\\-", 'x\ny\\"'],
    ["Wort", '"a"', '"abcd"', "d\\-", ""],
  ],
])("%s", (_, definition, good, bad) => {
  for (const text of good) expect(takes(definition, text), text).toBe(true);
  for (const text of bad) expect(takes(definition, text), text).toBe(false);
});

it("grammars of one request cost no more together than one may", () => {
  const builder = new GrammarBuilder("tools");
  const add = () => addLark(builder, "start: /(?:.*a.{12}){8}/", plainWriting);
  let numTried = 0;
  const addAll = () => {
    for (; numTried < 128; numTried++)
      try {
        add();
      } catch (thrown) {
        if (!(thrown instanceof UndoneLark)) throw thrown;
      }
  };
  expect(addAll).toThrow(/take too long to read/);
  expect(numTried).toBeGreaterThan(0);
  expect(numTried).toBeLessThan(10);
});

describe("what it does not read", () => {
  const read = (definition: string) => () => addLark(new GrammarBuilder(""), definition, plainWriting);
  it.each([
    ['rule: "a"', /no rule that is called start/],
    ["start: other", /nothing is called other/],
    ['start: "a', /line 1: .* cannot be read/],
    ['start: "a"\nstart: "b"', /defined twice/],
    ['start: ("a"\n', /line \d: expected \)/],
    ['start: "a"~3..1', /repeats nothing/],
    ["start: X\n%import common.X", /common has no X/],
  ])("%j is no grammar", (definition, message) => {
    expect(read(definition)).toThrow(LarkError);
    expect(read(definition)).toThrow(message);
  });
  it.each([
    "start: a\na: b\nb: a",
    'start: ("a"?)*',
    "start: /(?=a)b/",
    "start: /a/i",
    'start{x}: "a"',
    'start: "a"\n%declare B',
    "start: %json {}",
    "start: A\n%import other.A",
    'start: "a"~2000',
    'start: "ab".."c"',
    `start: a0\n${Array.from({ length: 1000 }, (_, index) => `a${index}: a${index + 1}`).join("\n")}\na1000: "x"`,
  ])("%j is one that nothing is held to", (definition) => expect(read(definition)).toThrow(UndoneLark));
});
