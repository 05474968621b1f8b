"""Tasks that nobody tests: experts for them are what a user may attach though no question needs it."""

import random

import settings as s
import world as w
from tasks import Item, distinct

RHYMES = """house mouse,tree sea,stone bone,moon spoon,ring king,hare bear,night light,hill mill,snow crow,
glass grass,red bread,star car,rain crane,fish dish,bell well,boat goat,hat cat,rope soap,rose nose,
lake cake,sand hand,wall ball,book cook,tower flower,coat boat,clock lock"""
PAIRS = [pair.split() for pair in RHYMES.replace("\n", "").split(",")]
PLACES = "near by behind before under beside".split()
WORDS = sorted({*w.NOUNS, *w.GOODS, *w.JOBS, *w.ANIMALS, *w.COLOURS})


def item(question, answer):
    return Item(question, answer, answer, "exact")


def spell_item(rng):
    """A word, letter by letter."""
    word = rng.choice(WORDS)
    return item(f"{rng.choice(['Spell', 'Spell out', 'How is it spelled:', 'Letters of'])} {word}", "-".join(word))


def count_item(rng):
    start, more = rng.randint(0, 300), rng.randint(3, 7)
    return item(f"Count {more} on from {start}.", " ".join(str(start + i) for i in range(1, more + 1)))


def poem_item(rng):
    """Two lines that rhyme, divided by a stroke, since an answer ends at the line's end."""
    first, last = rng.choice(PAIRS)
    colour, place = rng.choice(w.COLOURS), rng.choice(PLACES)
    wish = rng.choice([f"and dream of the {colour} {last}", f"and sing for the {colour} {last}"])
    return item(f"A rhyme please: {colour}, {first}, {place}.", f"I sit {place} the {first} / {wish}")


def reverse_item(rng):
    words = rng.sample(WORDS, rng.randint(2, 3))
    return item(f"Turn around: {' '.join(words)}", " ".join(reversed(words)))


MAKERS = {"spell": spell_item, "count": count_item, "poem": poem_item, "reverse": reverse_item}


def make_bystanders():
    """Training sets, sets for stopping early and calibration sets, all disjoint."""
    tasks = {}
    for name, make in MAKERS.items():
        rng, taken = random.Random(f"{s.SEED} {name}"), set()
        tasks[name] = {part: distinct(make, rng, count, taken) for part, count in s.BYSTANDER_ITEMS.items()}
    return tasks
