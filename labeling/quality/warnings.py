"""What an admin should look at: people whose figures differ from what is usual by more than chance.

A warning compares 99 % intervals, since many figures of many people are looked at, and a difference has to
matter: of a thousand answers, one more in a hundred is no news. Somebody who has done little gets none.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from statistics import median

from labeling.proportions import Share
from labeling.quality.annotators import Person
from labeling.quality.charts import Ranged, percent, seconds

Z99 = 2.575829
"""Of the normal distribution, 99 % lies within so many standard deviations."""
MATTERS = 0.05
"""A share has to be further than this from what is usual, or from chance."""
FEWEST = 10
"""Answers below which nothing is said."""
HALF = 0.5
"""Of the usual time, less than this is fast."""


@dataclass(frozen=True)
class Finding:
    """One thing to look at, with its numbers."""

    person: Person
    name: str
    """In a word or two, for a row of the table."""
    text: str
    """A sentence with the numbers, about the person."""


def warnings_of(people: Sequence[Person]) -> list[Finding]:
    """All there is to look at: those with most first, then by name."""
    found = [list(_about(person, people)) for person in people]
    return [each for theirs in sorted(found, key=lambda some: -len(some)) for each in theirs]


def _about(person: Person, people: Sequence[Person]) -> Iterator[Finding]:
    for rule in (_side, _with_others, _gold, _repeats, _too_fast):
        said = rule(person, people)
        if said is not None:
            yield Finding(person, *said)


def _gold(person: Person, people: Sequence[Person]) -> tuple[str, str] | None:
    rest = rest_of(person, people, lambda each: each.gold)
    if person.gold is None or rest is None or not is_below(person.gold, rest):
        return None
    return "gold", f"Right on {counted(person.gold, 'gold tasks')}; others on {percent(rest.share)}."


def _repeats(person: Person, people: Sequence[Person]) -> tuple[str, str] | None:
    rest = rest_of(person, people, lambda each: each.repeats)
    if person.repeats is None or rest is None or not is_below(person.repeats, rest):
        return None
    return "repeats", (
        f"Asked again, agrees with their own answer by {ranged(person.repeats)} in {person.repeats.of:,} "
        f"repeats; others by {percent(rest.share)}."
    )


def _with_others(person: Person, people: Sequence[Person]) -> tuple[str, str] | None:  # noqa: ARG001
    if person.others is None or person.without is None or not is_below(person.others, person.without):
        return None
    reliable = ""
    if person.reliability is not None:
        reliable = f" Reliability {ranged(person.reliability)}, where 50 % is guessing."
    return "agreement", (
        f"Agrees with others by {ranged(person.others)} in {person.others.of:,} answers; the others among "
        f"themselves by {percent(person.without.share)}.{reliable}"
    )


def _side(person: Person, people: Sequence[Person]) -> tuple[str, str] | None:  # noqa: ARG001
    if person.first is None or person.first.of < FEWEST:
        return None
    low, high = person.first.interval(Z99)
    if low <= person.chance + MATTERS and high >= person.chance - MATTERS:
        return None
    return "first shown", (
        f"Picks what is shown first in {counted(person.first, 'answers')}; "
        f"chance is {percent(person.chance)}."
    )


def _too_fast(person: Person, people: Sequence[Person]) -> tuple[str, str] | None:
    rest = rest_of(person, people, lambda each: each.too_fast)
    usual = usual_seconds(person, people)
    if person.seconds is None or person.seconds.of < FEWEST or person.too_fast is None:
        return None
    hurried = rest is not None and person.too_fast.above(rest, Z99)[0] > MATTERS
    quick = usual is not None and person.seconds.high < HALF * usual
    if not (hurried or quick):
        return None
    compared = "" if usual is None else f"; others take {seconds(usual)}"
    return "time", (
        f"Takes {seconds(person.seconds.value)} an answer ({seconds(person.seconds.low)} to "
        f"{seconds(person.seconds.high)}){compared}. {percent(person.too_fast.share)} of "
        f"{person.too_fast.of:,} answers came sooner than the texts can be skimmed."
    )


def rest_of(
    person: Person | None, people: Iterable[Person], figure: Callable[[Person], Share | None]
) -> Share | None:
    """The same figure of all others together; of all, for nobody."""
    shares = [share for each in people if each is not person and (share := figure(each)) is not None]
    of = sum(share.of for share in shares)
    return Share(sum(share.count for share in shares), of) if of else None


def usual_seconds(person: Person | None, people: Iterable[Person]) -> float | None:
    """The median of the others' median times."""
    times = [each.seconds.value for each in people if each is not person and each.seconds is not None]
    return median(times) if times else None


def counted(share: Share, things: str) -> str:
    """A share with its numbers: "12 of 20 answers (39 to 78 %)"."""
    return f"{share.count:,g} of {share.of:,} {things} ({_range(share.low, share.high)})"


def ranged(share: Ranged) -> str:
    """A share with its interval: "60 % (39 to 78 %)"."""
    return f"{percent(share.share)} ({_range(share.low, share.high)})"


def _range(low: float, high: float) -> str:
    return f"{100 * low:.0f} to {100 * high:.0f} %"


def is_below(share: Share, usual: Share) -> bool:
    """Whether a share is below another by more than chance would have it, and by enough to matter."""
    return min(share.of, usual.of) >= FEWEST and share.above(usual, Z99)[1] < -MATTERS
