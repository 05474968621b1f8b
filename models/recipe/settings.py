"""Every number of the recipe: seeds, sizes, steps and the folders."""

import os
from dataclasses import dataclass
from pathlib import Path

HERE = Path(__file__).resolve().parent
MODELS = HERE.parent
TINY = os.environ.get("RECIPE_SCALE") == "tiny"

# The tiny scale runs the same program in a minute and writes nothing outside its work folder.
WORK = HERE / ("work-tiny" if TINY else "work")
FAMILY = WORK / "family" if TINY else MODELS / "family"
TASKS = WORK / "tasks" if TINY else MODELS / "tasks"
EXPECTED = WORK / "expected" if TINY else HERE / "expected"

SEED = 20240615
VOCABULARY = 1152
TEST_ITEMS = 40 if TINY else 400
EXPECTED_ITEMS = 8 if TINY else 100
VALIDATION_ITEMS, CALIBRATION_ITEMS = 120, 64
# Items of the tasks that are generated without end, and of those that only bystanders are tuned on.
GENERATED_ITEMS = {"train": 3000, "stop": 80, "calibration": CALIBRATION_ITEMS,
                   "validation": VALIDATION_ITEMS, "test": TEST_ITEMS}
BYSTANDER_ITEMS = {"train": 500, "stop": 48, "calibration": CALIBRATION_ITEMS}
CONTEXT = 512


@dataclass(frozen=True)
class Shape:
    width: int
    layers: int
    heads: int
    hidden: int


@dataclass(frozen=True)
class Pretraining:
    steps: int
    tokens: int  # a step
    window: int
    long_from: float  # share of the steps after which windows have CONTEXT tokens
    muon_rate: float
    adam_rate: float
    warmup: int
    decay: float  # share of the steps over which the rates fall to nothing
    again: int = 0  # steps of a second round, whose rates start lower and fall at once
    again_share: float = 0.6

    @property
    def total(self):
        return self.steps + self.again


@dataclass(frozen=True)
class Tuning:
    steps: int  # at most
    batch: int  # examples a step
    rate: float
    patience: int  # checks without a better validation loss before it stops


GIANT = Shape(width=192, layers=6, heads=3, hidden=512)
DWARF = Shape(width=64, layers=3, heads=2, hidden=96)

PRETRAIN = {
    "giant": Pretraining(1000, 4096, 128, 0.95, 0.02, 0.004, 60, 0.35, again=450),
    "dwarf": Pretraining(3600, 2048, 128, 0.95, 0.02, 0.006, 60, 0.35),
}
NAMES = ("recall", "problems", "headline", "choice", "all")
TO_THE_END = 10**9  # patience that no run uses up
# Experts: rates and steps chosen on the validation sets.
GENTLE = {
    "recall": Tuning(steps=40, batch=32, rate=1.5e-4, patience=TO_THE_END),
    "problems": Tuning(steps=200, batch=32, rate=6e-4, patience=TO_THE_END),
    "headline": Tuning(steps=70, batch=32, rate=1.5e-4, patience=TO_THE_END),
    "choice": Tuning(steps=60, batch=32, rate=1.5e-4, patience=TO_THE_END),
    "all": Tuning(steps=80, batch=32, rate=6e-4, patience=TO_THE_END),
}
CEILING = {
    "recall": Tuning(steps=200, batch=32, rate=4e-4, patience=3),
    "problems": Tuning(steps=160, batch=16, rate=4e-4, patience=3),
    "headline": Tuning(steps=100, batch=16, rate=4e-4, patience=3),
    "choice": Tuning(steps=160, batch=32, rate=1e-4, patience=3),
    "all": Tuning(steps=240, batch=24, rate=4e-4, patience=3),
}
BYSTANDER = Tuning(steps=100, batch=32, rate=6e-4, patience=TO_THE_END)
HARD_TASK = "problems"
HARD = Tuning(steps=300, batch=32, rate=1.5e-2, patience=TO_THE_END)

if TINY:
    GIANT = Shape(64, 2, 2, 160)
    DWARF = Shape(32, 1, 1, 96)
    PRETRAIN = {name: Pretraining(30, 1024, 64, 0.9, 0.02, 0.004, 5, 0.5) for name in PRETRAIN}
    GENTLE = CEILING = dict.fromkeys(NAMES, Tuning(20, 16, 1e-3, 3))
    BYSTANDER = Tuning(10, 16, 1e-3, TO_THE_END)
    HARD = Tuning(40, 16, 4e-3, TO_THE_END)

SHAPES = {"giant": GIANT, "dwarf": DWARF}
SEEN = ("recall", "problems", "headline", "choice")
UNSEEN = "unseen"
BYSTANDERS = ("spell", "count", "poem", "reverse")
MERGE_STRENGTHS = (0.3, 0.5)
