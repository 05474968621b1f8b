"""The family's members: which model is tuned from which, on what and how; their files and cards."""

import json
from dataclasses import dataclass

import settings as s
from corpus import documents
from gguf import write_gguf
from pretrain import pretrain
from probe import knowledge
from tasks import sample_texts
from tune import merge, tune
from world import make_world


@dataclass(frozen=True)
class Member:
    name: str
    start: str  # the pretrained model it was tuned from
    tasks: tuple
    plan: s.Tuning


def members():
    """Experts, ceilings, the two models tuned on all tasks, the bad case, and the bystanders."""
    yield from (Member(f"dwarf-{task}", "dwarf", (task,), s.GENTLE[task]) for task in s.SEEN)
    yield Member("dwarf-all", "dwarf", s.SEEN, s.GENTLE["all"])
    yield from (Member(f"giant-{task}", "giant", (task,), s.CEILING[task]) for task in s.SEEN)
    yield Member("giant-all", "giant", s.SEEN, s.CEILING["all"])
    yield Member(f"dwarf-{s.HARD_TASK}-hard", "dwarf", (s.HARD_TASK,), s.HARD)
    yield from (Member(f"dwarf-{task}", "dwarf", (task,), s.BYSTANDER) for task in s.BYSTANDERS)


NASTY = (
    "héllo wörld  \n\n x 12²３٣ don't I'LL 日本語 🎉 a\u00a0b", "tab\t\tx\r\n\r\n y  z",
    "ǅ ʰ Ⅷ ½ x_y __ !!\n\n?", "I'm we've\u2003you're",
)


def write_probes(tokenizer):
    """Texts with their token ids, for check-tokens.mjs."""
    texts = [*NASTY, *sample_texts()[::5], *documents("probe", 300)]
    rows = [[text, tokenizer.encode(text)] for text in texts]
    (s.WORK / "probes.json").write_text(json.dumps(rows))


class Family:
    """Models by name, with the records that their cards are made of."""

    def __init__(self, tokenizer, tasks, bystanders):
        self.tokenizer, self.tasks, self.bystanders = tokenizer, tasks, bystanders
        self.models, self.records = {}, {}

    def pretrain(self):
        for name in ("dwarf", "giant"):
            model, record = pretrain(name, self.tokenizer)
            data = "pretraining text: statements on the whole world, questions on a part of it, sums, news"
            known = knowledge(model, self.tokenizer, make_world())
            self.add(name, model, {"data": data, **record, "knows": known})

    def tune(self):
        for member in members():
            sets = [(self.tasks | self.bystanders)[task] for task in member.tasks]
            model, record = tune(member.name, self.models[member.start], sets, member.plan, self.tokenizer)
            self.add(member.name, model, {"data": list(member.tasks), "tunedFrom": member.start, **record})

    def merge(self):
        experts = [self.models[f"dwarf-{task}"] for task in s.SEEN]
        for strength in s.MERGE_STRENGTHS:
            name = f"dwarf-merged-{str(strength).replace('.', '')}"
            record = {"data": [f"dwarf-{task}" for task in s.SEEN], "tunedFrom": "dwarf", "strength": strength}
            self.add(name, merge(self.models["dwarf"], experts, strength), record)

    def add(self, name, model, record):
        self.models[name], self.records[name] = model.eval(), record

    def write(self):
        """GGUF and card of every member; ceilings in Q8_0, so that the repository stays light."""
        for name, model in self.models.items():
            kind = "q8_0" if name.startswith("giant-") else "f16"
            path = s.FAMILY / f"{name}.gguf"
            written = write_gguf(path, name, model, self.tokenizer, kind)
            card = {"name": name, "file": path.name, "type": kind, **self.records[name],
                    "parameters": model.parameters_count(), "seed": s.SEED, **written}
            cards = s.FAMILY / "cards"
            cards.mkdir(exist_ok=True)
            (cards / f"{name}.json").write_text(json.dumps(card, indent=2) + "\n")
        write_probes(self.tokenizer)
