"""Several experts attached at once: every rule competes on the shipped family. Settings are chosen on the
validation sets with four experts, then every rule answers the test sets once, with four and with eight.

`several.py [VALIDATION ITEMS] [TEST ITEMS]` writes docs/several-experts/rules.json. Scores of what has been
answered are kept in work/several/ and found again: delete that folder after a change of a rule."""

import json
import multiprocessing
import platform
import sys
import time
from datetime import datetime, timezone

import numpy as np
import torch

import settings as s
from attached import Bench, Prompts, dwarf
from competitors import COMPETITORS, Attached
from decode import answer_alone, answer_together
from rules import Mixture
from score import SCORERS
from tasks import read_items

TASKS = (*s.SEEN, s.UNSEEN)
EVERY = (*s.SEEN, *s.BYSTANDERS)
CHUNK = {"-validation": 40, "": 80}  # items that are answered together
PROCESSES = 2
RESAMPLES = 2000
KEPT = s.WORK / "several"
REPORT = s.MODELS.parent / "docs/several-experts/rules.json"
DEFAULT = "mixture, card"  # the engine's
ANCHORS = {
    "giant": "the base alone", "right expert": "the task's expert alone", "tuned giant": "the base tuned for the task: the ceiling",
    "right expert, fused": "all shares pinned to the task's expert, its component that of the engine's card; the unseen task has none: the base",
}


def key(name, setting, count=len(s.SEEN)):
    return name + (f" {json.dumps(setting, ensure_ascii=False)}" if setting else "") + ("+bystanders" if count > len(s.SEEN) else "")

contest = None


class Contest:
    """The models in memory, and what is the same for all items."""

    def __init__(self):
        self.bench = Bench(["giant", "dwarf", *map(dwarf, EVERY), *(f"giant-{name}" for name in (*s.SEEN, "all"))])
        self.prompts = {len(names): Prompts(self.bench, names) for names in (s.SEEN, EVERY)}
        self.own = [self.bench.best_component(name) for name in EVERY]
        self.cards = {count: list(prompts.card.components()) for count, prompts in self.prompts.items()}

    def anchors(self, task):
        """Giant, right expert, and it fused: rules over the rows of all models."""
        if task == s.UNSEEN:
            return dict.fromkeys(("giant", "right expert, fused"), lambda base, *_: base)
        k = s.SEEN.index(task)
        fused = lambda base, reference, *experts: self.cards[4][k].law(base, reference, experts[k])  # noqa: E731
        return {"giant": lambda base, *_: base, "right expert": lambda _, __, *experts: experts[k], "right expert, fused": fused}

    def rules(self, task, items, wanted):
        """{key: rule} of `wanted` (name, setting, number of experts) and the anchors."""
        at = {count: Attached(count, prompts.shares(items), self.own[:count], self.cards[count])
              for count, prompts in self.prompts.items() if any(count == one[2] for one in wanted)}
        table = self.anchors(task)
        for name, setting, count in wanted:
            rule = COMPETITORS[name].make(at[count], **setting)
            table[key(name, setting, count)] = with_first(rule, count)
        return table

    def scores(self, part, task, first, last, wanted):
        """{key: scores of the items [first, last)}"""
        items = list(read_items(f"{task}{part}"))[first:last]
        experts = EVERY if any(count == len(EVERY) for *_, count in wanted) else s.SEEN
        models = [self.bench.models[name] for name in ("giant", "dwarf", *map(dwarf, experts))]
        answers = answer_together(models, items, self.bench.tokenizer, self.rules(task, items, wanted))
        ceiling = "giant-all" if task == s.UNSEEN else f"giant-{task}"
        answers["tuned giant"] = answer_alone(self.bench.models[ceiling], items, self.bench.tokenizer)
        return {name: [round(SCORERS[item.scorer](answer, item.scored), 6) for item, answer in zip(items, told)]
                for name, told in answers.items()}


def with_first(rule, count):
    """A rule over the rows of the first experts; a mixture names its experts itself."""
    return rule if isinstance(rule, Mixture) else lambda *rows: rule(*rows[: 2 + count])


def answered(job):
    part, task, first, last, wanted = job
    began = time.monotonic()
    scores = contest.scores(part, task, first, last, wanted)
    return {"task": task, "first": first, "last": last, "seconds": round(time.monotonic() - began), "scores": scores}


def answers_of(jobs):
    """The lines of the jobs as they come. The models are read once, before the processes part."""
    global contest
    if jobs:
        contest = contest or Contest()
        with multiprocessing.get_context("fork").Pool(PROCESSES) as pool:
            yield from pool.imap_unordered(answered, jobs)


def run(part, count, wanted):
    """{key: {task: scores}} on the first `count` items, keeping what is answered."""
    kept = KEPT / f"scores{part}.jsonl"
    kept.parent.mkdir(parents=True, exist_ok=True)
    lines = [json.loads(line) for line in kept.read_text().splitlines()] if kept.exists() else []
    jobs = []
    for first in range(0, count, CHUNK[part]):
        for task in TASKS:
            last = min(first + CHUNK[part], count)
            known = {name for line in lines if (line["task"], line["first"], line["last"]) == (task, first, last) for name in line["scores"]}
            missing = [one for one in wanted if key(*one) not in known]
            if missing:
                jobs.append((part, task, first, last, missing))
    for line in answers_of(jobs):
        print(part, line["task"], line["first"], f"{line['seconds']} s", flush=True)
        lines.append(line)
        with kept.open("a") as file:
            file.write(json.dumps(line, ensure_ascii=False) + "\n")
    table = {}
    for line in sorted(lines, key=lambda line: line["first"]):
        if line["last"] <= count:
            for name, scores in line["scores"].items():
                at = table.setdefault(name, {}).setdefault(line["task"], {})
                at |= dict(zip(range(line["first"], line["last"]), scores))
    return {name: {task: np.array([at[i] for i in sorted(at)]) for task, at in tasks.items()} for name, tasks in table.items()}


def recovered(table, name, task):
    """(score - giant) / (tuned giant - giant)"""
    score, floor, ceiling = (table[one][task].mean() for one in (name, "giant", "tuned giant"))
    return (score - floor) / (ceiling - floor)


def mean_recovered(table, name):
    return float(np.mean([recovered(table, name, task) for task in s.SEEN]))


def draws(count, task):
    """Items of the resamples, the same for every method, so that methods are compared on the same items."""
    return np.random.default_rng([s.SEED, TASKS.index(task)]).integers(0, count, (RESAMPLES, count))


def resampled(table, name):
    """The mean gap recovered in each resample."""
    def of(task):
        score, floor, ceiling = (table[one][task][draws(len(table[one][task]), task)].mean(axis=1) for one in (name, "giant", "tuned giant"))
        return (score - floor) / (ceiling - floor)
    return np.mean([of(task) for task in s.SEEN], axis=0)


def interval(means):
    """95 % percentile bootstrap."""
    return [round(float(end), 6) for end in np.quantile(means, (0.025, 0.975))]


def better_alone(table, task):
    return max((table[one][task] for one in ("giant", "right expert") if task in table[one]), key=np.mean)


def figures(table, name, task):
    """As the engine's report has them (src/evaluation/report.ts)."""
    values, harm = table[name][task], table[name][task] - better_alone(table, task)
    drawn = draws(len(values), task)
    (low, high), (harm_low, harm_high) = (interval(one[drawn].mean(axis=1)) for one in (values, harm))
    exact = {"score": values.mean(), "low": low, "high": high, "pgr": recovered(table, name, task),
             "harm": harm.mean(), "harmLow": harm_low, "harmHigh": harm_high}
    return {"items": len(values), **{figure: round(float(value), 6) for figure, value in exact.items()}}


def summary(table, name, usual):
    """Over the tasks: the mean gap recovered, that less what the rule `usual` recovers, the task of the worst harm."""
    means = resampled(table, name)
    (low, high), above = interval(means), interval(means - resampled(table, usual)) if usual else (None, None)
    over = round(mean_recovered(table, name) - mean_recovered(table, usual), 6) if usual else None
    harm = {task: (values - better_alone(table, task)).mean() for task, values in table[name].items()}
    return {"pgr": round(mean_recovered(table, name), 6), "pgrLow": low, "pgrHigh": high, "overDefault": over,
            "overDefaultLow": above[0], "overDefaultHigh": above[1], "worst": min(harm, key=harm.get)}


def choose(table, name):
    """The setting of the most gap recovered on the seen tasks; the first of equals."""
    tried = [(setting, round(mean_recovered(table, key(name, setting)), 4)) for setting in COMPETITORS[name].settings()]
    return max(tried, key=lambda one: one[1]), tried


def report(validation, test, chosen):
    """`chosen`: {name: ((setting, its gap recovered on validation), all that was tried)}."""
    methods, columns, usual = dict(ANCHORS), {name: name for name in ANCHORS}, dict.fromkeys(ANCHORS)
    for count, ending in ((len(s.SEEN), ""), (len(EVERY), "+bystanders")):
        for name, ((setting, _), _) in chosen.items():
            methods[name + ending] = COMPETITORS[name].says
            columns[name + ending] = key(name, setting, count)
            usual[name + ending] = key(DEFAULT, chosen[DEFAULT][0][0], count)
    tasks = {task: {method: figures(test, column, task) for method, column in columns.items() if task in test[column]}
             for task in TASKS}
    rules = {name: {"settings": setting, "validation": best, "tried": [{"settings": one, "validation": value} for one, value in tried]}
             for name, ((setting, best), tried) in chosen.items()}
    return {"hardware": f"{multiprocessing.cpu_count()} cores, {platform.machine()}; PyTorch {torch.__version__.split('a')[0]}",
            "date": datetime.now(timezone.utc).isoformat(timespec="seconds").replace("+00:00", "Z"),
            "command": "models/recipe/several.py " + " ".join(map(str, sizes())),
            "items": {"validation": len(validation["giant"][TASKS[0]]), "test": len(test["giant"][TASKS[0]])},
            "default": DEFAULT, "methods": methods, "rules": rules,
            "summary": {method: summary(test, column, usual[method]) for method, column in columns.items()}, "tasks": tasks}


def sizes():
    return [int(size) for size in sys.argv[1:3]] or [s.VALIDATION_ITEMS, s.TEST_ITEMS]


def main():
    torch.set_num_threads(1)
    torch.set_grad_enabled(False)
    few, every = len(s.SEEN), len(EVERY)
    validation = run("-validation", sizes()[0], [(name, setting, few) for name, one in COMPETITORS.items() for setting in one.settings()])
    chosen = {name: choose(validation, name) for name in COMPETITORS}
    test = run("", sizes()[1], [(name, chosen[name][0][0], count) for count in (few, every) for name in COMPETITORS])
    REPORT.write_text(json.dumps(report(validation, test, chosen), indent=2, ensure_ascii=False) + "\n")


if __name__ == "__main__":
    main()
