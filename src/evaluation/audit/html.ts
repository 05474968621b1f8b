import type { AnswerLine } from "../answers-file.js";
import type { Step } from "../answerer.js";
import { escaped, htmlPage, htmlTable, promptText, titleOf } from "../html.js";
import type { AuditReport, ChangedItem, Conflict, Region } from "./conflict.js";
import { auditDefinitions, auditHead, auditRows, vouchedHead, vouchedRows } from "./markdown.js";

const regionWords: Record<Region, string> = {
  unchecked: "where the expert cannot check",
  checked: "where the expert can check",
  beyond: "beyond what is known",
};

const style = `<style>
.token { border-bottom: 2px solid transparent; white-space: pre-wrap; }
.contested { border-bottom-color: var(--wrong); }
.nobody { border-bottom: 2px dotted; }
</style>`;

function token({ text, vouch, contested, base, logprob }: Step): string {
  const words = [
    `p ${Math.exp(logprob).toFixed(3)}`,
    `own best of: ${vouch}`,
    ...(base === null ? [] : [`the base alone: ${JSON.stringify(base.text)}`]),
    ...(contested === null
      ? []
      : [
          `contested: ${contested.by} alone says ${JSON.stringify(contested.says)}, against ${contested.against}`,
        ]),
  ];
  const kind = [
    "token",
    ...(contested === null ? [] : ["contested"]),
    ...(vouch === "nobody" ? ["nobody"] : []),
  ];
  return `<span class="${kind.join(" ")}" title="${escaped(words.join("; "))}">${escaped(text)}</span>`;
}

function answerOf(name: string, { answer, steps, trace, score }: AnswerLine): string {
  const shown = steps === null ? escaped(answer ?? "") : steps.map(token).join("");
  const link = trace === null ? "" : ` <a href="${escaped(trace)}">trace</a>`;
  return `<section class="${(score ?? 0) >= 0.5 ? "right" : "wrong"}"><h3>${escaped(name)}${link}</h3><pre>${shown}</pre></section>`;
}

function changedDetails(item: ChangedItem, method: string): string {
  const { without } = item;
  return `<details><summary>${item.kind}, ${regionWords[item.region]}: ${without.item + 1}. ${escaped(titleOf(without))}</summary>
<pre class="quiet">${escaped(promptText(without))}</pre><p class="quiet">Right: ${escaped(without.expected.join(" | "))}</p>
<div class="answers">${answerOf("without", without)}${answerOf(method, item.with)}</div></details>`;
}

function section({ task, method, changed, contested }: Conflict): string {
  const order: Region[] = ["unchecked", "checked", "beyond"];
  const inOrder = changed.toSorted(
    (a, b) => b.kind.localeCompare(a.kind) || order.indexOf(a.region) - order.indexOf(b.region),
  );
  const told =
    contested === null
      ? ""
      : `<p>A contested token is in ${contested.lost} of ${contested.ofLost} answers that were lost, and in ${contested.kept} of ${contested.ofKept} that stayed right.</p>`;
  return `<h2>${escaped(`${method}, on ${task}`)}</h2>${told}\n${inOrder.map((item) => changedDetails(item, method)).join("\n")}`;
}

/** A page of its own: the tables, and each item that was lost or gained with both answers. */
export function renderAuditHtml(report: AuditReport): string {
  const { config, objective, conflicts } = report;
  const definitions = auditDefinitions(report).map((line) => `<li>${escaped(line)}</li>`);
  return htmlPage(
    `Audit of ${escaped(config)}: what others cost ${escaped(objective)}`,
    report,
    `${style}${htmlTable(auditHead, auditRows(report))}
<ul>${definitions.join("")}</ul>
<h2>Who stands behind the tokens</h2>
${htmlTable(vouchedHead, vouchedRows(report))}
<p class="quiet">Below, a line under a token says that it was contested, dots that it was nobody's own best; hold the pointer over it.</p>
${conflicts.map(section).join("\n")}`,
  );
}
