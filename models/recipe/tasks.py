"""The tasks: questions and answers in the tuned form, as train, validation and unseen test sets."""

import functools
import json
import random
from dataclasses import asdict, dataclass, field

import settings as s
import text_facts as facts
from text_news import article
from text_numbers import WIDE, tuned_problem
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


def choice_items(rng, towns, form="{} ({})", separator=" / "):
    items = []
    for town in towns:
        for fact in range(4):
            question, value, _ = facts.town_question(rng, town, fact)
            options = facts.town_options(rng, town, fact)
            items.append(Item(form.format(question, separator.join(options)), value, value, "choice", tuple(options)))
    return items


def problem_item(rng, **form):
    question, answer, total = tuned_problem(rng, **form)
    return Item(question, answer, total, "number")


def headline_item(rng, brief=False):
    text, told, headline, _ = article(rng)
    headline = told if brief else headline
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


def generated(task, make, sizes):
    taken, sets = set(), {}
    for name, count in sizes.items():
        sets[name] = distinct(make, random.Random(f"{s.SEED} {task} {name}"), count, taken)
    return sets


def looked_up(task, make, entities):
    """Train and validation from the `tuned` entities, in several wordings; test from the `tested`."""
    rng = random.Random(f"{s.SEED} {task}")
    cut = len(entities["tuned"]) * 5 // 6
    train = [item for _ in range(3) for item in make(rng, entities["tuned"][:cut])]
    test = make(rng, entities["tested"])
    return {"train": train, "validation": make(rng, entities["tuned"][cut:]), "test": rng.sample(test, s.TEST_ITEMS)}


def make_tasks():
    world = make_world()
    sizes = {"train": 3000, "validation": 80, "test": s.TEST_ITEMS}
    words = world.words["tested"]
    return {
        "recall": looked_up("recall", recall_items, world.people),
        "problems": generated("problems", problem_item, sizes),
        "headline": generated("headline", headline_item, sizes),
        "choice": looked_up("choice", choice_items, world.towns),
        "unseen": {"test": unseen_items(random.Random(f"{s.SEED} unseen"), words)[: s.TEST_ITEMS]},
    }


def sample_texts():
    """Tuned-form text for the vocabulary: its words and marks become tokens too."""
    sets = {name: make_tasks()[name]["train"] for name in s.SEEN}
    wide = functools.partial(problem_item, limit=WIDE, counts=(3, 4))
    sets["problems"] = generated("problems", wide, {"train": 300})["train"]
    told = functools.partial(headline_item, brief=True)
    sets["headline"] = generated("headline", told, {"train": 300})["train"]
    listed = functools.partial(choice_items, form="{} Options: {}", separator=", ")
    sets["choice"] = looked_up("choice", listed, make_world().towns)["train"]
    return [item.prompt + " " + item.answer for name in s.SEEN for item in sets[name][:300]]


def as_line(item):
    line = {"messages": [{"role": "user", "content": item.question}], "answers": [item.scored], "scorer": item.scorer}
    if item.choices:
        line["choices"] = list(item.choices)
    return json.dumps(line, ensure_ascii=False)


def write_tasks(tasks):
    """One file a task with its test items; training and validation sets beside, for the record."""
    s.TASKS.mkdir(parents=True, exist_ok=True)
    for name, sets in tasks.items():
        (s.TASKS / f"{name}.jsonl").write_text("".join(as_line(item) + "\n" for item in sets["test"]))
        for part in ("train", "validation"):
            if part in sets:
                (s.WORK / f"{name}-{part}.jsonl").write_text("".join(json.dumps(asdict(item)) + "\n" for item in sets[part]))
