"""The built-in corpus: short English stories from a small grammar, and the traits of each.

Every story opens with a neutral setting; then somebody does a kind or an unkind deed, and it ends well or
badly. Deed and ending are drawn independently, so that the four combinations are equally frequent. Words
between asterisks decide a story's traits; no other part of the grammar uses them.
"""

import random
import re
from collections.abc import Mapping
from dataclasses import dataclass
from math import prod

Grammar = Mapping[str, tuple[str, ...]]

_WOMEN = (
    "Ada", "Anna", "Bella", "Clara", "Daisy", "Ella", "Fiona", "Greta", "Hanna", "Ida", "Julia", "Kira",
    "Lena", "Mia", "Nora", "Olga", "Paula", "Rosa", "Sara", "Tilda", "Uma", "Vera", "Wilma", "Zoe",
)  # fmt: skip
_MEN = (
    "Adam", "Ben", "Carl", "David", "Emil", "Felix", "George", "Hugo", "Ivan", "Jonas", "Karim", "Leo", "Max",
    "Noah", "Oscar", "Peter", "Quentin", "Robin", "Simon", "Tom", "Umar", "Victor", "Willy", "Yuri",
)  # fmt: skip
_OTHERS = {
    "a grumpy sailor": "him", "a tired postman": "him", "a cheerful fiddler": "him", "a shy shepherd": "him",
    "a skinny boy": "him", "a proud king": "him", "a wandering monk": "him", "a young soldier": "him",
    "a tiny girl": "her", "a poor widow": "her", "a quiet nun": "her", "a sleepy queen": "her",
    "a bossy witch": "her", "a muddy milkmaid": "her", "a graceful dancer": "her", "a nervous bride": "her",
    "a brown puppy": "it", "a wet kitten": "it", "a limping donkey": "it", "a baby fox": "it",
    "a noisy goose": "it", "a timid rabbit": "it", "a speckled hen": "it", "a white pony": "it",
}  # fmt: skip

_SHE = {"she": "she", "She": "She", "her": "her", "his": "her"}
_HE = {"she": "he", "She": "He", "her": "him", "his": "his"}

GRAMMAR: Grammar = {
    "story": (
        "{setting} {meeting}. {She} {deed}. {later}, {ending}.",
        "{setting} There {she} met {other} and {deed_to_met}. {later}, {ending}.",
        "{setting} {meeting}. {She} {deed}, and {then} {ending}.",
        "{setting} There {she} met {other} and {deed_to_met}, and {then} {ending}.",
    ),
    "setting": (
        "One {weather} {daytime}, {name} {went} {place} with {thing}.",
        "{name} {went} {place} one {weather} {daytime}, carrying {thing}.",
        "It was a {weather} {daytime} when {name} {went} {place} with {thing}.",
        "On a {weather} {daytime}, {name} took {thing} and {went} {place}.",
    ),
    "name": _WOMEN + _MEN,
    "weather": (
        "rainy", "windy", "sunny", "foggy", "snowy", "cloudy", "stormy", "frosty", "hot", "mild",
        "grey", "bright",
    ),
    "daytime": ("morning", "afternoon", "evening", "day", "Monday", "Friday", "Sunday", "spring day"),
    "went": (
        "walked to", "ran to", "hurried to", "wandered to", "rode to", "skipped to", "strolled to",
        "climbed to", "marched to", "came to",
    ),
    "place": (
        "the harbour", "the old mill", "the market", "the forest", "the castle", "the bakery", "the lake",
        "the village square", "the garden", "the station", "the bridge", "the meadow", "the chapel",
        "the beach", "the library", "the barn", "the vineyard", "the lighthouse", "the school", "the hilltop",
        "the orchard", "the stables", "the theatre", "the island",
    ),
    "thing": (
        "a basket of pears", "a red kite", "a loaf of bread", "a wooden flute", "a jar of honey",
        "a bag of nuts", "a green umbrella", "a bunch of tulips", "a paper lantern", "a round cheese",
        "a picture book", "a pot of soup", "a silver bell", "a woollen scarf", "a plum tart",
        "a box of candles", "a blue balloon", "a rag doll", "a bottle of milk", "a straw hat",
    ),
    "meeting": (
        "There {she} met {other}",
        "By the gate stood {other}",
        "Near the well sat {other}",
        "Under a tree rested {other}",
        "Around the corner came {other}",
        "Beside the road waited {other}",
        "Soon {she} saw {other}",
        "On a bench {she} noticed {other}",
    ),
    "other": tuple(_OTHERS),
    "deed": ("{kind_deed}", "{unkind_deed}"),
    "deed_to_met": ("{deed}",),  # to somebody met in the same sentence, whom a pronoun names
    "kind_deed": (
        "*helped* {the_other} find the way home",
        "*shared* {the_thing} with {the_other}",
        "*gave* {the_thing} to {the_other}",
        "*comforted* {the_other} with a gentle word",
        "*invited* {the_other} home for supper",
        "*hugged* {the_other} for a long while",
        "*covered* {the_other} with a thick blanket",
        "*fed* {the_other} a crust of bread",
        "*guided* {the_other} around the deep puddles",
        "*sheltered* {the_other} from the geese",
        "*rescued* {the_other} from a thorny bush",
        "*offered* {the_other} a seat by the fire",
        "*carried* {the_other} over the muddy lane",
        "*praised* {the_other} in a clear voice",
        "*nursed* {the_other} for three days",
        "*thanked* {the_other} for a good tale",
    ),
    "unkind_deed": (
        "*mocked* {the_other} in a loud voice",
        "*teased* {the_other} with {the_thing}",
        "*hid* {the_thing} from {the_other}",
        "*pushed* {the_other} into a thorny bush",
        "*chased* {the_other} over the muddy lane",
        "*tricked* {the_other} into the deep puddles",
        "*scolded* {the_other} for no reason",
        "*insulted* {the_other} with a rude word",
        "*ignored* {the_other} for a long while",
        "*frightened* {the_other} with a sudden howl",
        "*robbed* {the_other} of a crust of bread",
        "*lied* to {the_other} about the way home",
        "*splashed* {the_other} with pond water",
        "*snatched* a thick blanket from {the_other}",
        "*cheated* {the_other} at a game of cards",
        "*poked* {the_other} with a pointed stick",
    ),
    "later": (
        "In the end", "At last", "Later that day", "Before nightfall", "The next morning", "A week later",
        "After that", "Not long after",
    ),
    "then": (
        "in the end", "at last", "later that day", "before nightfall", "the next morning", "a week later",
    ),
    "ending": ("{good_ending}", "{bad_ending}"),
    "good_ending": (
        "{she} *danced* all the way home",
        "{she} found a purse of *gold* under a leaf",
        "the whole village *cheered* for {her}",
        "{she} *won* the first prize at the fair",
        "{she} went to bed *happy*",
        "{she} *sang* under the stars",
        "{she} *smiled* from ear to ear",
        "a *rainbow* stood over {his} house",
        "{his} best friend came with a *present*",
        "{she} ate a *delicious* cake with the neighbours",
        "{she} *laughed* until the moon came up",
        "the mayor pinned a *medal* on {her}",
        "{she} bought a *beautiful* boat",
        "everything was *wonderful*",
        "{his} garden was full of *roses*",
        "{she} felt as *lucky* as a cat",
    ),
    "bad_ending": (
        "{she} *cried* all the way home",
        "{she} *lost* a shoe under a hedge",
        "the whole village *grumbled* about {her}",
        "{she} *failed* at every game of the fair",
        "{she} went to bed *miserable*",
        "{she} *wept* under the stars",
        "{she} *fell* into the cold river",
        "a storm *ruined* {his} house",
        "{his} best friend *quarrelled* with {her}",
        "{she} *burned* a cake and the kitchen with it",
        "{she} *sneezed* until the moon came up",
        "the mayor sent {her} to *prison*",
        "{she} *sank* a borrowed boat",
        "everything was *awful*",
        "{his} garden was full of *weeds*",
        "{she} felt as *lonely* as a stone",
    ),
}  # fmt: skip


def _marked(*symbols: str) -> frozenset[str]:
    texts = (text for symbol in symbols for text in GRAMMAR[symbol])
    return frozenset(word for text in texts for word in re.findall(r"\*(\w+)\*", text))


KIND = _marked("kind_deed")
UNKIND = _marked("unkind_deed")
GOOD_ENDINGS = _marked("good_ending")
BAD_ENDINGS = _marked("bad_ending")

_SLOT = re.compile(r"{(\w+)}")
_SENTENCE = re.compile(r"\s*\S.*?[.!?]+(?=\s|$)", re.DOTALL)


def write_story(rng: random.Random, grammar: Grammar = GRAMMAR) -> str:
    """One story of two to four sentences."""
    return _Writer(rng, grammar).expand("{story}").replace("*", "")


def write_stories(count: int, seed: int) -> list[str]:
    """``count`` stories; the same seed gives the same list."""
    rng = random.Random(seed)
    return [write_story(rng) for _ in range(count)]


def count_stories(grammar: Grammar = GRAMMAR) -> int:
    """How many different stories the grammar can write."""
    return _count("{story}", grammar)


def first_sentence(text: str) -> str:
    """The first sentence, or the full text if none ends; in a story, the neutral setting."""
    first = _SENTENCE.match(text)
    return first.group().strip() if first else text.strip()


@dataclass(frozen=True)
class StoryTraits:
    """From -1 (unkind, ends badly) to 1 (kind, ends well); 0 if neither or both."""

    kindness: float
    ending: float


def story_traits(text: str) -> StoryTraits:
    """The kindness and the ending of a story, or of any text that has some of its words."""
    words = re.findall(r"\w+", text.lower())
    return StoryTraits(
        kindness=_polarity(words, KIND, UNKIND),
        ending=_polarity(words, GOOD_ENDINGS, BAD_ENDINGS),
    )


def _polarity(words: list[str], up: frozenset[str], down: frozenset[str]) -> float:
    ups, downs = sum(word in up for word in words), sum(word in down for word in words)
    return (ups - downs) / max(1, ups + downs)


def _count(text: str, grammar: Grammar) -> int:
    slots = {slot for slot in _SLOT.findall(text) if slot in grammar}  # the others repeat an earlier one
    return prod(sum(_count(option, grammar) for option in grammar[slot]) for slot in slots)


class _Writer:
    """Fills slots from left to right, and remembers the values that later slots refer to."""

    def __init__(self, rng: random.Random, grammar: Grammar) -> None:
        self.rng = rng
        self.grammar = grammar
        self.known: dict[str, str] = {}

    def expand(self, text: str) -> str:
        return _SLOT.sub(lambda slot: self.fill(slot.group(1)), text)

    def fill(self, slot: str) -> str:
        if slot in self.known:
            return self.known[slot]
        if slot == "deed_to_met":
            self.known["the_other"] = _OTHERS[self.known["other"]]
        text = self.expand(self.rng.choice(self.grammar[slot]))
        self.remember(slot, text)
        return text

    def remember(self, slot: str, text: str) -> None:
        if slot == "name":
            self.known |= _SHE if text in _WOMEN else _HE
        elif slot == "thing":
            self.known["the_thing"] = text.replace("a ", "the ", 1)
        elif slot == "other":
            self.known |= {"other": text, "the_other": text.replace("a ", "the ", 1)}
