"""The report of a head-to-head evaluation: tables of its page, lines for a terminal."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from training.forms.judges import PEOPLE
from training.models import Run
from training.reports.charts import metric_rows
from training.reports.number_format import pluralise

INTERVAL_WIDTH = 120
"""Width of the plot of an interval, from 0 to 100 %."""

TEXT_METRICS = (
    ("words", "Words", "mean per completion"),
    ("repetition", "Repetition", "share of words that repeat an earlier one"),
    ("repeated_4_grams", "Repeated 4-grams", "share of four-word phrases that repeat"),
    ("distinct_1", "Distinct words", "distinct-1 over all completions"),
    ("distinct_2", "Distinct pairs", "distinct-2 over all completions"),
    ("distinct_texts", "Distinct completions", "share that differ from all others"),
)
"""Metrics of the completions in their order on the page: key, name, meaning."""


@dataclass(frozen=True)
class Interval:
    """A rate with its 95 % interval, as text and as coordinates of a plot."""

    rate: float
    low: float
    high: float
    count: int

    @classmethod
    def of(cls, found: dict[str, Any] | None) -> "Interval | None":
        """From a run's metrics."""
        return cls(**found) if found else None

    def __str__(self) -> str:
        return f"{self.rate:.0%}"

    @property
    def range(self) -> str:
        """The interval as text."""
        return f"{100 * self.low:.0f} to {self.high:.0%}"

    @property
    def is_clear(self) -> bool:
        """Whether the interval excludes one half."""
        return not self.low <= 0.5 <= self.high

    @property
    def x(self) -> dict[str, float]:
        """The coordinates of the ends, the rate and one half."""
        rates = {"low": self.low, "rate": self.rate, "high": self.high, "half": 0.5}
        return {name: round(share * INTERVAL_WIDTH, 1) for name, share in rates.items()}


@dataclass(frozen=True)
class JudgeRow:
    """The results of one judge."""

    judge: str
    kind: str
    win_rate: Interval | None
    basis: str
    scores: tuple[str, str] | None
    longer_win_rate: Interval | None
    agreement: Interval | None
    annotators: list[dict[str, Any]]
    remarks: str

    @classmethod
    def of(cls, row: dict[str, Any]) -> "JudgeRow":
        """From a run's metrics."""
        win_rate = Interval.of(row["won"])
        by_people = row["judge"] == PEOPLE
        basis = pluralise(row["prompts"], "prompt")
        if win_rate is None:
            basis = "no answers"
        elif by_people:
            answers = pluralise(win_rate.count, "answer")
            basis = f"{answers} by {pluralise(len(row['annotators']), 'person', 'people')} on {basis}"
        remarks = [pluralise(row["ties"], "tie")] if row["ties"] else []
        for key, what in (("all_bad", "all bad"), ("skipped", "skipped"), ("open", "still open")):
            remarks += [f"{row[key]} {what}"] if row.get(key) else []
        return cls(
            judge=row["judge"],
            kind="blind comparisons" if by_people else row["kind"],
            win_rate=win_rate,
            basis=basis,
            scores=None if by_people else (f"{row['score']:z.2f}", f"{row['score_against']:z.2f}"),
            longer_win_rate=Interval.of(row["longer_won"]),
            agreement=None if by_people else Interval.of(row["agreement"]),
            annotators=row.get("annotators", []),
            remarks=", ".join(remarks),
        )


def judge_rows(run: Run) -> list[JudgeRow]:
    """A row for each judge of an evaluation."""
    return [JudgeRow.of(row) for row in run.metrics.get("judges", [])]


def text_metric_rows(run: Run) -> list[tuple[str, str, str, str]]:
    """(name, meaning, ours, theirs) of the metrics of the completions."""
    sides = run.metrics.get("texts", [])
    if len(sides) != 2:
        return []
    ours, theirs = sides
    return [
        (name, meaning, format_text_metric(key, ours[key]), format_text_metric(key, theirs[key]))
        for key, name, meaning in TEXT_METRICS
    ]


def format_text_metric(key: str, value: float | None) -> str:
    """Lengths as numbers, everything else in percent."""
    if value is None:
        return "–"
    return f"{value:.1f}" if key == "words" else f"{value:.0%}"


def best_of_rows(run: Run) -> tuple[list[str], list[tuple[str, ...]]]:
    """The result of best-of-n sampling: the column headings of a table, and its rows."""
    curve = run.metrics.get("best_of", [])
    if not curve:
        return [], []
    judges = [name for name in curve[0]["judges"] if name != run.parameters["reward"]]
    scores = [f"score by {name}" for name in (run.parameters["reward"], *judges)]
    heads = ["best of", "KL at most, nats", *scores]
    return heads, [
        (
            str(each["n"]),
            f"{each['kl']:.2f}",
            f"{each['reward']:z.2f}",
            *(f"{each['judges'][name]:z.2f}" for name in judges),
        )
        for each in curve
    ]


def example_rows(run: Run) -> list[dict[str, Any]]:
    """Pairs of completions with the verdict of each judge."""
    return [
        {**example, "verdicts": [verdict_row(verdict) for verdict in example["verdicts"]]}
        for example in run.metrics.get("examples", [])
        if "verdicts" in example
    ]


def verdict_row(verdict: dict[str, Any]) -> dict[str, str]:
    """One judge's verdict on one pair: the winner, and the scores or answers."""
    points = verdict["points"]
    winner = "tie" if points == 0.5 else "ours" if points > 0.5 else "theirs"
    if verdict["judge"] == PEOPLE:
        agreed, how = max(points, 1 - points), pluralise(verdict["answers"], "answer")
        how = how if agreed == 1 or winner == "tie" else f"{agreed:.0%} of {how}"
    else:
        how = f"{verdict['score']:z.2f} against {verdict['score_against']:z.2f}"
    return {"judge": verdict["judge"], "winner": winner, "how": how}


def compared_names(run: Run) -> tuple[str, str]:
    """The names of the two sides."""
    ours = str(run.generator)
    if run.parameters.get("best_of", 1) > 1:
        ours = f"best of {run.parameters['best_of']} by {ours}"
    return ours, run.parameters["against"]


def next_step(run: Run) -> str:
    """What to do once blind tasks are open; empty if none were opened."""
    if not run.metrics.get("tasks") or run.project is None:
        return ""
    option = "--from" if run.endpoint else "--policy"
    asked = f"{option} {run.generator} --against {run.parameters['against']} --project {run.project.slug}"
    return (
        f"{pluralise(run.metrics['tasks'], 'blind task')} opened at {run.project.get_absolute_url()}; "
        f"once people have answered, see `manage.py evaluate {asked} --judge {PEOPLE}`."
    )


def evaluation_context(run: Run) -> dict[str, Any]:
    """The template context of an evaluation that compared two versions."""
    heads, rows = best_of_rows(run)
    shown_elsewhere = {"prompts", "tasks"}
    return {
        "metrics": metric_rows(
            {name: value for name, value in run.metrics.items() if name not in shown_elsewhere}
        ),
        "judges": judge_rows(run),
        "names": compared_names(run),
        "texts": text_metric_rows(run),
        "best_of_heads": heads,
        "best_of": rows,
        "pairs": example_rows(run),
        "next_step": next_step(run),
    }


def terminal_lines(run: Run) -> list[str]:
    """The report for a terminal; empty for a run that compared no versions."""
    judges = judge_rows(run)
    if not judges:
        return []
    ours, theirs = compared_names(run)
    heads = ("judge", f"{ours} wins", "95 % interval", "on", "longer wins", "agrees with people")
    found = [f"  {ours} against {theirs}"]
    found += format_table(
        heads,
        [
            (
                row.judge,
                str(row.win_rate or "–"),
                row.win_rate.range if row.win_rate else "no answers yet",
                f"{row.basis} ({row.remarks})" if row.remarks else row.basis,
                f"{row.longer_win_rate} of {row.longer_win_rate.count}" if row.longer_win_rate else "–",
                f"{row.agreement} ({row.agreement.range})" if row.agreement else "–",
            )
            for row in judges
        ],
    )
    found += format_table(
        ("mean score by", ours, theirs), [(row.judge, *row.scores) for row in judges if row.scores]
    )
    found += format_table(
        ("annotator", "answers", f"{ours} wins"),
        [
            (each["annotator"], str(each["answers"]), f"{each['rate']:.0%}")
            for row in judges
            for each in row.annotators
        ],
    )
    found += format_table(*best_of_rows(run))
    found += format_table(("texts", ours, theirs), [(name, a, b) for name, _, a, b in text_metric_rows(run)])
    return [*found, "", f"  {next_step(run)}"] if next_step(run) else found


def format_table(heads: Sequence[str], rows: Sequence[tuple[str, ...]]) -> list[str]:
    """A table as lines with aligned columns, after an empty line; empty without rows."""
    if not rows:
        return []
    widths = [max(map(len, column)) for column in zip(heads, *rows, strict=True)]
    return [
        "",
        *(
            "  " + "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
            for row in (heads, *rows)
        ),
    ]
