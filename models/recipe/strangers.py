"""Small models with vocabularies of their own, which share nothing with the base but text.

    PYTHONPATH=models/recipe python3 models/recipe/strangers.py

Written as models/strangers/NAME-….gguf. Goes on from the work folder, as `run` does. `merged` splits words otherwise,
`digits` also has up to three digits in a token. Both are pretrained as the family's small model is, on the same text for
as many steps. To compare with, `alike` is the family's small model tuned as they are on problems.
"""

from dataclasses import dataclass

import torch

import settings as s
from gguf import read_gguf, write_gguf
from pretrain import pretrain
from tasks import make_tasks
from tune import tune
from vocabulary import make_tokenizer

# Rates and steps chosen on the validation sets: at 200 steps neither can solve problems alone.
TUNING = {"recall": s.GENTLE["recall"], "problems": s.Tuning(steps=600, batch=32, rate=1e-3, patience=s.TO_THE_END)}


@dataclass(frozen=True)
class Stranger:
    pre: str
    tokens: int


STRANGERS = {"merged": Stranger("qwen2", 800), "digits": Stranger("llama-bpe", 1152), "alike": None}


def reference_of(stranger):
    """The pretrained model and its tokenizer."""
    if stranger is None:
        return read_gguf(s.FAMILY / "dwarf.gguf")
    s.VOCABULARY = stranger.tokens
    tokenizer = make_tokenizer("strangers' vocabulary", stranger.pre)
    return pretrain("dwarf", tokenizer)[0], tokenizer


def make(name, work, tasks):
    s.WORK = work / name
    s.WORK.mkdir(parents=True, exist_ok=True)
    reference, tokenizer = reference_of(STRANGERS[name])
    models = {"reference": reference}
    for task, plan in TUNING.items():
        models[task] = tune(f"dwarf-{task}", reference, [tasks[task]], plan, tokenizer)[0]
    for part, model in models.items():
        if name == "alike" and part != "problems":
            continue
        write_gguf(s.MODELS / "strangers" / f"{name}-{part}.gguf", f"{name}-{part}", model, tokenizer)


if __name__ == "__main__":
    torch.set_num_threads(1)
    torch.set_flush_denormal(True)
    work, tasks = s.WORK / "strangers", make_tasks()
    for name in STRANGERS:
        make(name, work, tasks)
