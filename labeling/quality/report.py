"""Quality report of a project: agreement metrics, charts, annotators and warnings."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from labeling.feedback import MAX_GRADE
from labeling.models import Project
from labeling.proportions import Proportion
from labeling.quality.adjudication import Disagreement, disagreements
from labeling.quality.agreement import (
    MEASUREMENT_LEVELS,
    Bools,
    Estimate,
    Floats,
    Ints,
    Votes,
    kendall_tau_b,
    krippendorff_alpha,
    pairwise_agreement,
)
from labeling.quality.annotation_arrays import (
    GOLD,
    AnnotationArrays,
    criterion_values,
    load_annotation_arrays,
)
from labeling.quality.annotators import (
    AnnotatorMetrics,
    agreement_with_others,
    annotator_metrics,
    median_estimate,
    pair_responses,
)
from labeling.quality.charts import BarChart, LineChart, Point, format_number, format_percent, format_seconds
from labeling.quality.gold import correctness
from labeling.quality.reliability import dawid_skene
from labeling.quality.time_periods import Periods, divide_into_periods
from labeling.quality.warnings import AnnotatorWarning, find_warnings, median_seconds, pooled_proportion

MIN_TASKS_PER_PERIOD = 10
"""Periods with fewer shared tasks are not drawn: their intervals would fill the chart."""
GRADE_LABELS = tuple(
    f"{grade:+d}".replace("-", "−") if grade else "0" for grade in range(-MAX_GRADE, MAX_GRADE + 1)
)


@dataclass(frozen=True)
class AgreementMetric:
    """An agreement metric with its name and a short description."""

    name: str
    description: str
    estimate: Estimate
    format_value: Callable[[float], str] = format_number

    @property
    def value(self) -> str:
        return self.format_value(self.estimate.value)

    @property
    def range(self) -> str:
        """The interval as text, empty if there is none."""
        low, high = self.estimate.low, self.estimate.high
        return "" if low is None or high is None else f"{self.format_value(low)} to {self.format_value(high)}"


@dataclass(frozen=True, eq=False)
class QualityReport:
    """The quality of a project; annotations are loaded once."""

    answers: AnnotationArrays

    @classmethod
    def for_project(cls, project: Project) -> "QualityReport":
        return cls(load_annotation_arrays(project))

    @property
    def project(self) -> Project:
        return self.answers.project

    @cached_property
    def annotators(self) -> list[AnnotatorMetrics]:
        """Annotators with warnings first, then by name."""
        warned = {warning.annotator.pk for warning in self.warnings}
        return sorted(self._annotators, key=lambda annotator: annotator.pk not in warned)

    @cached_property
    def _annotators(self) -> list[AnnotatorMetrics]:
        return annotator_metrics(self.answers)

    @cached_property
    def warnings(self) -> list[AnnotatorWarning]:
        return find_warnings(self._annotators)

    @cached_property
    def baselines(self) -> dict[str, Any]:
        """Typical values in the project, shown as ticks in the table of annotators."""
        gold = pooled_proportion(None, self._annotators, lambda each: each.gold_accuracy)
        others = pooled_proportion(None, self._annotators, lambda each: each.agreement_with_others)
        return {
            "gold_accuracy": gold.value if gold else None,
            "agreement_with_others": others.value if others else None,
            "seconds": median_seconds(None, self._annotators),
        }

    @cached_property
    def disagreements(self) -> list[Disagreement]:
        """Tasks that need a final decision."""
        return disagreements(self.answers)

    @property
    def entry_test_pass_rate(self) -> Proportion | None:
        """How many of those who tried the entry test have passed."""
        tried = [each for each in self._annotators if each.training_attempts]
        passed = sum(each.passed_entry_test is not None for each in tried)
        return Proportion(passed, len(tried)) if tried else None

    # -- Agreement ------------------------------------------------------------------------------------

    @cached_property
    def agreement(self) -> list[AgreementMetric]:
        """All agreement metrics of the project's kind of feedback, of randomly chosen tasks only."""
        votes, feedback = self.answers.votes, self.project.feedback
        if self.has_other_than_random:
            votes = votes.select(self.answers.is_random[self.answers.vote_rows])
        rows: list[AgreementMetric | None] = []
        if feedback != Project.FeedbackKind.REWRITE:
            rows.append(
                _agreement_metric(
                    "Pairwise agreement",
                    _describe_pairwise_agreement(feedback),
                    pairwise_agreement(votes),
                    format_percent,
                )
            )
        rows += [
            _agreement_metric(
                f"Krippendorff’s alpha, {level}",
                "1 is perfect, 0 is chance",
                krippendorff_alpha(votes, level),
            )
            for level in MEASUREMENT_LEVELS[feedback]
        ]
        if feedback == Project.FeedbackKind.RANK:
            rows.append(
                _agreement_metric(
                    "Kendall’s tau-b", "1 is the same order, −1 the opposite", kendall_tau_b(votes)
                )
            )
        return [row for row in rows if row is not None]

    @property
    def has_other_than_random(self) -> bool:
        """Whether some tasks were chosen by their acquisition scores, or are live comparisons."""
        return not self.answers.is_random.all()

    @property
    def shared_tasks(self) -> int:
        """Tasks with two or more answers."""
        _, indices = self.answers.votes.task_index
        return int((np.bincount(indices) > 1).sum()) if len(indices) else 0

    @cached_property
    def agreement_by_criterion(self) -> list[AgreementMetric]:
        """Alpha of each criterion."""
        rows = []
        for criterion in self.project.criteria:
            votes = self.answers.votes_with(criterion_values(self.answers, criterion))
            rows += [
                _agreement_metric(f"{criterion}, alpha, {level}", "", krippendorff_alpha(votes, level))
                for level in MEASUREMENT_LEVELS[self.project.feedback]
            ]
        return [row for row in rows if row is not None]

    # -- Over time ------------------------------------------------------------------------------------

    @cached_property
    def periods(self) -> Periods:
        return divide_into_periods(self.answers.submitted)

    @property
    def answers_over_time(self) -> BarChart:
        counts = np.bincount(self.periods.index, minlength=len(self.periods))
        return BarChart("Answers", self.periods.labels, counts.tolist(), x_label=self.periods.unit)

    @property
    def agreement_over_time(self) -> list[LineChart]:
        """Pairwise agreement and alpha over time; a task counts in the period of its last answer."""
        if self.project.feedback == Project.FeedbackKind.REWRITE:
            return []
        level = MEASUREMENT_LEVELS[self.project.feedback][0]
        charts = [
            self._agreement_over_time("Pairwise agreement", pairwise_agreement, 0.0, format_percent),
            self._agreement_over_time(
                f"Krippendorff’s alpha, {level}",
                lambda votes: krippendorff_alpha(votes, level),
                -0.2,
                format_number,
            ),
        ]
        return [chart for chart in charts if chart.points]

    def _agreement_over_time(
        self, title: str, measure: Callable[[Votes], Estimate | None], bottom: float, format_value: Any
    ) -> LineChart:
        votes, rows = self.answers.votes, self.answers.vote_rows
        tasks, indices = votes.task_index
        last = np.zeros(len(tasks), dtype=np.int64)
        np.maximum.at(last, indices, self.periods.index[rows])
        of_answers = last[indices]
        points = []
        for period in np.unique(last).tolist():
            estimate = measure(votes.select(of_answers == period))
            if estimate is not None and estimate.tasks >= MIN_TASKS_PER_PERIOD:
                points.append(Point(period, estimate.value, estimate.low, estimate.high, estimate.tasks))
        return LineChart(
            title=title, unit=self.periods.unit, labels=self.periods.labels, points=points,
            bottom=bottom, format_value=format_value, n_label="tasks",
            baseline=0.0 if bottom else None, baseline_label="chance",
        )  # fmt: skip

    # -- Distribution of answers ----------------------------------------------------------------------

    @property
    def distribution(self) -> BarChart | None:
        """The frequency of each grade or score, or of each position being best; and of all bad."""
        answers, project = self.answers, self.project
        bad = int(answers.all_bad[answers.ordinary].sum())
        rows = answers.ordinary & answers.has_judgements
        if project.feedback == Project.FeedbackKind.PAIR:
            grades = answers.values[rows][answers.positions[rows] == 1].astype(np.int64)
            counts = np.bincount(grades + MAX_GRADE, minlength=2 * MAX_GRADE + 1).tolist()
            return BarChart(
                "Grades, as shown",
                [*GRADE_LABELS, "all bad"],
                [*counts, bad],
                every_label=True,
                note="Below 0 the one shown first is better, above 0 the second; 3 is much better.",
            )
        if project.feedback == Project.FeedbackKind.SCORE:
            scores = answers.values[rows]
            values = scores[~np.isnan(scores)].astype(np.int64)
            counts = np.bincount(values, minlength=project.scale + 1)[1:].tolist()
            return BarChart("Scores", [str(score) for score in range(1, project.scale + 1)], counts)
        if project.feedback == Project.FeedbackKind.REWRITE:
            return None
        return best_position_chart(answers, rows)


@dataclass(frozen=True, eq=False)
class AnnotatorCharts:
    """Charts of one annotator's metrics over time."""

    answers: AnnotationArrays
    annotator: AnnotatorMetrics
    baselines: dict[str, Any]

    @cached_property
    def mine(self) -> Bools:
        return np.asarray(self.answers.annotators == self.annotator.pk)

    @cached_property
    def periods(self) -> Periods:
        """Those of the whole project, so that annotators can be compared."""
        return divide_into_periods(self.answers.submitted)

    @property
    def answers_over_time(self) -> BarChart:
        counts = np.bincount(self.periods.index[self.mine], minlength=len(self.periods))
        return BarChart("Answers", self.periods.labels, counts.tolist(), x_label=self.periods.unit)

    @property
    def best_positions(self) -> BarChart | None:
        """The positions at which their best samples were shown."""
        if self.project.feedback in {Project.FeedbackKind.REWRITE, Project.FeedbackKind.SCORE}:
            return None
        return best_position_chart(
            self.answers, self.mine & self.answers.ordinary & self.answers.has_judgements
        )

    @property
    def project(self) -> Project:
        return self.answers.project

    @property
    def line_charts(self) -> list[LineChart]:
        """All line charts that have data."""
        answers = self.answers
        correct = correctness(answers)
        picks = np.where(answers.best_positions >= 0, answers.best_positions == 0, np.nan)
        gold = np.where(answers.kinds == GOLD, correct, np.nan)
        charts = [
            self._proportion_chart(
                "Agreement with others", agreement_with_others(answers),
                baseline=self.baselines["agreement_with_others"], baseline_label="the project",
            ),
            self._proportion_chart(
                "Reliability", self._response_posterior(), baseline=0.5, baseline_label="guessing"
            ),
            self._proportion_chart(
                "Gold accuracy", gold, baseline=self.baselines["gold_accuracy"], baseline_label="the project"
            ),
            self._proportion_chart(
                "Picks the first sample shown", picks, baseline=self.annotator.first_shown_chance,
                baseline_label="chance",
            ),
            self._time_chart(),
        ]  # fmt: skip
        return [chart for chart in charts if chart.points]

    def _response_posterior(self) -> Floats:
        """For each answer, the mean probability that its orderings of two samples are correct."""
        found = np.full(len(self.answers), np.nan)
        responses, rows = pair_responses(self.answers)
        if responses is not None:
            posterior = dawid_skene(responses).response_posterior
            sums = np.bincount(rows, weights=posterior, minlength=len(found))
            counts = np.bincount(rows, minlength=len(found))
            found[counts > 0] = sums[counts > 0] / counts[counts > 0]
        return found

    def _proportion_chart(
        self, title: str, hits: Floats, *, baseline: float | None, baseline_label: str
    ) -> LineChart:
        points = []
        for period, rows in self._by_period(~np.isnan(hits)):
            rate = Proportion(float(hits[rows].sum()), len(rows))
            points.append(Point(period, rate.value, rate.low, rate.high, rate.n))
        return self._line_chart(title, points, baseline=baseline, baseline_label=baseline_label)

    def _time_chart(self) -> LineChart:
        points = []
        for period, rows in self._by_period(~np.isnan(self.answers.seconds)):
            median = median_estimate(self.answers.seconds[rows])
            assert median is not None
            points.append(Point(period, median.value, median.low, median.high, median.n))
        baseline = self.baselines["seconds"]
        top = max([point.high or point.value for point in points] + [1.25 * (baseline or 0), 4.0])
        return self._line_chart(
            "Active time per answer",
            points,
            baseline=baseline,
            baseline_label="the project",
            top=top,
            format_value=format_seconds,
        )

    def _by_period(self, known: Bools) -> Sequence[tuple[int, Ints]]:
        """The periods that contain known answers of this annotator, each with their rows."""
        rows = np.flatnonzero(self.mine & known)
        periods = self.periods.index[rows]
        return [(int(period), rows[periods == period]) for period in np.unique(periods)]

    def _line_chart(self, title: str, points: list[Point], **options: Any) -> LineChart:
        return LineChart(
            title=title, unit=self.periods.unit, labels=self.periods.labels, points=points, **options
        )


def best_position_chart(answers: AnnotationArrays, rows: Bools) -> BarChart:
    """How often the best sample was shown first, second …, among the given answers; and ties for best."""
    widest = int(answers.sample_counts[rows].max()) if rows.any() else 0
    picks = answers.best_positions[rows]
    counts = np.bincount(picks[picks >= 0], minlength=widest).tolist()
    labels = [f"{position}" for position in range(1, widest + 1)]
    tied = int(answers.tied[rows].sum())
    return BarChart("Best sample by position", [*labels, "tie"], [*counts, tied], every_label=True)


def _agreement_metric(
    name: str, description: str, estimate: Estimate | None, format_value: Any = format_number
) -> AgreementMetric | None:
    return None if estimate is None else AgreementMetric(name, description, estimate, format_value)


def _describe_pairwise_agreement(feedback: str) -> str:
    if feedback == Project.FeedbackKind.BEST:
        return "how often two people pick the same"
    return "how often two people put two samples in the same order; guessing gives about 50 %"
