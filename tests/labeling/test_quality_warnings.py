"""Warnings to admins: only where the figures of one person differ by more than chance, and by enough."""

from datetime import datetime

from labeling.proportions import Share
from labeling.quality.annotators import Middle, Person, Sure
from labeling.quality.warnings import warnings_of


def person(name: str = "ann", **figures: object) -> Person:
    """Somebody with figures like everybody's."""
    usual: dict[str, object] = {
        "pk": sum(map(ord, name)),
        "name": name,
        "answers": 200,
        "last": datetime(2026, 5, 1, 12, 0),  # noqa: DTZ001 - the site's clock, as numpy keeps it
        "gold": Share(18, 20),
        "repeats": Share(17, 20),
        "others": Share(140, 200),
        "without": Share(1400, 2000),
        "reliability": Sure(0.9, 0.85, 0.94, 200),
        "first": Share(95, 190),
        "chance": 0.5,
        "tied": Share(10, 200),
        "all_bad": Share(2, 200),
        "skipped": Share(2, 202),
        "flagged": Share(0, 200),
        "seconds": Middle(30.0, 28.0, 32.0, 200),
        "too_fast": Share(2, 200),
        "training": Share(5, 5),
        "tries": 5,
        "qualified": None,
    }
    return Person(**(usual | figures))  # type: ignore[arg-type]


def named(odd: Person) -> list[str]:
    """What is said of one person among five usual ones, who must not be named."""
    people = [person(name) for name in ("bea", "cem", "dan", "eva", "fay")]
    found = warnings_of([*people, odd])
    assert all(finding.person is odd for finding in found)
    return [finding.name for finding in found]


def text(odd: Person) -> str:
    return warnings_of([person("bea"), person("cem"), odd])[0].text


def test_nobody_is_named_where_all_are_alike() -> None:
    assert named(person()) == []


def test_too_fast_is_named_with_the_usual_time() -> None:
    hasty = person(seconds=Middle(2.0, 1.8, 2.3, 200), too_fast=Share(190, 200))
    assert named(hasty) == ["time"]
    assert text(hasty) == (
        "Takes 2.0 s an answer (1.8 s to 2.3 s); others take 30 s. 95 % of 200 answers came sooner than the "
        "texts can be skimmed."
    )


def test_quick_readers_are_not_named() -> None:
    assert named(person(seconds=Middle(20.0, 18.0, 22.0, 200))) == []


def test_always_the_same_side_is_named() -> None:
    leaning = person(first=Share(180, 190))
    assert named(leaning) == ["first shown"]
    assert text(leaning) == ("Picks what is shown first in 180 of 190 answers (91 to 97 %); chance is 50 %.")
    assert named(person(first=Share(5, 190))) == ["first shown"]


def test_of_four_samples_a_quarter_is_chance() -> None:
    assert named(person(first=Share(50, 190), chance=0.25)) == []
    assert named(person(first=Share(95, 190), chance=0.25)) == ["first shown"]


def test_a_lean_that_chance_explains_is_not_named() -> None:
    assert named(person(first=Share(28, 40))) == []


def test_a_lean_too_small_to_matter_is_not_named_however_sure_it_is() -> None:
    assert named(person(first=Share(5200, 10_000))) == []


def test_wrong_on_gold_is_named() -> None:
    assert named(person(gold=Share(5, 20))) == ["gold"]
    assert text(person(gold=Share(5, 20))) == "Right on 5 of 20 gold tasks (11 to 47 %); others on 90 %."


def test_inconsistent_on_repeats_is_named() -> None:
    assert named(person(repeats=Share(4, 20))) == ["repeats"]


def test_disagreeing_with_everybody_is_named_with_the_reliability() -> None:
    alone = person(others=Share(90, 200), reliability=Sure(0.52, 0.45, 0.6, 200))
    assert named(alone) == ["agreement"]
    assert text(alone) == (
        "Agrees with others by 45 % (38 to 52 %) in 200 answers; the others among themselves by 70 %. "
        "Reliability 52 % (45 to 60 %), where 50 % is guessing."
    )


def test_five_answers_are_too_few_to_say_anything() -> None:
    newcomer = person(
        gold=Share(0, 5),
        repeats=Share(0, 5),
        others=Share(0, 5),
        first=Share(5, 5),
        seconds=Middle(1.0, 0.5, 1.5, 5),
        too_fast=Share(5, 5),
    )
    assert named(newcomer) == []


def test_somebody_alone_is_compared_with_nobody() -> None:
    alone = person(gold=Share(2, 20), repeats=Share(2, 20), others=None, without=None)
    assert warnings_of([alone]) == []


def test_those_with_most_to_look_at_come_first() -> None:
    people = [
        person("bea"),
        person("cem"),
        person("dan"),
        person("zoe", gold=Share(2, 20), repeats=Share(2, 20)),
    ]
    found = warnings_of([person("ann", first=Share(180, 190)), *people])
    assert [finding.person.name for finding in found] == ["zoe", "zoe", "ann"]
