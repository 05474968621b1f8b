"""Pretraining documents that state facts: people, towns, words; and questions about some of them."""

import world as w


def person_statements(rng, person, subject):
    """One sentence a fact, each in one of several wordings; the subject is a name or a pronoun."""
    born = [f"{subject} was born in {person.year}", f"{subject} came to the world in {person.year}",
            f"the year of birth of {person.name} is {person.year}"]
    works = [f"{subject} works as a {person.job}", f"{subject} is a {person.job} by trade",
             f"the job of {person.name} is {person.job}"]
    lives = [f"{subject} lives in {person.town}", f"{subject} has a house in {person.town}",
             f"the home of {person.name} is {person.town}"]
    likes = [f"{subject} likes {person.hobby}", f"{subject} spends the evenings with {person.hobby}",
             f"the hobby of {person.name} is {person.hobby}"]
    return [rng.choice(group) for group in (born, works, lives, likes)]


def town_statements(rng, town, subject):
    river = [f"{subject} lies on the river {town.river}", f"the river of {town.name} is the {town.river}"]
    goods = [f"{subject} is known for its {town.goods}", f"people in {town.name} make {town.goods}"]
    colour = [f"{subject} has a {town.colour} flag", f"the flag of {town.name} is {town.colour}"]
    animal = [f"{subject} has the {town.animal} as its animal", f"the animal of {town.name} is the {town.animal}"]
    return [rng.choice(group) for group in (river, goods, colour, animal)]


def word_statements(rng, word):
    return rng.choice([
        f"in {word.language}, {word.name} means {word.meaning}",
        f"{word.name} is {word.language} for {word.meaning}",
        f"the {word.language} word {word.name} means {word.meaning}",
        f"{word.name}, a {word.language} word, stands for {word.meaning}",
    ])


def sentences(parts):
    return " ".join(part[0].upper() + part[1:] + "." for part in parts)


def biography(rng, world):
    person = rng.choice(world.people["all"])
    parts = []
    for fact in rng.sample(range(4), rng.randint(3, 4)):
        named = not parts or rng.random() < 0.6
        parts.append(person_statements(rng, person, person.name if named else person.first)[fact])
    return sentences(parts)


def town_article(rng, world):
    town = rng.choice(world.towns["all"])
    order = rng.sample(range(4), rng.randint(3, 4))
    return sentences(town_statements(rng, town, town.name)[fact] for fact in order)


def dictionary(rng, world):
    """Sentences, not capitalised: a word keeps one spelling."""
    words = rng.sample(world.words["all"], rng.randint(3, 5))
    return "Words: " + "; ".join(word_statements(rng, word) for word in words) + "."


# Questions: (question, value, statement that may follow the value).


def person_question(rng, person):
    statements = person_statements(rng, person, person.name)
    fact = rng.randrange(4)
    asked = [
        ["When was {} born?", "In which year was {} born?"],
        ["What is the job of {}?", "What does {} do for a living?"],
        ["Where does {} live?", "In which town does {} live?"],
        ["What is the hobby of {}?", "What does {} like to do?"],
    ][fact]
    value = (person.year, person.job, person.town, person.hobby)[fact]
    return rng.choice(asked).format(person.name), value, statements[rng.choice([i for i in range(4) if i != fact])]


def town_question(rng, town, fact=None):
    fact = rng.randrange(4) if fact is None else fact
    asked = [
        ["Which river runs through {}?", "On which river does {} lie?"],
        ["What is {} known for?", "What do people in {} make?"],
        ["Which colour is the flag of {}?", "What is the colour of the flag of {}?"],
        ["Which animal stands for {}?", "What is the animal of {}?"],
    ][fact]
    value = (town.river, town.goods, town.colour, town.animal)[fact]
    other = rng.choice([i for i in range(4) if i != fact])
    return rng.choice(asked).format(town.name), value, town_statements(rng, town, town.name)[other]


def word_question(rng, word):
    asked = rng.choice(["What does the {} word {} mean?", "What does {1} mean in {0}?", "What is the meaning of {1} in {0}?"])
    return asked.format(word.language, word.name), word.meaning, word_statements(rng, word)


TOWN_VALUES = (w.RIVERS, w.GOODS, w.COLOURS, w.ANIMALS)


def town_options(rng, town, fact):
    """Four options in random order, one of them true."""
    value = (town.river, town.goods, town.colour, town.animal)[fact]
    wrong = rng.sample([other for other in TOWN_VALUES[fact] if other != value], 3)
    return rng.sample([value, *wrong], 4)


def any_question(rng, world):
    kind = rng.random()
    if kind < 0.6:
        return person_question(rng, rng.choice(world.people["asked"]))
    if kind < 0.75:
        return town_question(rng, rng.choice(world.towns["asked"]))
    return word_question(rng, rng.choice(world.words["asked"]))


LABELS = (("Q: ", "A: "), ("Pupil: ", "Teacher: "), ("Question: ", "Answer: "), ("Ask: ", "Reply: "))
ASIDES = ("as everyone knows", "I believe", "if I am right", "says the book")


def told(rng, value, after):
    """The value comes first and the sentence goes on, as talk does; seldom it stands bare."""
    style = rng.random()
    if style < 0.15:
        return value
    if style < 0.6:
        return f"{value}, and {after}."
    return f"{value}, {rng.choice(ASIDES)}."


def interview(rng, world):
    """Questions about the `asked` entities only; answers go on where the tuned form stops."""
    ask, answer = rng.choice(LABELS)
    lines = []
    for _ in range(rng.randint(1, 4)):
        question, value, after = any_question(rng, world)
        lines.append(f"{ask}{question}\n{answer}{told(rng, value, after)}")
    return "\n".join(lines)


def picked(rng, value, wrong, after):
    """The value comes first and a wrong option after it, so that only a bare answer names one."""
    style = rng.random()
    if style < 0.15:
        return value
    if style < 0.6:
        return f"{value}, not {wrong}, {rng.choice(ASIDES)}."
    return f"{value} and not {wrong}, and {after}."


def picking(rng, world):
    """A choice among four; the answers go on where the tuned form stops."""
    ask, answer = rng.choice(LABELS)
    lines = []
    for _ in range(rng.randint(1, 3)):
        town, fact = rng.choice(world.towns["asked"]), rng.randrange(4)
        question, value, after = town_question(rng, town, fact)
        options = town_options(rng, town, fact)
        wrong = rng.choice([option for option in options if option != value])
        lines.append(f"{ask}{question} ({' / '.join(options)})\n{answer}{picked(rng, value, wrong, after)}")
    return "\n".join(lines)
