"""The training program's own scores and fused answers, to compare the engine with."""

import json
import time

import settings as s
from decode import answer_alone, answer_fused
from score import mean_score

SETS = ("none", "joint", "expert")
METHODS = {f"{label}-{kind}": {"weight": weight, "set": kind}
           for label, weight in (("static", 1.0), ("solved", "solved")) for kind in SETS}
UNSEEN_EXPERT = "dwarf-all"


def expert_of(task):
    return UNSEEN_EXPERT if task == s.UNSEEN else f"dwarf-{task}"


def ceiling_of(task):
    return "giant-all" if task == s.UNSEEN else f"giant-{task}"


def single_models(task):
    names = ["giant", "dwarf", expert_of(task), ceiling_of(task), "dwarf-all", "giant-all"]
    return list(dict.fromkeys(names))


def single_scores(family, task):
    """Every model by itself on the whole test set."""
    items = family.tasks[task]["test"]
    return {name: round(mean_score(items, answer_alone(family.models[name], items, family.tokenizer)), 4)
            for name in single_models(task)}


def fused_answers(family, task, methods=METHODS, expert=None):
    """Per method the answers on the first items, the score and the mean weight."""
    items = family.tasks[task]["test"][: s.EXPECTED_ITEMS]
    trio = [family.models[name] for name in ("giant", "dwarf", expert or expert_of(task))]
    table = {}
    for name, method in methods.items():
        answers, weight = answer_fused(trio, items, family.tokenizer, method)
        table[name] = {"answers": answers, "score": round(mean_score(items, answers), 4), "weight": round(weight, 4)}
        print(task, expert or "", name, table[name]["score"], table[name]["weight"], flush=True)
    return table


def write_expected(family):
    """expected/TASK.jsonl: one line an item with the answers of every method; expected/scores.json."""
    s.EXPECTED.mkdir(parents=True, exist_ok=True)
    scores = {}
    for task in family.tasks:
        began = time.monotonic()
        items = family.tasks[task]["test"][: s.EXPECTED_ITEMS]
        table = fused_answers(family, task)
        for name in ("giant", expert_of(task), ceiling_of(task)):
            answers = answer_alone(family.models[name], items, family.tokenizer)
            table[name] = {"answers": answers, "score": round(mean_score(items, answers), 4)}
        lines = [{"index": i, "question": item.question, "wanted": item.scored,
                  "answers": {name: row["answers"][i] for name, row in table.items()}}
                 for i, item in enumerate(items)]
        (s.EXPECTED / f"{task}.jsonl").write_text("".join(json.dumps(line, ensure_ascii=False) + "\n" for line in lines))
        scores[task] = {
            "expert": expert_of(task), "alone": {"items": len(family.tasks[task]["test"]), **single_scores(family, task)},
            "fused": {"items": len(items), **{name: {k: v for k, v in row.items() if k != "answers"} for name, row in table.items()}},
        }
        print(task, scores[task], f"{time.monotonic() - began:.0f} s", flush=True)
    (s.EXPECTED / "scores.json").write_text(json.dumps(scores, indent=2) + "\n")
