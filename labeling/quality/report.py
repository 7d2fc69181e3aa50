"""What the page of a project's quality shows: figures, pictures, people and what to look at."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from labeling.feedback import MUCH
from labeling.models import Project
from labeling.proportions import Share
from labeling.quality.adjudication import Disagreement, disagreements
from labeling.quality.agreement import LEVELS, Estimate, Floats, Ints, Truths, Votes, alpha, pairwise, tau
from labeling.quality.annotation_arrays import GOLD, Answers, answers_of, worths_by
from labeling.quality.annotators import (
    Person,
    agreement_with_others,
    median,
    people_of,
    questions_of,
)
from labeling.quality.charts import Columns, OverTime, Point, figure, percent, seconds
from labeling.quality.gold import rightness
from labeling.quality.periods import Periods, periods_of
from labeling.quality.reliability import dawid_skene
from labeling.quality.warnings import Finding, rest_of, usual_seconds, warnings_of

FEWEST_TASKS = 10
"""A period with fewer shared tasks is not drawn: its interval would fill the picture."""
GRADES = tuple(f"{grade:+d}".replace("-", "−") if grade else "0" for grade in range(-MUCH, MUCH + 1))


@dataclass(frozen=True)
class Named:
    """An agreement figure with what it is called and what it means."""

    name: str
    meaning: str
    estimate: Estimate
    shape: Callable[[float], str] = figure

    @property
    def value(self) -> str:
        return self.shape(self.estimate.value)

    @property
    def range(self) -> str:
        """Its interval in words, if there is one."""
        low, high = self.estimate.low, self.estimate.high
        return "" if low is None or high is None else f"{self.shape(low)} to {self.shape(high)}"


@dataclass(frozen=True, eq=False)
class Quality:
    """A project's quality, read once."""

    answers: Answers

    @classmethod
    def of(cls, project: Project) -> "Quality":
        return cls(answers_of(project))

    @property
    def project(self) -> Project:
        return self.answers.project

    @cached_property
    def people(self) -> list[Person]:
        """Those with something to look at first, then by name."""
        warned = {finding.person.pk for finding in self.findings}
        return sorted(self._people, key=lambda person: person.pk not in warned)

    @cached_property
    def _people(self) -> list[Person]:
        return people_of(self.answers)

    @cached_property
    def findings(self) -> list[Finding]:
        """What to look at."""
        return warnings_of(self._people)

    @cached_property
    def usual(self) -> dict[str, Any]:
        """What is usual in the project, for the ticks in rows of people."""
        gold = rest_of(None, self._people, lambda person: person.gold)
        others = rest_of(None, self._people, lambda person: person.others)
        return {
            "gold": gold.share if gold else None,
            "others": others.share if others else None,
            "seconds": usual_seconds(None, self._people),
        }

    @cached_property
    def disagreements(self) -> list[Disagreement]:
        """Tasks that wait for a last word."""
        return disagreements(self.answers)

    @property
    def passed(self) -> Share | None:
        """Of those who tried the entry test, who passed."""
        tried = [person for person in self._people if person.tries]
        return Share(sum(person.qualified is not None for person in tried), len(tried)) if tried else None

    # -- Agreement ------------------------------------------------------------------------------------

    @cached_property
    def agreement(self) -> list[Named]:
        """Every agreement figure of the project's kind of feedback that can be had.

        Of tasks that came at random, where some were chosen: those are harder than most.
        """
        votes, feedback = self.answers.votes, self.project.feedback
        if self.has_chosen:
            votes = votes.where(~self.answers.chosen[self.answers.voting])
        rows: list[Named | None] = []
        if feedback != Project.FeedbackKind.REWRITE:
            rows.append(_named("Pairwise agreement", _pairwise_meaning(feedback), pairwise(votes), percent))
        rows += [
            _named(f"Krippendorff’s alpha, {level}", "1 is perfect, 0 is chance", alpha(votes, level))
            for level in LEVELS[feedback]
        ]
        if feedback == Project.FeedbackKind.RANK:
            rows.append(_named("Kendall’s tau-b", "1 is the same order, −1 the opposite", tau(votes)))
        return [row for row in rows if row is not None]

    @property
    def has_chosen(self) -> bool:
        """Whether some tasks were chosen for what they would teach."""
        return bool(self.answers.chosen.any())

    @property
    def shared_tasks(self) -> int:
        """Tasks with two answers or more."""
        _, places = self.answers.votes.numbered
        return int((np.bincount(places) > 1).sum()) if len(places) else 0

    @cached_property
    def agreement_by_criterion(self) -> list[Named]:
        """Alpha for each of the project's criteria."""
        rows = []
        for criterion in self.project.criteria:
            votes = self.answers.votes_by(worths_by(self.answers, criterion))
            rows += [
                _named(f"{criterion}, alpha, {level}", "", alpha(votes, level))
                for level in LEVELS[self.project.feedback]
            ]
        return [row for row in rows if row is not None]

    # -- Over time ------------------------------------------------------------------------------------

    @cached_property
    def periods(self) -> Periods:
        return periods_of(self.answers.given)

    @property
    def answers_over_time(self) -> Columns:
        counts = np.bincount(self.periods.of, minlength=len(self.periods))
        return Columns("Answers", self.periods.labels, counts.tolist(), across=self.periods.unit)

    @property
    def agreement_over_time(self) -> list[OverTime]:
        """Pairwise agreement, and alpha, of the tasks by the period in which they were answered last."""
        if self.project.feedback == Project.FeedbackKind.REWRITE:
            return []
        level = LEVELS[self.project.feedback][0]
        pictures = [
            self._agreement_over_time("Pairwise agreement", pairwise, 0.0, percent),
            self._agreement_over_time(
                f"Krippendorff’s alpha, {level}", lambda votes: alpha(votes, level), -0.2, figure
            ),
        ]
        return [picture for picture in pictures if picture.points]

    def _agreement_over_time(
        self, title: str, measure: Callable[[Votes], Estimate | None], bottom: float, shape: Any
    ) -> OverTime:
        votes, rows = self.answers.votes, self.answers.voting
        found, places = votes.numbered
        last = np.zeros(len(found), dtype=np.int64)
        np.maximum.at(last, places, self.periods.of[rows])
        of_answers = last[places]
        points = []
        for period in np.unique(last).tolist():
            estimate = measure(votes.where(of_answers == period))
            if estimate is not None and estimate.tasks >= FEWEST_TASKS:
                points.append(Point(period, estimate.value, estimate.low, estimate.high, estimate.tasks))
        return OverTime(
            title=title, unit=self.periods.unit, labels=self.periods.labels, points=points,
            bottom=bottom, shape=shape, of="tasks", usual=0.0 if bottom else None, usual_name="chance",
        )  # fmt: skip

    # -- What was said --------------------------------------------------------------------------------

    @property
    def distribution(self) -> Columns | None:
        """How often each grade or score was given, or how often each place was best; and all bad."""
        answers, project = self.answers, self.project
        bad = int(answers.all_bad[answers.ordinary].sum())
        said = answers.ordinary & answers.judged
        if project.feedback == Project.FeedbackKind.PAIR:
            grades = answers.worths[said][answers.places[said] == 1].astype(np.int64)
            counts = np.bincount(grades + MUCH, minlength=2 * MUCH + 1).tolist()
            return Columns(
                "Grades, as shown",
                [*GRADES, "all bad"],
                [*counts, bad],
                every_label=True,
                note="Below 0 the one shown first is better, above 0 the second; 3 is much better.",
            )
        if project.feedback == Project.FeedbackKind.SCORE:
            scores = answers.worths[said]
            values = scores[~np.isnan(scores)].astype(np.int64)
            counts = np.bincount(values, minlength=project.scale + 1)[1:].tolist()
            return Columns("Scores", [str(score) for score in range(1, project.scale + 1)], counts)
        if project.feedback == Project.FeedbackKind.REWRITE:
            return None
        return places_of_best(answers, said)


@dataclass(frozen=True, eq=False)
class OneOverTime:
    """One annotator's figures followed over periods."""

    answers: Answers
    person: Person
    usual: dict[str, Any]

    @cached_property
    def mine(self) -> Truths:
        return np.asarray(self.answers.people == self.person.pk)

    @cached_property
    def periods(self) -> Periods:
        """The project's: the same for everybody, so that people can be compared."""
        return periods_of(self.answers.given)

    @property
    def given(self) -> Columns:
        counts = np.bincount(self.periods.of[self.mine], minlength=len(self.periods))
        return Columns("Answers", self.periods.labels, counts.tolist(), across=self.periods.unit)

    @property
    def places(self) -> Columns | None:
        """Where what they picked as best was shown."""
        if self.project.feedback in {Project.FeedbackKind.REWRITE, Project.FeedbackKind.SCORE}:
            return None
        return places_of_best(self.answers, self.mine & self.answers.ordinary & self.answers.judged)

    @property
    def project(self) -> Project:
        return self.answers.project

    @property
    def pictures(self) -> list[OverTime]:
        """Those that have something to show."""
        answers = self.answers
        right = rightness(answers)
        picks = np.where(answers.first_picks >= 0, answers.first_picks == 0, np.nan)
        found = [
            self._shares("Agreement with others", agreement_with_others(answers),
                         usual=self.usual["others"], usual_name="the project"),
            self._shares("Likely right, by everybody’s answers", self._likely_right(), usual=0.5,
                         usual_name="guessing"),
            self._shares("Right on gold", np.where(answers.kinds == GOLD, right, np.nan),
                         usual=self.usual["gold"], usual_name="the project"),
            self._shares("Picks what is shown first", picks, usual=self.person.chance, usual_name="chance"),
            self._times(),
        ]  # fmt: skip
        return [picture for picture in found if picture.points]

    def _likely_right(self) -> Floats:
        """For each answer, how likely it is right, on average over all it says of two samples."""
        found = np.full(len(self.answers), np.nan)
        questions, rows = questions_of(self.answers)
        if questions is not None:
            agreeing = dawid_skene(questions).agreeing
            sums = np.bincount(rows, weights=agreeing, minlength=len(found))
            counts = np.bincount(rows, minlength=len(found))
            found[counts > 0] = sums[counts > 0] / counts[counts > 0]
        return found

    def _shares(self, title: str, hits: Floats, *, usual: float | None, usual_name: str) -> OverTime:
        points = []
        for period, rows in self._by_period(~np.isnan(hits)):
            share = Share(float(hits[rows].sum()), len(rows))
            points.append(Point(period, share.share, share.low, share.high, share.of))
        return self._over_time(title, points, usual=usual, usual_name=usual_name)

    def _times(self) -> OverTime:
        points = []
        for period, rows in self._by_period(~np.isnan(self.answers.seconds)):
            middle = median(self.answers.seconds[rows])
            assert middle is not None
            points.append(Point(period, middle.value, middle.low, middle.high, middle.of))
        usual = self.usual["seconds"]
        top = max([point.high or point.value for point in points] + [1.25 * (usual or 0), 4.0])
        return self._over_time(
            "Active time an answer", points, usual=usual, usual_name="the project", top=top, shape=seconds
        )

    def _by_period(self, known: Truths) -> Sequence[tuple[int, Ints]]:
        """The periods with such answers of theirs, each with the rows."""
        rows = np.flatnonzero(self.mine & known)
        of = self.periods.of[rows]
        return [(int(period), rows[of == period]) for period in np.unique(of)]

    def _over_time(self, title: str, points: list[Point], **options: Any) -> OverTime:
        return OverTime(
            title=title, unit=self.periods.unit, labels=self.periods.labels, points=points, **options
        )


def places_of_best(answers: Answers, rows: Truths) -> Columns:
    """How often the sample shown first, second … was picked as best, of some answers; and no one best."""
    widest = int(answers.shown[rows].max()) if rows.any() else 0
    picks = answers.first_picks[rows]
    counts = np.bincount(picks[picks >= 0], minlength=widest).tolist()
    labels = [f"{place}" for place in range(1, widest + 1)]
    tied = int(answers.tied[rows].sum())
    return Columns("Best, by the place shown", [*labels, "a tie"], [*counts, tied], every_label=True)


def _named(name: str, meaning: str, estimate: Estimate | None, shape: Any = figure) -> Named | None:
    return None if estimate is None else Named(name, meaning, estimate, shape)


def _pairwise_meaning(feedback: str) -> str:
    if feedback == Project.FeedbackKind.BEST:
        return "how often two people pick the same"
    return "how often two people put two samples in the same order; guessing gives about 50 %"
