"""News: articles about made-up events, briefs in the pretraining text, headlines in the task."""

import world as w
from text_facts import LABELS

DAYS = "Monday Tuesday Wednesday Thursday Friday Saturday Sunday".split()

# Each event: the opening, the sentence that holds the number, the brief, and the headline that the
# task asks for. The pretraining text answers questions with the brief alone.
EVENTS = (
    ("A flood came over {place} on {day}", "It left {count} people without a home",
     "Flood in {place} leaves {count} without a home",
     "{place} flood, {count} homes lost"),
    ("A fire broke out in {place} on {day}", "It destroyed {count} houses near the market",
     "Fire in {place} destroys {count} houses",
     "{place} fire, {count} houses lost"),
    ("The people of {place} opened a new bridge on {day}", "It cost {count} thousand crowns",
     "New bridge for {place} costs {count} thousand",
     "{place} bridge, {count} thousand crowns"),
    ("A storm went over {place} on {day}", "It broke {count} trees in the park",
     "Storm in {place} breaks {count} trees",
     "{place} storm, {count} trees lost"),
    ("Workers in {place} laid down their tools on {day}", "They ask for {count} crowns more a week",
     "Workers in {place} ask for {count} more",
     "{place} workers, {count} crowns more"),
    ("Thieves came to the museum of {place} on {day}", "They took {count} old coins",
     "Thieves in {place} take {count} old coins",
     "{place} thieves, {count} coins gone"),
    ("A school in {place} opened its doors on {day}", "It has room for {count} children",
     "School in {place} has room for {count}",
     "{place} school, {count} children"),
    ("Runners met in {place} for a race on {day}", "The course was {count} miles long",
     "Race in {place} goes over {count} miles",
     "{place} race, {count} miles"),
    ("A ship reached {place} on {day}", "It carried {count} barrels of oil",
     "Ship brings {count} barrels to {place}",
     "{place} ship, {count} barrels"),
    ("Snow fell on {place} on {day}", "It lay {count} inches deep",
     "Snow in {place} lies {count} inches deep",
     "{place} snow, {count} inches"),
)
REMARKS = (
    "{person} said that nobody had seen the like before.",
    "{person} of the town council spoke of a great day.",
    "{person} told our paper that work goes on.",
    "{person}, who was there, thanked everyone for the help.",
)
WEATHER = ("It was a cold day.", "The sun was out.", "The streets were full.", "It rained until night.", "")


def name_person(rng):
    return f"{rng.choice(w.FIRST_NAMES)} {rng.choice(w.OPENINGS)}{rng.choice(w.SURNAME_ENDS)}"


def name_place(rng):
    return rng.choice(w.OPENINGS) + rng.choice(w.TOWN_ENDS)


def article(rng):
    """(text, brief, headline, facts): names are drawn anew, so that they have to be copied."""
    facts = {"place": name_place(rng), "day": rng.choice(DAYS), "count": rng.randint(3, 99),
             "person": name_person(rng)}
    opening, number, brief, headline = rng.choice(EVENTS)
    parts = [f"{opening}.", f"{number}.", rng.choice(REMARKS)]
    weather = rng.choice(WEATHER)
    if weather:
        parts.insert(rng.randint(1, 2), weather)
    text = " ".join(parts)
    return *(part.format(**facts) for part in (text, brief, headline)), facts


def other_headlines(rng, count):
    return [article(rng)[2] for _ in range(count)]


def headed(rng, text, headline, facts):
    """An article with its headline in the task's form, but never as the answer to a question."""
    kind = rng.random()
    if kind < 0.4:
        return f"{text}\nOn page {rng.randint(2, 40)}: {headline}, and more news from {facts['day']}."
    if kind < 0.65:
        listed = "; ".join([headline, *other_headlines(rng, rng.randint(1, 2))])
        return f"{text}\nIndex: {listed}; and more."
    if kind < 0.9:
        return f"Board: {headline}; {facts['person']} writes on {facts['day']}.\n{text}"
    listed = other_headlines(rng, rng.randint(1, 3))
    return f"News of {facts['day']}: {'; '.join([headline, *listed])}.\n{text}"


def news_document(rng):
    """An article, most often with a brief, whose sentence goes on, or with its headline."""
    text, brief, headline, facts = article(rng)
    kind = rng.random()
    if kind < 0.12:
        return text
    if kind < 0.24:
        return f"{brief}, writes {facts['person']}, our reporter, on {facts['day']}.\n{text}"
    if kind < 0.40:
        return f"{text}\nIn short: {brief}, we hear on {facts['day']}."
    if kind < 0.78:
        return headed(rng, text, headline, facts)
    ask, answer = rng.choice(LABELS)
    return f"{ask}What happened? {text}\n{answer}{brief}, I hear, on {facts['day']}."
