"""The tasks: questions and answers in the tuned form, as sets that share no question: `train` and
`stop` for tuning, `calibration` and `validation` for choosing settings, `test` for scores."""

import functools
import json
import random
from dataclasses import asdict, dataclass, field

import settings as s
import text_facts as facts
from text_news import article
from text_numbers import tuned_problem
from world import make_world


@dataclass(frozen=True)
class Item:
    question: str
    answer: str  # what a tuned model is taught to say
    scored: str  # what the scorer compares with
    scorer: str
    choices: tuple = field(default=())

    @property
    def prompt(self):
        """The chat template's text for one question."""
        return f"Question: {self.question}\nAnswer:"


def recall_items(rng, people):
    """Each fact of each person once, in a random wording."""
    wanted = {(person.name, fact) for person in people for fact in range(4)}
    items = []
    for person in people:
        while any((person.name, fact) in wanted for fact in range(4)):
            question, value, _ = facts.person_question(rng, person)
            fact = (person.year, person.job, person.town, person.hobby).index(value)
            if (person.name, fact) in wanted:
                wanted.discard((person.name, fact))
                items.append(Item(question, value, value, "exact"))
    return items


def choice_items(rng, towns):
    """Scored as exact: the option's text alone, not talk that begins with it."""
    items = []
    for town in towns:
        for fact in range(4):
            question, value, _ = facts.town_question(rng, town, fact)
            options = facts.town_options(rng, town, fact)
            items.append(Item(f"{question} ({' / '.join(options)})", value, value, "exact", tuple(options)))
    return items


def problem_item(rng, **form):
    question, answer, total = tuned_problem(rng, **form)
    return Item(question, answer, total, "number")


def headline_item(rng):
    text, _, headline, _ = article(rng)
    return Item(f"Write a headline: {text}", headline, headline, "rouge2")


def unseen_items(rng, words):
    items = []
    for word in words:
        question, value, _ = facts.word_question(rng, word)
        items.append(Item(question, value, value, "exact"))
    return items


def distinct(make, rng, count, taken):
    items = []
    while len(items) < count:
        item = make(rng)
        if item.question not in taken:
            taken.add(item.question)
            items.append(item)
    return items


def generated(task, make):
    taken, sets = set(), {}
    for name, count in s.GENERATED_ITEMS.items():
        sets[name] = distinct(make, random.Random(f"{s.SEED} {task} {name}"), count, taken)
    return sets


def several(make, rng, entities, count):
    """Items without repetition, in as many rounds of wordings as `count` needs."""
    items, taken = [], set()
    while len(items) < count:
        fresh = {item.question: item for item in make(rng, entities) if item.question not in taken}
        taken.update(fresh)
        items.extend(fresh.values())
    return rng.sample(items, count)


def looked_up(task, make, entities):
    """Entities of one set are in no other; only `stop` and `calibration` share theirs."""
    rng = random.Random(f"{s.SEED} {task}")
    cut = len(entities["tuned"]) * 5 // 6
    trained, stopping = entities["tuned"][:cut], entities["tuned"][cut:]
    return {
        "train": [item for _ in range(3) for item in make(rng, trained)],
        "stop": make(rng, stopping),
        "calibration": several(make, rng, stopping, s.CALIBRATION_ITEMS),
        "validation": several(make, rng, entities["spare"], s.VALIDATION_ITEMS),
        "test": rng.sample(make(rng, entities["tested"]), s.TEST_ITEMS),
    }


def unseen_sets(words):
    """No model is tuned on it: what must be shown with its answer comes from the `asked` words."""
    rng = random.Random(f"{s.SEED} unseen")
    return {
        "shown": several(unseen_items, rng, words["asked"][:8], 8),
        "calibration": several(unseen_items, rng, words["asked"][8:], s.CALIBRATION_ITEMS),
        "validation": several(unseen_items, rng, words["spare"], s.VALIDATION_ITEMS),
        "test": unseen_items(rng, words["tested"])[: s.TEST_ITEMS],
    }


def make_tasks():
    world = make_world()
    return {
        "recall": looked_up("recall", recall_items, world.people),
        "problems": generated("problems", problem_item),
        "headline": generated("headline", headline_item),
        "choice": looked_up("choice", choice_items, world.towns),
        "unseen": unseen_sets(world.words),
    }


def sample_texts():
    """Tuned-form text for the vocabulary: its words and marks become tokens too. Of the problems
    short ones of any sort, so that gains are as frequent as losses."""
    samples = {name: sets["train"][:300] for name, sets in make_tasks().items() if name in s.SEEN}
    short = functools.partial(problem_item, count=2, hard=0)
    samples["problems"] = generated("problems", short)["train"][:300]
    return [item.prompt + " " + item.answer for name in s.SEEN for item in samples[name]]


def as_line(item, whole=False):
    """One line of a task file; `whole`: the answer in the tuned form, with its working."""
    answer = item.answer if whole else item.scored
    line = {"messages": [{"role": "user", "content": item.question}], "answers": [answer], "scorer": item.scorer}
    if item.choices:
        line["choices"] = list(item.choices)
    return json.dumps(line, ensure_ascii=False)


def read_items(name):
    """The items of a file of the task folder; `NAME-calibration` holds answers in the tuned form."""
    for line in map(json.loads, (s.TASKS / f"{name}.jsonl").read_text().splitlines()):
        answer, choices = line["answers"][0], tuple(line.get("choices", ()))
        yield Item(line["messages"][0]["content"], answer, answer, line["scorer"], choices)


def write_lines(path, lines):
    path.write_text("".join(line + "\n" for line in lines))


def write_tasks(tasks):
    """A task's files: test, worked examples for prompts, calibration, validation; the sets that
    models are trained on stay in the work folder."""
    s.TASKS.mkdir(parents=True, exist_ok=True)
    for name, sets in tasks.items():
        shown = sets.get("shown") or several(lambda *_: sets["train"], random.Random(f"{s.SEED} shown {name}"), (), 8)
        files = {"": (sets.get("test"), False), "-examples": (shown, True),
                 "-calibration": (sets["calibration"], True), "-validation": (sets.get("validation"), False)}
        for ending, (items, whole) in files.items():
            if items and (ending != "-examples" or "test" in sets):
                write_lines(s.TASKS / f"{name}{ending}.jsonl", (as_line(item, whole) for item in items))
        for part in ("train", "stop"):
            if part in sets:
                write_lines(s.WORK / f"{name}-{part}.jsonl", (json.dumps(asdict(item)) for item in sets[part]))
