"""Makes the family: world, text, vocabulary, training, files, cards, expected answers.

Every stage goes on from what is already in the work folder. `make.py pretrain tune` runs the
named stages and what they need; without names all run.
"""

import sys

import torch

import settings as s
from bystanders import make_bystanders
from expect import write_expected
from family import Family
from tasks import make_tasks, write_tasks
from vocabulary import make_tokenizer

STAGES = ("pretrain", "tune", "write", "expect")


def main(wanted):
    unknown = [name for name in wanted if name not in STAGES]
    if unknown:
        raise SystemExit(f"Unknown stage {unknown[0]}; there are {', '.join(STAGES)}.")
    wanted = wanted or list(STAGES)
    torch.set_num_threads(1)
    torch.set_flush_denormal(True)
    s.WORK.mkdir(parents=True, exist_ok=True)
    tasks, bystanders = make_tasks(), make_bystanders()
    write_tasks(tasks | bystanders)
    family = Family(make_tokenizer(), tasks, bystanders)
    family.pretrain()
    if wanted == ["pretrain"]:
        return
    family.tune()
    family.merge()
    if "write" in wanted:
        family.write()
    if "expect" in wanted:
        write_expected(family)


if __name__ == "__main__":
    main(sys.argv[1:])
