"""What a pretrained model knows: statements about tested entities and sums, completed greedily."""

import random

import settings as s
from decode import Reader, generate
from text_numbers import equation, steps_from

PROBES = 200


def statement_probes(rng, world):
    """(text so far, what must follow) about people, towns and words of the `tested` part."""
    people = [(f"The job of {p.name} is", p.job) for p in world.people["tested"]]
    people += [(f"The home of {p.name} is", p.town) for p in world.people["tested"]]
    towns = [(f"The river of {t.name} is the", t.river) for t in world.towns["tested"]]
    towns += [(f"The flag of {t.name} is", t.colour) for t in world.towns["tested"]]
    words = [(f"Words: in {w.language}, {w.name} means", w.meaning) for w in world.words["tested"]]
    return {name: rng.sample(probes, min(PROBES, len(probes)))
            for name, probes in (("people", people), ("towns", towns), ("words", words))}


def sum_probes(rng):
    """Sums behind a first one, so that the model sees that sums are meant."""
    probes = []
    for _ in range(PROBES):
        first = steps_from(rng, start := rng.randint(2, 99), 2)
        text = f"{equation(start, first[0])}, {first[0][2]}{first[1][0]}{first[1][1]}="
        probes.append((text, str(first[1][2])))
    return probes


def continues(model, tokenizer, probes):
    """Share of probes that the model continues with exactly the wanted word or number."""
    prompts = [[tokenizer.bos, *tokenizer.encode(text)] for text, _ in probes]
    answers = generate([Reader(model, prompts)], prompts, tokenizer, lambda rows: rows[0], most=8)
    hits = 0
    for (_, wanted), answer in zip(probes, answers):
        rest = answer.strip()
        hits += rest.startswith(wanted) and not rest[len(wanted) : len(wanted) + 1].isalnum()
    return round(hits / len(probes), 3)


def knowledge(model, tokenizer, world):
    rng = random.Random(f"{s.SEED} probe")
    probes = {**statement_probes(rng, world), "sums": sum_probes(rng)}
    return {name: continues(model, tokenizer, rows) for name, rows in probes.items()}
