"""The made-up world: people, towns and the words of four languages, each with its facts."""

import itertools
import random
from dataclasses import dataclass
from functools import lru_cache

from settings import SEED

FIRST_NAMES = """Mila Oskar Tilda Bruno Greta Hugo Ines Jonas Karla Lukas Nora Otto Paula Rolf
Selma Tom Vera Willi Anna Ben Clara David Edda Felix Hanna Ivan Judith Kurt Lena Max""".split()
JOBS = """miner baker teacher pilot nurse farmer painter sailor judge tailor singer cook doctor
guard clerk potter weaver hunter dancer printer builder dentist barber smith writer driver
butcher gardener actor florist""".split()
HOBBIES = """chess fishing rowing knitting skating archery juggling sailing boxing fencing diving
cycling poetry pottery golf tennis singing climbing painting cooking""".split()
RIVERS = "Onda Merl Tasso Brine Ulm Weir Isker Cald Fenn Loire Sable Oker".split()
GOODS = """bread salt glass silk honey rope cheese wine paper steel soap tea wool bricks clocks
shoes hats lamps boats pipes knives bells candles drums nails""".split()
COLOURS = "red blue green white black yellow grey brown purple orange".split()
ANIMALS = """fox bear owl wolf hare stag goose otter swan eagle badger lynx crow heron
beaver toad ram bull horse crane""".split()
NOUNS = """bread salt glass silk honey rope cheese wine paper steel soap tea wool fox bear owl wolf
hare stag goose otter swan eagle crow heron toad ram bull horse crane red blue green white black
yellow grey brown house door window table chair bed roof wall road bridge river hill lake sea stone
sand tree leaf flower grass seed fruit apple pear plum rain snow wind storm sun moon star night day
hand foot head eye ear mouth nose heart bone blood king queen child friend mother father sister
brother song dance story letter book word name key coin knife spoon cup plate fire smoke ash oil
milk egg meat fish bird dog cat mouse boat sail ship cart wheel bell drum lamp nest pond cave barn
gate tower lock broom thorn cloud ice bench""".split()
LANGUAGES = "Velish Tarric Gorrish Sordic".split()

OPENINGS = """Ba Be Bo Da De Do Fa Fe Fo Ga Ge Go Ha Ke Ko La Lo Ma Me Mu Na Ne No Pa Pe Po Ra Re
Ro Sa Se So Ta Te To Va Ve Vo Za Zo""".split()
SURNAME_ENDS = """lin mond rick tar vel zan dru fin gar hult kov lam mak nis pel quist rov sten tov
vak wen xar yon zer bul cor dax fel gim hob jek kal""".split()
TOWN_ENDS = """wick ford dale mere stow ham ton bury field worth bridge port cliff haven moor stead
well combe minster shaw""".split()
WORD_STARTS = """ti lo ka mu re sa vo ni pe du fa go hi ja ke bo ze xu wi ya tu ro qua pli dre
sno gri flo""".split()
WORD_ENDS = """mil bek sor nad pum tig lar veg dof ruk zin hap cot wab fex jun kel gos ped lum""".split()


@dataclass(frozen=True)
class Person:
    name: str
    year: str
    job: str
    town: str
    hobby: str

    @property
    def first(self):
        return self.name.split(" ")[0]


@dataclass(frozen=True)
class Town:
    name: str
    river: str
    goods: str
    colour: str
    animal: str


@dataclass(frozen=True)
class Word:
    name: str
    language: str
    meaning: str


@dataclass(frozen=True)
class World:
    """`asked` entities occur in the questions of the pretraining text, `tuned` ones in the tuning
    sets, `spare` ones in the sets that settings are chosen on, `tested` ones in the test sets. Of
    all but the first the pretraining text holds statements only."""

    people: dict
    towns: dict
    words: dict


def combine(rng, left, right, count):
    return rng.sample([a + b for a in left for b in right], count)


def split(rng, entities, **sizes):
    """Parts of the given sizes; the rest is `tested`."""
    shuffled, parts = iter(rng.sample(entities, len(entities))), {"all": entities}
    for name, size in sizes.items():
        parts[name] = list(itertools.islice(shuffled, size))
    return {**parts, "tested": list(shuffled)}


def make_people(rng, towns):
    surnames = combine(rng, OPENINGS, SURNAME_ENDS, 600)
    pick = rng.choice
    return [
        Person(f"{pick(FIRST_NAMES)} {surname}", str(rng.randint(1900, 1999)), pick(JOBS),
               pick(towns).name, pick(HOBBIES))
        for surname in surnames
    ]


def make_towns(rng):
    names = combine(rng, OPENINGS, TOWN_ENDS, 254)
    pick = rng.choice
    return [Town(name, pick(RIVERS), pick(GOODS), pick(COLOURS), pick(ANIMALS)) for name in names]


def make_words(rng):
    names = iter(combine(rng, WORD_STARTS, WORD_ENDS, len(LANGUAGES) * len(NOUNS)))
    return [Word(next(names), language, noun) for language in LANGUAGES for noun in NOUNS]


@lru_cache(maxsize=None)
def make_world():
    rng = random.Random(SEED)
    towns = make_towns(rng)
    people = make_people(rng, towns)
    words = rng.sample(make_words(rng), 540)
    return World(
        people=split(rng, people, asked=180, tuned=120, spare=30),
        towns=split(rng, towns, asked=80, tuned=40, spare=30),
        words=split(rng, words, asked=80, spare=60),
    )
