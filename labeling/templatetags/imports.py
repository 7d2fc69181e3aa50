"""How previews of imports are worded."""

from collections.abc import Iterator, Sized
from typing import Any

from django import template

from labeling.imports import ImportResult
from labeling.imports.summary import describe_new, describe_rest
from training.formats.records import RecordJudgement

register = template.Library()


@register.filter
def new_contents(result: ImportResult) -> str:
    """What is new."""
    return describe_new(result)


@register.filter
def other_contents(result: ImportResult) -> Iterator[str]:
    """What is not new, not used or changed."""
    return describe_rest(result)


@register.filter
def subtract(number: int, shown: Sized) -> int:
    """How many more there are than are shown."""
    return number - len(shown)


@register.filter
def judgement_text(judgement: RecordJudgement) -> str:
    """One judgement in short, such as `2: order 1, 2`."""
    by = f"{judgement.annotator}: " if judgement.annotator else ""
    if judgement.skipped:
        return f"{by}skipped"
    if judgement.all_bad:
        return f"{by}all bad"
    if judgement.ranks is not None:
        return f"{by}ranks {_join(judgement.ranks)}"
    if judgement.scores is not None:
        return f"{by}scores {_join(judgement.scores)}"
    return f"{by}a text"


def _join(values: Any) -> str:
    return ", ".join("none" if value is None else f"{value:g}" for value in values)
