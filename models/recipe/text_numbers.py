"""Sums and word problems: bare chains, told stories, questions, and the tuned task's own form."""

import world as w
from text_facts import LABELS

THINGS = """stamps coins shells cards books apples pears marbles pencils buttons stones eggs
bottles tickets plates cups candles nails bricks lamps""".split()
GAINS = ("buys {}", "finds {}", "gets {}", "wins {}", "is given {}")
LOSSES = ("gives away {}", "loses {}", "sells {}", "breaks {}", "drops {}")
LIMIT = 99
MUCH = 30  # the task's problems take as much away more than once
OPERANDS = (9, 9, 30, 30, 99)  # the greatest operand: small sums are the most frequent


def operand_for(rng, total):
    """An operand that can be added or taken away."""
    while True:
        operand = rng.randint(2, rng.choice(OPERANDS))
        if operand <= total or total + operand <= LIMIT:
            return operand


def steps_from(rng, total, count):
    """`count` steps (sign, operand, total after) that keep the running total within 0..LIMIT."""
    steps = []
    for _ in range(count):
        operand = operand_for(rng, total)
        can_add, can_take = total + operand <= LIMIT, total >= operand
        sign = "+" if can_add and (not can_take or rng.random() < 0.5) else "-"
        total = total + operand if sign == "+" else total - operand
        steps.append((sign, operand, total))
    return steps


def equation(before, step):
    sign, operand, after = step
    return f"{before}{sign}{operand}={after}"


def worked(start, steps):
    befores = [start, *(step[2] for step in steps)]
    return [equation(before, step) for before, step in zip(befores, steps)]


def chain(rng):
    pieces = []
    for _ in range(rng.randint(1, 3)):
        start = rng.randint(2, 99)
        pieces.append(rng.choice([", ", ". "]).join(worked(start, steps_from(rng, start, rng.randint(2, 6)))))
    return ".\n".join(pieces) + "."


def deed(rng, name, step):
    sign, operand, _ = step
    verb = rng.choice(GAINS if sign == "+" else LOSSES)
    then = rng.choice(["", "", "Then ", "Later "])
    return f"{then}{name} {verb.format(operand)}" + (rng.choice([" more", ""]) if sign == "+" else "")


def takes_much(step):
    """Much is taken away: the sums that a small model is least sure of."""
    sign, operand, _ = step
    return sign == "-" and operand >= MUCH


def plot(rng, count, hard=0):
    """Name, thing, number at the start and steps, of which at least `hard` take much away."""
    while True:
        start = rng.randint(5, 99)
        name, thing, steps = rng.choice(w.FIRST_NAMES), rng.choice(THINGS), steps_from(rng, start, count)
        if sum(map(takes_much, steps)) >= hard:
            return name, thing, start, steps


def story(rng):
    """A story that works each step out as it goes."""
    name, thing, start, steps = plot(rng, rng.randint(2, 4))
    sums = worked(start, steps)
    told = [f"{deed(rng, name, step)}: {done}." for step, done in zip(steps, sums)]
    return f"{name} has {start} {thing}. {' '.join(told)} So {name} has {steps[-1][2]} {thing}."


def problem(rng, count, hard=0):
    """The question, its steps, and the name of what is counted."""
    name, thing, start, steps = plot(rng, count, hard)
    told = [f"{deed(rng, name, step)}." for step in steps]
    question = f"{name} has {start} {thing}. {' '.join(told)} How many {thing} does {name} have?"
    return question, worked(start, steps), steps[-1][2], thing


def asked_problem(rng):
    """A word problem in the pretraining text: another form of answer than the tuned one."""
    ask, answer = rng.choice(LABELS)
    question, sums, total, thing = problem(rng, rng.randint(2, 4))
    return f"{ask}{question}\n{answer}{', '.join(sums)}, so {total} {thing}."


def numbers_document(rng):
    kind = rng.random()
    if kind < 0.6:
        return chain(rng)
    return story(rng) if kind < 0.8 else asked_problem(rng)


def tuned_problem(rng, count=4, hard=2):
    """The task's form: worked steps, then `#### answer`."""
    question, sums, total, _ = problem(rng, count, hard)
    return question, f"{'. '.join(sums)}. #### {total}", str(total)
