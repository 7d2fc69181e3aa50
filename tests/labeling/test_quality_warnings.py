"""Warnings to admins: only where the metrics of one person differ by more than chance, and by enough."""

from datetime import datetime

from labeling.proportions import Proportion
from labeling.quality.annotators import AnnotatorMetrics, MedianEstimate, ReliabilityEstimate
from labeling.quality.warnings import find_warnings


def metrics_of(name: str = "ann", **metrics: object) -> AnnotatorMetrics:
    """Somebody with metrics like everybody's."""
    typical: dict[str, object] = {
        "pk": sum(map(ord, name)),
        "name": name,
        "answers": 200,
        "last": datetime(2026, 5, 1, 12, 0),  # noqa: DTZ001 - the site's clock, as numpy keeps it
        "gold_accuracy": Proportion(18, 20),
        "self_agreement": Proportion(17, 20),
        "agreement_with_others": Proportion(140, 200),
        "agreement_among_others": Proportion(1400, 2000),
        "reliability": ReliabilityEstimate(0.9, 0.85, 0.94, 200),
        "first_shown_picked": Proportion(95, 190),
        "first_shown_chance": 0.5,
        "tied": Proportion(10, 200),
        "all_bad": Proportion(2, 200),
        "skipped": Proportion(2, 202),
        "flagged": Proportion(0, 200),
        "seconds": MedianEstimate(30.0, 28.0, 32.0, 200),
        "too_fast": Proportion(2, 200),
        "training_accuracy": Proportion(5, 5),
        "training_attempts": 5,
        "passed_entry_test": None,
    }
    return AnnotatorMetrics(**(typical | metrics))  # type: ignore[arg-type]


def warnings_about(odd: AnnotatorMetrics) -> list[str]:
    """What is reported about one person among five typical ones, who must not be named."""
    people = [metrics_of(name) for name in ("bea", "cem", "dan", "eva", "fay")]
    found = find_warnings([*people, odd])
    assert all(warning.annotator is odd for warning in found)
    return [warning.name for warning in found]


def text(odd: AnnotatorMetrics) -> str:
    return find_warnings([metrics_of("bea"), metrics_of("cem"), odd])[0].text


def test_nobody_is_named_where_all_are_alike() -> None:
    assert warnings_about(metrics_of()) == []


def test_too_fast_is_named_with_the_usual_time() -> None:
    hasty = metrics_of(seconds=MedianEstimate(2.0, 1.8, 2.3, 200), too_fast=Proportion(190, 200))
    assert warnings_about(hasty) == ["time"]
    assert text(hasty) == (
        "Takes 2.0 s per answer (1.8 s to 2.3 s); others take 30 s. 95 % of 200 answers were faster than the "
        "texts can be skimmed."
    )


def test_quick_readers_are_not_named() -> None:
    assert warnings_about(metrics_of(seconds=MedianEstimate(20.0, 18.0, 22.0, 200))) == []


def test_always_the_same_side_is_named() -> None:
    leaning = metrics_of(first_shown_picked=Proportion(180, 190))
    assert warnings_about(leaning) == ["first shown"]
    assert text(leaning) == (
        "Picks the sample shown first in 180 of 190 answers (91 to 97 %); chance is 50 %."
    )
    assert warnings_about(metrics_of(first_shown_picked=Proportion(5, 190))) == ["first shown"]


def test_of_four_samples_a_quarter_is_chance() -> None:
    assert warnings_about(metrics_of(first_shown_picked=Proportion(50, 190), first_shown_chance=0.25)) == []
    assert warnings_about(metrics_of(first_shown_picked=Proportion(95, 190), first_shown_chance=0.25)) == [
        "first shown"
    ]


def test_a_lean_that_chance_explains_is_not_named() -> None:
    assert warnings_about(metrics_of(first_shown_picked=Proportion(28, 40))) == []


def test_a_lean_too_small_to_matter_is_not_named_however_sure_it_is() -> None:
    assert warnings_about(metrics_of(first_shown_picked=Proportion(5200, 10_000))) == []


def test_wrong_on_gold_is_named() -> None:
    assert warnings_about(metrics_of(gold_accuracy=Proportion(5, 20))) == ["gold"]
    assert (
        text(metrics_of(gold_accuracy=Proportion(5, 20)))
        == "Correct on 5 of 20 gold tasks (11 to 47 %); others on 90 %."
    )


def test_inconsistent_on_repeats_is_named() -> None:
    assert warnings_about(metrics_of(self_agreement=Proportion(4, 20))) == ["repeats"]


def test_disagreeing_with_everybody_is_named_with_the_reliability() -> None:
    alone = metrics_of(
        agreement_with_others=Proportion(90, 200), reliability=ReliabilityEstimate(0.52, 0.45, 0.6, 200)
    )
    assert warnings_about(alone) == ["agreement"]
    assert text(alone) == (
        "Agreement with others of 45 % (38 to 52 %) in 200 answers; among the others 70 %. "
        "Reliability 52 % (45 to 60 %), where 50 % is guessing."
    )


def test_five_answers_are_too_few_to_say_anything() -> None:
    newcomer = metrics_of(
        gold_accuracy=Proportion(0, 5),
        self_agreement=Proportion(0, 5),
        agreement_with_others=Proportion(0, 5),
        first_shown_picked=Proportion(5, 5),
        seconds=MedianEstimate(1.0, 0.5, 1.5, 5),
        too_fast=Proportion(5, 5),
    )
    assert warnings_about(newcomer) == []


def test_somebody_alone_is_compared_with_nobody() -> None:
    alone = metrics_of(
        gold_accuracy=Proportion(2, 20),
        self_agreement=Proportion(2, 20),
        agreement_with_others=None,
        agreement_among_others=None,
    )
    assert find_warnings([alone]) == []


def test_those_with_most_to_look_at_come_first() -> None:
    people = [
        metrics_of("bea"),
        metrics_of("cem"),
        metrics_of("dan"),
        metrics_of("zoe", gold_accuracy=Proportion(2, 20), self_agreement=Proportion(2, 20)),
    ]
    found = find_warnings([metrics_of("ann", first_shown_picked=Proportion(180, 190)), *people])
    assert [warning.annotator.name for warning in found] == ["zoe", "zoe", "ann"]
