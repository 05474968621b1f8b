"""Scores of answers: exact match, the number after `####`, ROUGE-2."""

import re
from collections import Counter


def words(text):
    return re.findall(r"[a-z0-9]+", text.lower())


def exact(answer, wanted):
    return float(answer.strip() == wanted.strip())


def number(answer, wanted):
    found = re.search(r"####\s*(-?\d+)", answer)
    return float(found is not None and found.group(1) == wanted)


def rouge2(answer, wanted):
    """F1 of the shared word pairs."""
    pairs = [Counter(zip(row, row[1:])) for row in (words(answer), words(wanted))]
    shared = sum((pairs[0] & pairs[1]).values())
    total = sum(pairs[0].values()) + sum(pairs[1].values())
    return 2 * shared / total if total else 0.0


SCORERS = {"exact": exact, "number": number, "rouge2": rouge2}


def mean_score(items, answers):
    return sum(SCORERS[item.scorer](answer, item.scored) for item, answer in zip(items, answers)) / len(items)
