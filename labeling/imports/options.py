"""What an import is asked to do, and what it did."""

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any, Literal, NamedTuple

from training.formats.records import Record
from training.formats.rows import Problem

ImportAs = Literal["auto", "prompts", "tasks", "answers", "gold", "demonstrations"]
IMPORT_AS: dict[ImportAs, str] = {
    "auto": "what the file holds",
    "prompts": "prompts only",
    "tasks": "tasks, to be judged here",
    "answers": "tasks with the answers in the file",
    "gold": "gold tasks: the answers in the file are the expected ones",
    "demonstrations": "texts that people wrote",
}
"""What a file is imported as, with its description."""
DEFAULT_HELDOUT = 0.1
"""The share of prompts held out for evaluation, where the file does not say."""
DEFAULT_GENERATOR = "import"
MAX_PROBLEMS = 20
"""Problems that are kept with their rows; all are counted."""


@dataclass(frozen=True, kw_only=True)
class ImportOptions:
    """What to make of the records of a file."""

    import_as: ImportAs = "auto"
    generator: str = DEFAULT_GENERATOR
    """Who wrote the samples that the file says nothing of."""
    heldout: float = DEFAULT_HELDOUT
    """The share of the new prompts that is held out where the file does not say, by the prompt's hash."""
    split: Literal["", "train", "heldout"] = ""
    """The split of all new prompts, whatever the file says; empty: as the file says."""
    leave_out: bool = False
    """Leave out rows with problems; otherwise one of them stops the import."""
    dry_run: bool = False
    """Work out everything, and store nothing."""
    is_beginning: bool = False
    """The records are only the first of the file: samples may be waiting for others of their prompt."""


@dataclass(frozen=True)
class Source:
    """The records of one file, and the problems with its rows."""

    records: Iterable[Record | Problem]
    format: str = "import"
    """The tool it comes from: annotators are named after it, such as `label-studio:2`."""
    name: str = ""
    """The name of the file, for messages."""


class FileRowProblem(NamedTuple):
    """What is wrong with one row of one file."""

    file: str
    problem: Problem

    def __str__(self) -> str:
        return f"{self.file}, {self.problem}" if self.file else str(self.problem)


@dataclass(kw_only=True)
class ImportResult:
    """What an import stored, or would store, and what was wrong with the file."""

    rows: int = 0
    """Rows read."""
    prompts: int = 0
    """New prompts, held-out ones included; likewise new below."""
    heldout: int = 0
    samples: int = 0
    tasks: int = 0
    answers: int = 0
    skips: int = 0
    gold: int = 0
    """Gold and training tasks."""
    known: int = 0
    """Rows that added nothing: already in the project, or repeated in the file."""
    unused_answers: int = 0
    """Answers in the file that were not asked for."""
    rounded: int = 0
    """Scores between two steps of the project's scale."""
    annotators: set[str] = field(default_factory=set)
    """Who gave the new answers."""
    generators: Counter[str] = field(default_factory=Counter)
    """Who wrote the new samples, and how many."""
    problems: list[FileRowProblem] = field(default_factory=list)
    """The first MAX_PROBLEMS."""
    problem_count: int = 0
    stored: bool = False

    @property
    def is_empty(self) -> bool:
        """Whether there is nothing new."""
        return not (self.prompts or self.samples or self.tasks or self.answers or self.skips or self.gold)

    def add_problem(self, problem: Problem, *, file: str = "") -> None:
        """Count a problem, and keep it if it is one of the first."""
        self.problem_count += 1
        if len(self.problems) < MAX_PROBLEMS:
            self.problems.append(FileRowProblem(file, problem))

    def as_json(self) -> dict[str, Any]:
        """For the API, `--json` and the database."""
        counts = ("rows", "prompts", "heldout", "samples", "tasks", "answers", "skips", "gold", "known",
                  "unused_answers", "rounded")  # fmt: skip
        return {
            "stored": self.stored,
            **{name: getattr(self, name) for name in counts},
            "annotators": len(self.annotators),
            "generators": dict(self.generators.most_common(MAX_PROBLEMS)),
            "problem_count": self.problem_count,
            "problems": [{"file": file, **problem._asdict()} for file, problem in self.problems],
        }
