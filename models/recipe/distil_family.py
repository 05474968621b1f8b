"""Closes the loop on the family: a base tuned on labels that nobody wrote, in the tables of the others.

    distil_family.py [TASK ...]     default: recall problems; needs `npm run build`

The 400 test prompts of a task are halved. Labels are made for one half, and the base that is tuned on them is tested on
the other; both ways, so that each item is answered by a model that has not seen it. What is there already in
work/distil is used again.
"""

import json
import random
import subprocess
import sys

import settings as s

ROOT = s.MODELS.parent
FOLDER = s.WORK / "distil"
STEPS = {"recall": 60, "problems": 80}
# name: law, share that is kept, loss
WAYS = {
    "expert's answers": ("expert", 1, "hard"),
    "expert's answers, surest half": ("expert", 0.5, "hard"),
    "expert's answers, auxiliary confidence": ("expert", 1, "confidence"),
    "fused answers": ("fused", 1, "hard"),
    "fused answers, distributions": ("fused", 1, "soft"),
}
RESAMPLES = 2000


def run(*command):
    subprocess.run([str(part) for part in command], check=True, cwd=ROOT)


def shoulders(*arguments):
    run("node", "dist/main.js", *arguments)


def halves(task):
    lines = (s.TASKS / f"{task}.jsonl").read_text().splitlines()
    middle = len(lines) // 2
    for name, part in (("a", lines[:middle]), ("b", lines[middle:])):
        (FOLDER / f"{task}-{name}.jsonl").write_text("\n".join(part) + "\n")


def labelled(task, half, law, share):
    other = "b" if half == "a" else "a"
    out = FOLDER / f"{task}-{half}-{law}-{share}.jsonl"
    if not out.exists():
        shoulders("distill", task, "--prompts", FOLDER / f"{task}-{half}.jsonl", "--out", out, "--trust", share,
                  "--law", law if law == "fused" else f"{law}:{task}", "--test", FOLDER / f"{task}-{other}.jsonl")
    return out


def tuned(task, half, index, way):
    law, share, loss = way
    model = FOLDER / f"{task}-{half}-{index}.gguf"
    labels = labelled(task, half, law, share)
    if not model.exists():
        run(sys.executable, s.HERE / "distil.py", labels, s.FAMILY / "giant.gguf", model,
            "--loss", loss, "--steps", STEPS.get(task, 80))
    return model


def tested(task, half, models):
    """Scores by model, of the other half's items in their order."""
    files = models | {"tuned": s.FAMILY / f"giant-{task}.gguf", "expert": s.FAMILY / f"dwarf-{task}.gguf"}
    configs = FOLDER / f"configs-{task}-{half}"
    configs.mkdir(exist_ok=True)
    for name, path in files.items():
        config = {"id": name, "base": str(path), "experts": [], "context": {"tokens": 512, "sequences": 8},
                  "sampling": {"temperature": 0}}
        (configs / f"{name}.json").write_text(json.dumps(config))
    other, out = "b" if half == "a" else "a", FOLDER / f"eval-{task}-{half}"
    shoulders("eval", "--tasks", FOLDER / f"{task}-{other}.jsonl", "--fusion-configs", configs,
              "--fusion", ",".join(files), "--out", out)
    rows = [json.loads(line) for line in (out / "answers.jsonl").read_text().splitlines()]
    return {name: [row["score"] for row in sorted(rows, key=lambda row: row["item"])
                   if row["method"] == f"fusion:{name}"] for name in files}


def interval(values, rng):
    means = sorted(sum(rng.choices(values, k=len(values))) / len(values) for _ in range(RESAMPLES))
    return means[RESAMPLES // 40], means[-RESAMPLES // 40]


def close(task):
    halves(task)
    scores = {}
    for half in "ab":
        models = {f"way-{index}": tuned(task, half, index, way) for index, way in enumerate(WAYS.values())}
        for name, values in tested(task, half, models).items():
            scores.setdefault(name, []).extend(values)
    mean = {name: sum(values) / len(values) for name, values in scores.items()}
    weak, ceiling, rng = mean["expert"], mean["tuned"], random.Random(s.SEED)
    recovered = lambda score: (score - weak) / (ceiling - weak)  # noqa: E731
    print(f"\n{task}, {len(scores['expert'])} items: the expert alone {weak:.3f}, the base tuned on what is right {ceiling:.3f}")
    print("| the base tuned on | score | gap recovered | 95 % |\n| --- | --- | --- | --- |")
    for index, name in enumerate(WAYS):
        low, high = (recovered(end) for end in interval(scores[f"way-{index}"], rng))
        score = mean[f"way-{index}"]
        print(f"| {name} | {score:.3f} | {recovered(score):.2f} | {low:.2f} to {high:.2f} |")


if __name__ == "__main__":
    FOLDER.mkdir(parents=True, exist_ok=True)
    for wanted in sys.argv[1:] or list(STEPS):
        close(wanted)
