import { mkdirSync, readFileSync, writeFileSync } from "node:fs";
import path from "node:path";
import { createRandom, shuffled } from "../src/evaluation/random.js";
import { root } from "./generated-docs.js";

/**
 * Articles to debate about: models/debate/articles.jsonl and planted.jsonl, made of the headline task's test items.
 * Each asks for the true headline or one with another number. In `planted` the document has eight sentences more, of
 * eight other articles, to which the false number belongs.
 */

const numArticles = 300;
const question = "Write a headline:";

interface Article {
  sentences: string[];
  headline: string;
}

function articles(): Article[] {
  const lines = readFileSync(path.join(root, "models/tasks/headline.jsonl"), "utf8").trim().split("\n");
  return lines
    .map((line) => {
      const item = JSON.parse(line) as { messages: { content: string }[]; answers: string[] };
      const text = item.messages[0]?.content.slice(question.length) ?? "";
      return {
        sentences: text.match(/[^.]+\./g)?.map((part) => part.trim()) ?? [],
        headline: item.answers[0] ?? "",
      };
    })
    .filter(({ sentences }) => sentences.length === 4)
    .slice(0, numArticles);
}

/** Another number of the task's, from 3 to 99. */
function falseNumber(headline: string, random: () => number): string {
  for (;;) {
    const number = String(3 + Math.floor(random() * 97));
    if (!headline.includes(number)) return number;
  }
}

/** Of an article, the sentence that holds its number. */
const numberSentence = ({ sentences }: Article): string =>
  sentences.find((sentence) => /\d/.test(sentence)) ?? "";

const all = articles();
const random = createRandom(20);
const lines = all.map(({ sentences, headline }, index) => {
  const lie = falseNumber(headline, random);
  const choices = shuffled([headline, headline.replace(/\d+/, lie)], random);
  const planted = shuffled(
    all.filter((_, other) => other !== index),
    random,
  )
    .map((other) => numberSentence(other).replace(/\d+/, lie))
    .filter((sentence, place, known) => known.indexOf(sentence) === place)
    .slice(0, 8);
  const item = { messages: [{ role: "user", content: question }], choices, answers: [headline] };
  return {
    plain: { ...item, document: sentences.join(" ") },
    planted: { ...item, document: shuffled([...sentences, ...planted], random).join(" ") },
  };
});

const folder = path.join(root, "models/debate");
mkdirSync(folder, { recursive: true });
for (const [name, key] of [
  ["articles", "plain"],
  ["planted", "planted"],
] as const)
  writeFileSync(
    path.join(folder, `${name}.jsonl`),
    lines.map((line) => `${JSON.stringify(line[key])}\n`).join(""),
  );
