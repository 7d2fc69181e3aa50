"""What an evaluation of two versions found, as people read it: rows of a page, lines in a terminal."""

from dataclasses import dataclass
from typing import Any

from training.charts import number
from training.forms import PEOPLE
from training.models import Run

WIDTH = 120
"""Of the picture of an interval: from 0 to 100 %."""

TEXT_FIGURES = (
    ("words", "Words", "mean of a completion"),
    ("repetition", "Repetition", "words that stood in the completion before"),
    ("repeated_4_grams", "Repeated phrases", "the same of four words in a row"),
    ("distinct_1", "Distinct words", "different ones over all, in all completions together"),
    ("distinct_2", "Distinct pairs", "the same of two words in a row"),
    ("distinct_texts", "Distinct completions", "share that repeats no other"),
)
"""The figures of texts in the order in which they are shown: key, name, what it means."""


@dataclass(frozen=True)
class Interval:
    """A rate with its 95 % interval, in words and as coordinates of a picture."""

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
        """The interval in words."""
        return f"{100 * self.low:.0f} to {self.high:.0%}"

    @property
    def is_clear(self) -> bool:
        """Whether one half lies outside."""
        return not self.low <= 0.5 <= self.high

    @property
    def x(self) -> dict[str, float]:
        """Where the ends, the rate and one half are drawn."""
        places = {"low": self.low, "rate": self.rate, "high": self.high, "half": 0.5}
        return {name: round(share * WIDTH, 1) for name, share in places.items()}


@dataclass(frozen=True)
class JudgeRow:
    """What one judge said."""

    judge: str
    kind: str
    won: Interval | None
    basis: str
    scores: tuple[str, str] | None
    longer_won: Interval | None
    agreement: Interval | None
    annotators: list[dict[str, Any]]
    remarks: str

    @classmethod
    def of(cls, row: dict[str, Any]) -> "JudgeRow":
        """From a run's metrics."""
        won = Interval.of(row["won"])
        by_people = row["judge"] == PEOPLE
        basis = counted(row["prompts"], "prompt")
        if by_people:
            answers = counted(won.count if won else 0, "answer")
            basis = f"{answers} by {counted(len(row['annotators']), 'person', 'people')} on {basis}"
        remarks = [counted(row["ties"], "tie")] if row["ties"] else []
        for key, what in (("all_bad", "both bad"), ("skipped", "skipped"), ("open", "still open")):
            remarks += [f"{row[key]} {what}"] if row.get(key) else []
        return cls(
            judge=row["judge"],
            kind="blind comparisons" if by_people else row["kind"],
            won=won,
            basis=basis,
            scores=None if by_people else (number(row["score"]), number(row["score_against"])),
            longer_won=Interval.of(row["longer_won"]),
            agreement=None if by_people else Interval.of(row["agreement"]),
            annotators=row.get("annotators", []),
            remarks=", ".join(remarks),
        )


def counted(count: int, one: str, many: str = "") -> str:
    """`1 prompt`, `2 prompts`, `2 people`."""
    return f"{count} {one if count == 1 else many or one + 's'}"


def judge_rows(run: Run) -> list[JudgeRow]:
    """A row for each judge of an evaluation."""
    return [JudgeRow.of(row) for row in run.metrics.get("judges", [])]


def text_rows(run: Run) -> list[tuple[str, str, str, str]]:
    """(name, what it means, ours, theirs) of the figures of texts."""
    sides = run.metrics.get("texts", [])
    if len(sides) != 2:
        return []
    return [
        (name, meaning, *("–" if side[key] is None else shown(key, side[key]) for side in sides))
        for key, name, meaning in TEXT_FIGURES
    ]


def shown(key: str, value: float) -> str:
    """Lengths as numbers, everything else as a share."""
    return f"{value:.1f}" if key == "words" else f"{value:.0%}"


def lines(run: Run) -> list[str]:
    """The evaluation for a terminal; nothing for a run that compared no versions."""
    judges, texts = judge_rows(run), text_rows(run)
    if not judges:
        return []
    ours, theirs = str(run.policy), run.parameters["against"]
    heads = ("judge", f"{ours} wins", "95 % interval", "on", "longer won", "agrees with people")
    table = [
        (
            row.judge,
            str(row.won or "–"),
            row.won.range if row.won else "no answer yet",
            f"{row.basis} ({row.remarks})" if row.remarks else row.basis,
            f"{row.longer_won} of {row.longer_won.count}" if row.longer_won else "–",
            f"{row.agreement} ({row.agreement.range})" if row.agreement else "–",
        )
        for row in judges
    ]
    found = [f"  {ours} against {theirs}", *columns([heads, *table])]
    scores = [(row.judge, *row.scores) for row in judges if row.scores]
    found += columns([("mean score", ours, theirs), *scores]) if scores else []
    for row in judges:
        found += [
            f"  {each['annotator']}: {each['rate']:.0%} in {counted(each['answers'], 'answer')}"
            for each in row.annotators
        ]
    return found + columns([("texts", ours, theirs), *((name, a, b) for name, _, a, b in texts)])


def columns(rows: list[tuple[str, ...]]) -> list[str]:
    """Rows as lines with aligned columns, after an empty line."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return [
        "",
        *(
            "  " + "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
            for row in rows
        ),
    ]
