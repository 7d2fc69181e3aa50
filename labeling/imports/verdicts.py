"""Judgements made elsewhere as answers to the project's own question, or the reason why they are none."""

import math
from collections.abc import Sequence
from dataclasses import replace

from labeling.feedback import MAX_GRADE, Answer
from labeling.models import Project
from labeling.text_limits import MAX_COMMENT_LENGTH
from training.formats.records import RecordJudgement

MAX_SECONDS = 86_400.0
INSTEAD = "Import it as tasks to have them judged here, or into a project of another kind."
WANTED = {
    "pair": "which of two samples is better",
    "rank": "an order of the samples",
    "best": "the best of the samples",
    "score": "scores",
    "rewrite": "a text that is written",
}
GIVEN = {
    "pair": "a comparison",
    "rank": "an order",
    "best": "the best sample",
    "score": "scores",
    "label": "good or bad",
    "demonstration": "a text that was written",
}


class Rounding:
    """Counts the scores that lie between two steps of the project's scale."""

    def __init__(self) -> None:
        self.count = 0


def answer_of(
    judgement: RecordJudgement, *, project: Project, samples: int, rounding: Rounding | None = None
) -> Answer:
    """The answer in the project's kind of feedback, with the samples in the order of the record.

    Pairs become grades by their margin, scores become ranks where an order is asked for, and scores of
    another scale are rescaled. Raises ValueError if the judgement does not answer the project's question.
    """
    if len(judgement.comment) > MAX_COMMENT_LENGTH:
        raise ValueError(
            f"a comment of {len(judgement.comment):,} characters; at most {MAX_COMMENT_LENGTH:,} are allowed."
        )
    if judgement.all_bad:
        answer = Answer(all_bad=True)
    else:
        answer = _judged(judgement, project, samples, rounding or Rounding())
    comment, seconds = judgement.comment.strip(), _seconds(judgement.seconds)
    if not (judgement.flagged or comment or seconds):
        return answer
    return replace(answer, flagged=judgement.flagged, comment=comment, seconds=seconds)


def _judged(judgement: RecordJudgement, project: Project, samples: int, rounding: Rounding) -> Answer:
    """The answer without what every kind of feedback has."""
    if project.feedback == "rewrite":
        if not judgement.text.strip():
            raise _does_not_fit(judgement, project)
        return Answer(text=judgement.text.strip())
    if project.feedback == "score":
        scores = _scores(judgement, project, samples, rounding)
        return Answer(scores=scores, criteria=_criteria(judgement, project, samples))
    if project.feedback == "pair" and samples != 2:
        raise ValueError(f"{samples} samples were judged, but a task here shows 2. {INSTEAD}")
    values = _values(judgement, project, samples)
    if project.feedback == "pair":
        return Answer(grade=_grade(values, judgement.margin), criteria=_grades(judgement, project))
    best = max(values)
    if project.feedback == "best":
        if values.count(best) > 1:
            raise ValueError(f"no sample is better than all others, as this project asks. {INSTEAD}")
        return Answer(best=values.index(best) + 1)
    ranks = {value: rank for rank, value in enumerate(sorted(set(values), reverse=True), start=1)}
    return Answer(ranks=tuple(ranks[value] for value in values))


def _seconds(seconds: float | None) -> float | None:
    """Active time as it can be stored: beyond a day, a page was left open."""
    if seconds is None or not math.isfinite(seconds) or seconds < 0:
        return None
    return min(float(seconds), MAX_SECONDS)


def _does_not_fit(judgement: RecordJudgement, project: Project) -> ValueError:
    given, wanted = GIVEN[judgement.kind], WANTED[project.feedback]
    return ValueError(f"the file says {given}, but this project asks for {wanted}. {INSTEAD}")


def _values(judgement: RecordJudgement, project: Project, samples: int) -> list[float]:
    """A number for each sample that is higher for better ones."""
    given: Sequence[float | None]
    if judgement.ranks is not None:
        given = [-rank for rank in judgement.ranks]
    elif judgement.scores is not None:
        given = judgement.scores
    else:
        raise _does_not_fit(judgement, project)
    if len(given) != samples:
        raise ValueError(f"{len(given)} samples were judged, but there are {samples}.")
    values = [value for value in given if value is not None and math.isfinite(value)]
    if len(values) != samples:
        raise ValueError(f"only {len(values)} of {samples} samples were judged. {INSTEAD}")
    return values


def _grade(values: Sequence[float], margin: float) -> int:
    """The grade of the second sample over the first; a preference of unknown strength is one step."""
    if values[0] == values[1]:
        return 0
    steps = min(max(round(margin * MAX_GRADE), 1), MAX_GRADE)
    return steps if values[1] > values[0] else -steps


def _grades(judgement: RecordJudgement, project: Project) -> tuple[dict[str, int], ...]:
    """The grades of a pair by each criterion of the project."""
    if not project.criteria:
        return ()
    low, high = judgement.scale or (-MAX_GRADE, MAX_GRADE)
    first, second = (_find_criteria(judgement, project, number) for number in (0, 1))
    steps = {
        name: round((second[name] - first[name]) / (high - low) * MAX_GRADE) for name in project.criteria
    }
    return ({name: min(max(step, -MAX_GRADE), MAX_GRADE) for name, step in steps.items()},)


def _scores(
    judgement: RecordJudgement, project: Project, samples: int, rounding: Rounding
) -> tuple[int, ...]:
    """The scores on the project's scale."""
    if judgement.scores is None:
        raise _does_not_fit(judgement, project)
    values = _values(replace(judgement, ranks=None), project, samples)
    return tuple(_rescale(value, judgement, project, rounding) for value in values)


def _rescale(value: float, judgement: RecordJudgement, project: Project, rounding: Rounding) -> int:
    """A score of the file on the project's 1 … `scale`."""
    if judgement.scale is None:
        if value != int(value) or not 1 <= value <= project.scale:
            raise ValueError(
                f"a score of {value:g} does not fit this project's 1 to {project.scale}, and the file does "
                "not say its scale. Change the scores, or the highest score in the project's settings."
            )
        return int(value)
    low, high = judgement.scale
    if not low <= value <= high or low == high:
        raise ValueError(f"a score of {value:g} is not between {low:g} and {high:g}.")
    exact = 1 + (value - low) / (high - low) * (project.scale - 1)
    step = math.floor(exact + 0.5)
    rounding.count += abs(exact - step) > 1e-6
    return step


def _criteria(judgement: RecordJudgement, project: Project, samples: int) -> tuple[dict[str, int], ...]:
    """For each sample, the scores by the project's criteria."""
    if not project.criteria:
        return ()
    return tuple(
        {
            name: _rescale(value, judgement, project, Rounding())
            for name, value in _find_criteria(judgement, project, number).items()
        }
        for number in range(samples)
    )


def _find_criteria(judgement: RecordJudgement, project: Project, number: int) -> dict[str, float]:
    """The values of the project's criteria for one sample; others in the file are left out."""
    criteria = judgement.criteria or ()
    given = (
        {name.strip().lower(): value for name, value in criteria[number].items()}
        if number < len(criteria)
        else {}
    )
    missing = [name for name in project.criteria if name.strip().lower() not in given]
    if missing:
        there = ", ".join(given) or "none"
        raise ValueError(
            f"this project asks for the criteria {', '.join(project.criteria)}, and the file has {there}. "
            + INSTEAD
        )
    return {name: given[name.strip().lower()] for name in project.criteria}
