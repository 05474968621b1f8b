import { readdirSync } from "node:fs";
import path from "node:path";
import { root } from "../../scripts/generated-docs.js";

/** Pages that people wrote, by their paths in the repository: the README, its sisters, and docs/ but for reports. */
export function pages(): string[] {
  const inFolder = (folder: string) =>
    readdirSync(path.join(root, folder))
      .filter((name) => name.endsWith(".md"))
      .map((name) => path.posix.join(folder, name));
  return [...inFolder("."), ...inFolder("docs"), ...inFolder("docs/decisions")];
}

/** A page without code blocks and comments: blocks of lines, split by blank lines and list items. */
const withoutCode = (markdown: string): string =>
  markdown.replaceAll(/^ *```[^]*?^ *```$/gm, "\n").replaceAll(/<!--[^]*?-->/g, "\n");

/** The running text of a page in paragraphs and list items; inline code counts as one word. */
export function proseOf(markdown: string): string[] {
  return withoutCode(markdown)
    .split(/\n\s*\n|\n(?=\s*(?:[-*]|\d+\.) )/)
    .filter((block) => !/^\s*(#|\||    )/.test(block))
    .map((block) =>
      block
        .replaceAll(/`[^`]+`/g, "code")
        .replaceAll(/!?\[([^\]]*)\]\([^)]*\)/g, "$1")
        .replaceAll(/^\s*(?:[-*]|\d+\.) /gm, "")
        .replaceAll(/\*\*|\b_|_\b/g, "")
        .replaceAll(/\s+/g, " ")
        .trim(),
    )
    .filter((block) => block !== "");
}

/** A sentence ends at a full stop, question or exclamation mark before a space, and where its block ends. */
export function sentencesOf(blocks: readonly string[]): string[] {
  return blocks.flatMap((block) => block.split(/(?<=[.!?]["”)]?) /));
}

/** Relative targets of a page's links and pictures, without anchors. */
export function linksOf(markdown: string): string[] {
  return [...withoutCode(markdown).matchAll(/\]\(([^)\s]+)\)/g)]
    .map(([, target = ""]) => target)
    .filter((target) => !/^[a-z]+:/.test(target));
}

/** What stands in inline code, and the lines of code blocks. */
export function codeOf(markdown: string): { inline: string[]; lines: string[] } {
  const blocks = [...markdown.matchAll(/^ *```[^\n]*\n([^]*?)^ *```$/gm)].map(([, block = ""]) => block);
  const inline = [...withoutCode(markdown).matchAll(/`([^`]+)`/g)].map(([, code = ""]) => code);
  // A command goes on in the next line after a backslash.
  return { inline, lines: blocks.flatMap((block) => block.replaceAll("\\\n", " ").split("\n")) };
}
