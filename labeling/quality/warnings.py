"""Warnings: annotators whose metrics differ significantly from the others'.

Warnings use 99 % intervals, because many metrics of many annotators are compared. They need a minimum
difference and a minimum number of answers.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from statistics import median

from labeling.proportions import Proportion
from labeling.quality.annotators import AnnotatorMetrics
from labeling.quality.charts import HasInterval, format_percent, format_seconds

Z99 = 2.575829
"""The two-sided 99 % quantile of the standard normal distribution."""
MIN_DIFFERENCE = 0.05
"""The smallest difference of proportions that is reported."""
MIN_ANSWERS = 10
"""Warnings need at least this many answers."""
FAST_RATIO = 0.5
"""Median times below this fraction of the others' are reported."""


@dataclass(frozen=True)
class AnnotatorWarning:
    """A warning about one annotator."""

    annotator: AnnotatorMetrics
    name: str
    """A short label for a table row."""
    text: str
    """A sentence with the numbers."""


def find_warnings(annotators: Sequence[AnnotatorMetrics]) -> list[AnnotatorWarning]:
    """All warnings, annotators with the most warnings first, then by name."""
    warnings = [list(_annotator_warnings(annotator, annotators)) for annotator in annotators]
    return [each for theirs in sorted(warnings, key=lambda some: -len(some)) for each in theirs]


def _annotator_warnings(
    annotator: AnnotatorMetrics, everybody: Sequence[AnnotatorMetrics]
) -> Iterator[AnnotatorWarning]:
    for rule in (_position_bias, _low_agreement, _low_gold_accuracy, _low_self_agreement, _too_fast):
        warning = rule(annotator, everybody)
        if warning is not None:
            yield AnnotatorWarning(annotator, *warning)


def _low_gold_accuracy(
    annotator: AnnotatorMetrics, everybody: Sequence[AnnotatorMetrics]
) -> tuple[str, str] | None:
    own = annotator.gold_accuracy
    others = pooled_proportion(annotator, everybody, lambda each: each.gold_accuracy)
    if own is None or others is None or not is_significantly_below(own, others):
        return None
    return "gold", (
        f"Correct on {describe_count(own, 'gold tasks')}; others on {format_percent(others.value)}."
    )


def _low_self_agreement(
    annotator: AnnotatorMetrics, everybody: Sequence[AnnotatorMetrics]
) -> tuple[str, str] | None:
    own = annotator.self_agreement
    others = pooled_proportion(annotator, everybody, lambda each: each.self_agreement)
    if own is None or others is None or not is_significantly_below(own, others):
        return None
    return "repeats", (
        f"Self-agreement of {describe_interval(own)} on {own.n:,} repeats; "
        f"others {format_percent(others.value)}."
    )


def _low_agreement(
    annotator: AnnotatorMetrics,
    everybody: Sequence[AnnotatorMetrics],  # noqa: ARG001
) -> tuple[str, str] | None:
    own, others = annotator.agreement_with_others, annotator.agreement_among_others
    if own is None or others is None or not is_significantly_below(own, others):
        return None
    reliability = ""
    if annotator.reliability is not None:
        reliability = f" Reliability {describe_interval(annotator.reliability)}, where 50 % is guessing."
    return "agreement", (
        f"Agreement with others of {describe_interval(own)} in {own.n:,} answers; "
        f"among the others {format_percent(others.value)}.{reliability}"
    )


def _position_bias(
    annotator: AnnotatorMetrics,
    everybody: Sequence[AnnotatorMetrics],  # noqa: ARG001
) -> tuple[str, str] | None:
    picked, chance = annotator.first_shown_picked, annotator.first_shown_chance
    if picked is None or picked.n < MIN_ANSWERS:
        return None
    low, high = picked.interval(Z99)
    if low <= chance + MIN_DIFFERENCE and high >= chance - MIN_DIFFERENCE:
        return None
    return "first shown", (
        f"Picks the sample shown first in {describe_count(picked, 'answers')}; "
        f"chance is {format_percent(chance)}."
    )


def _too_fast(annotator: AnnotatorMetrics, everybody: Sequence[AnnotatorMetrics]) -> tuple[str, str] | None:
    own, seconds = annotator.too_fast, annotator.seconds
    if seconds is None or seconds.n < MIN_ANSWERS or own is None:
        return None
    others = pooled_proportion(annotator, everybody, lambda each: each.too_fast)
    typical = median_seconds(annotator, everybody)
    has_many_fast = others is not None and own.difference_interval(others, Z99)[0] > MIN_DIFFERENCE
    is_fast = typical is not None and seconds.high < FAST_RATIO * typical
    if not (has_many_fast or is_fast):
        return None
    compared = "" if typical is None else f"; others take {format_seconds(typical)}"
    return "time", (
        f"Takes {format_seconds(seconds.value)} per answer ({format_seconds(seconds.low)} to "
        f"{format_seconds(seconds.high)}){compared}. {format_percent(own.value)} of "
        f"{own.n:,} answers were faster than the texts can be skimmed."
    )


def pooled_proportion(
    annotator: AnnotatorMetrics | None,
    annotators: Iterable[AnnotatorMetrics],
    metric: Callable[[AnnotatorMetrics], Proportion | None],
) -> Proportion | None:
    """A metric pooled over all others; over everybody if `annotator` is None."""
    proportions = [
        proportion
        for each in annotators
        if each is not annotator and (proportion := metric(each)) is not None
    ]
    n = sum(proportion.n for proportion in proportions)
    return Proportion(sum(proportion.count for proportion in proportions), n) if n else None


def median_seconds(
    annotator: AnnotatorMetrics | None, annotators: Iterable[AnnotatorMetrics]
) -> float | None:
    """The median of the others' median times; of everybody's if `annotator` is None."""
    times = [each.seconds.value for each in annotators if each is not annotator and each.seconds is not None]
    return median(times) if times else None


def describe_count(proportion: Proportion, things: str) -> str:
    """A proportion as text: "12 of 20 answers (39 to 78 %)"."""
    interval = _format_range(proportion.low, proportion.high)
    return f"{proportion.count:,g} of {proportion.n:,} {things} ({interval})"


def describe_interval(estimate: HasInterval) -> str:
    """An estimate as text: "60 % (39 to 78 %)"."""
    return f"{format_percent(estimate.value)} ({_format_range(estimate.low, estimate.high)})"


def _format_range(low: float, high: float) -> str:
    return f"{100 * low:.0f} to {100 * high:.0f} %"


def is_significantly_below(proportion: Proportion, typical: Proportion) -> bool:
    """Whether a proportion is significantly below another, by at least `MIN_DIFFERENCE`."""
    return (
        min(proportion.n, typical.n) >= MIN_ANSWERS
        and proportion.difference_interval(typical, Z99)[1] < -MIN_DIFFERENCE
    )
