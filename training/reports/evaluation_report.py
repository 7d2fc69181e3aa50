"""What an evaluation of two versions found, as people read it: rows of a page, lines in a terminal."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from training.forms.judges import PEOPLE
from training.models import Run
from training.reports.charts import figures

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
    longer_win_rate: Interval | None
    agreement: Interval | None
    annotators: list[dict[str, Any]]
    remarks: str

    @classmethod
    def of(cls, row: dict[str, Any]) -> "JudgeRow":
        """From a run's metrics."""
        won = Interval.of(row["won"])
        by_people = row["judge"] == PEOPLE
        basis = counted(row["prompts"], "prompt")
        if won is None:
            basis = "no answers"
        elif by_people:
            answers = counted(won.count, "answer")
            basis = f"{answers} by {counted(len(row['annotators']), 'person', 'people')} on {basis}"
        remarks = [counted(row["ties"], "tie")] if row["ties"] else []
        for key, what in (("all_bad", "both bad"), ("skipped", "skipped"), ("open", "still open")):
            remarks += [f"{row[key]} {what}"] if row.get(key) else []
        return cls(
            judge=row["judge"],
            kind="blind comparisons" if by_people else row["kind"],
            won=won,
            basis=basis,
            scores=None if by_people else (f"{row['score']:z.2f}", f"{row['score_against']:z.2f}"),
            longer_win_rate=Interval.of(row["longer_won"]),
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
    ours, theirs = sides
    return [
        (name, meaning, shown(key, ours[key]), shown(key, theirs[key])) for key, name, meaning in TEXT_FIGURES
    ]


def shown(key: str, value: float | None) -> str:
    """Lengths as numbers, everything else as a share."""
    if value is None:
        return "–"
    return f"{value:.1f}" if key == "words" else f"{value:.0%}"


def best_of_rows(run: Run) -> tuple[list[str], list[tuple[str, ...]]]:
    """What choosing the best of n came to: the heads of a table, and its rows."""
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
    """Pairs of completions with what each judge said: who won by it, and by what."""
    return [
        {**example, "verdicts": [said(verdict) for verdict in example["verdicts"]]}
        for example in run.metrics.get("examples", [])
        if "verdicts" in example
    ]


def said(verdict: dict[str, Any]) -> dict[str, str]:
    """One judge's word on one pair."""
    points = verdict["points"]
    winner = "tie" if points == 0.5 else "ours" if points > 0.5 else "theirs"
    if verdict["judge"] == PEOPLE:
        agreed, how = max(points, 1 - points), counted(verdict["answers"], "answer")
        how = how if agreed == 1 or winner == "tie" else f"{agreed:.0%} of {how}"
    else:
        how = f"{verdict['score']:z.2f} against {verdict['score_against']:z.2f}"
    return {"judge": verdict["judge"], "winner": winner, "how": how}


def names(run: Run) -> tuple[str, str]:
    """Who is compared, as people call them."""
    ours = str(run.policy)
    if run.parameters.get("best_of", 1) > 1:
        ours = f"best of {run.parameters['best_of']} by {ours}"
    return ours, run.parameters["against"]


def next_step(run: Run) -> str:
    """What to do once blind tasks are open; empty where none were opened."""
    if not run.metrics.get("tasks") or run.project is None:
        return ""
    asked = f"--policy {run.policy} --against {run.parameters['against']} --project {run.project.slug}"
    return (
        f"{counted(run.metrics['tasks'], 'blind task')} opened at {run.project.get_absolute_url()}; "
        f"once people have answered, see `manage.py evaluate {asked} --judge {PEOPLE}`."
    )


def context(run: Run) -> dict[str, Any]:
    """What the page shows of an evaluation that compared two versions."""
    heads, rows = best_of_rows(run)
    elsewhere = {"prompts", "tasks"}
    return {
        "figures": figures({name: value for name, value in run.metrics.items() if name not in elsewhere}),
        "judges": judge_rows(run),
        "names": names(run),
        "texts": text_rows(run),
        "best_of_heads": heads,
        "best_of": rows,
        "pairs": example_rows(run),
        "next_step": next_step(run),
    }


def lines(run: Run) -> list[str]:
    """The evaluation for a terminal; nothing for a run that compared no versions."""
    judges = judge_rows(run)
    if not judges:
        return []
    ours, theirs = names(run)
    heads = ("judge", f"{ours} wins", "95 % interval", "on", "longer won", "agrees with people")
    found = [f"  {ours} against {theirs}"]
    found += columns(
        heads,
        [
            (
                row.judge,
                str(row.won or "–"),
                row.won.range if row.won else "no answer yet",
                f"{row.basis} ({row.remarks})" if row.remarks else row.basis,
                f"{row.longer_win_rate} of {row.longer_win_rate.count}" if row.longer_win_rate else "–",
                f"{row.agreement} ({row.agreement.range})" if row.agreement else "–",
            )
            for row in judges
        ],
    )
    found += columns(
        ("mean score by", ours, theirs), [(row.judge, *row.scores) for row in judges if row.scores]
    )
    found += columns(
        ("annotator", "answers", f"{ours} wins"),
        [
            (each["annotator"], str(each["answers"]), f"{each['rate']:.0%}")
            for row in judges
            for each in row.annotators
        ],
    )
    found += columns(*best_of_rows(run))
    found += columns(("texts", ours, theirs), [(name, a, b) for name, _, a, b in text_rows(run)])
    return [*found, "", f"  {next_step(run)}"] if next_step(run) else found


def columns(heads: Sequence[str], rows: Sequence[tuple[str, ...]]) -> list[str]:
    """Rows under their heads as lines with aligned columns, after an empty line; nothing without rows."""
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
