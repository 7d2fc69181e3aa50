"""The one way in for data: files and streams of any format, as records.

A container (`containers`) gives rows, a shape of a format (`shape`) is recognised from their columns, and its
parser gives records. What is wrong with a row is a `Problem` with the row, the column and what to do.
"""

import re
from collections.abc import Generator, Iterable, Iterator, Mapping
from itertools import chain, islice
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple

from training.formats import (
    answer_records,
    arena,
    argilla,
    distilabel,
    helpsteer,
    label_studio,
    llama_factory,
    oasst,
    openai,
    pku_saferlhf,
    qa_feedback,
    red_team,
    shp,
    summarize,
    trl,
    ultrafeedback,
    webgpt,
)
from training.formats import columns as column_tables
from training.formats.containers import read_parts
from training.formats.records import Record
from training.formats.rows import FileProblem, Problem, Row, problem_of
from training.formats.shape import Shape
from training.formats.text_rows import Paragraphs, normalise_name

SHAPES: tuple[Shape, ...] = (
    *answer_records.SHAPES,
    *label_studio.SHAPES,
    *argilla.SHAPES,
    *openai.SHAPES,
    *oasst.SHAPES,
    *shp.SHAPES,
    *pku_saferlhf.SHAPES,
    *arena.SHAPES,
    *helpsteer.SHAPES,
    *webgpt.SHAPES,
    *qa_feedback.SHAPES,
    *summarize.SHAPES,
    *red_team.SHAPES,
    *ultrafeedback.SHAPES,
    *distilabel.SHAPES,
    *llama_factory.SHAPES,
    *trl.SHAPES,
    *column_tables.SHAPES,
    *trl.PLAIN_SHAPES,
)
"""All shapes, those with telling columns first."""
AUTO = "auto"
FORMATS = {
    "trl": "TRL, and Hone's own exports",
    "answers": "Hone's answers, complete",
    "hh": "Anthropic HH-RLHF",
    "columns": "A prompt with samples in columns or a list",
    "label-studio": "Label Studio",
    "argilla": "Argilla 2",
    "llama-factory": "LLaMA-Factory",
    "openai": "OpenAI",
    "ultrafeedback": "UltraFeedback",
    "distilabel": "distilabel",
    "oasst": "OpenAssistant",
    "shp": "Stanford Human Preferences",
    "pku-saferlhf": "PKU-SafeRLHF",
    "arena": "Chatbot Arena",
    "helpsteer": "HelpSteer",
    "webgpt": "WebGPT comparisons",
    "qa-feedback": "QA-Feedback",
    "summarize-from-feedback": "Summarize from feedback",
    "red-team": "Red team attempts",
}
"""Names of formats, as in `--format`, and what they are called."""
ROLES = (
    "such are prompt, chosen, rejected, completion, label, score, messages, system, response_1, response_2, "
    "winner, model, annotator, group, id and split"
)
MAX_PROBLEMS = 20
"""Problems that a message lists."""
PEEKED = 20
"""Rows from which the shape is known before the first is given."""
MAX_PLANS = 4096
"""Combinations of columns that are kept; rows may each have their own."""
ASIDE = re.compile(
    r"(data)?(set|source|subset|domain|category|lang(uage)?|url|tags?|topic|type|task|model|version|date"
    r"|time(stamp)?|created(_at)?|updated(_at)?|meta(data)?|origin|prompt_source|file|license)(_.*)?"
)
"""Columns that are no prompt, whatever they hold."""


class _Plan(NamedTuple):
    """What is done with rows that have the same columns."""

    names: dict[str, str]
    shapes: list[Shape]


class RecordReader:
    """Iterates once over the records of a source, and the problems with its rows.

    `format` is that of the first row that was recognised, `shape` what the row is, for people; `container` is
    what contains it, such as `JSON, gzip`. `columns_used` says what each column was taken for so far.
    """

    def __init__(self, entries: Iterator[Record | Problem]) -> None:
        self.format = self.shape = self.container = ""
        self.columns_used: dict[str, str] = {}
        self.columns_left_out: list[str] = []
        self.entries = self._generator = entries

    def close(self) -> None:
        """End the reading early, before the source is closed."""
        if isinstance(self._generator, Generator):
            self._generator.close()

    def __iter__(self) -> Iterator[Record | Problem]:
        return self.entries

    def __next__(self) -> Record | Problem:
        return next(self.entries)


def read_records(
    source: str | Path | BinaryIO,
    *,
    name: str = "",
    format: str = AUTO,  # noqa: A002 - as in the option
    columns: Mapping[str, str] | None = None,
    encoding: str = "",
    paragraphs: Paragraphs = "lines",
) -> RecordReader:
    """The records of a file, a folder or an open binary stream called `name`.

    `columns` maps what a column is taken for to its name, as in `{"prompt": "question_text"}`; an empty name
    says that there is none. Texts in another encoding than UTF-8 need an `encoding`; `paragraphs` says what
    is one prompt in a plain text. Raises FileProblem for what cannot be read at all, and for columns of which
    no row can be understood.
    """
    if format not in (AUTO, *FORMATS):
        raise FileProblem(f"format: “{format}” is not known; choose {AUTO}, {', '.join(FORMATS)}.")
    path = Path(source).expanduser() if isinstance(source, str | Path) else None
    if path is not None and not path.exists():
        raise FileProblem("No such file or folder.")
    reading = _Reading(
        path or source,  # type: ignore[arg-type]
        name=name or (path.name if path else ""),
        format_name=format,
        columns={normalise_name(role): column for role, column in (columns or {}).items()},
        encoding=encoding,
        paragraphs=paragraphs,
    )
    return reading.start()


class _Reading:
    """The reading of one source."""

    def __init__(
        self,
        source: Path | BinaryIO,
        *,
        name: str,
        format_name: str,
        columns: Mapping[str, str],
        encoding: str,
        paragraphs: Paragraphs,
    ) -> None:
        self.source, self.name, self.format = source, name, format_name
        self.encoding, self.paragraphs = encoding, paragraphs
        self.shapes = [each for each in SHAPES if format_name in (AUTO, each.format)]
        self.roles = {normalise_name(column): role for role, column in columns.items() if column}
        self.absent = [role for role, column in columns.items() if not column]
        self.unseen = {normalise_name(column): column for column in columns.values() if column}
        if unknown := [role for role in columns if not any(shape.names(role) for shape in self.shapes)]:
            raise FileProblem(f"columns: “{unknown[0]}” is nothing that a column can be; {ROLES}.")
        self.plans: dict[tuple[str, ...], _Plan] = {}
        self.seen: set[tuple[int, int]] = set()
        self.unknown = ""
        self.reader = RecordReader(self._entries())

    def start(self) -> RecordReader:
        """The reader, after its first rows were looked at."""
        first = list(islice(self.reader.entries, PEEKED))
        if self.unseen and first:
            missing = ", ".join(f"“{column}”" for column in self.unseen.values())
            raise FileProblem(f"columns: there is no column {missing}.")
        if self.unknown and not any(isinstance(each, Record) for each in first):
            raise FileProblem(self.unknown)
        rest = self.reader.entries
        self.reader.entries = chain(first, rest)
        return self.reader

    def _entries(self) -> Iterator[Record | Problem]:
        for part in read_parts(
            self.source,
            name=self.name,
            is_known=self._is_known,
            encoding=self.encoding,
            paragraphs=self.paragraphs,
        ):
            self.reader.container = self.reader.container or part.container
            for row in part.rows:
                if isinstance(row, Problem):
                    yield row
                else:
                    yield from self._parse(row)

    def _is_known(self, name: str) -> bool:
        name = self.roles.get(normalise_name(name), normalise_name(name))
        return any(shape.names(name) for shape in self.shapes)

    def _parse(self, row: Row) -> Iterator[Record | Problem]:
        """The records of a row, or its problem."""
        if self.unseen:
            for name in row.values:
                self.unseen.pop(normalise_name(name), None)
        keys = tuple([name for name, value in row.values.items() if value is not None])
        plan = self.plans.get(keys) or self._plan(keys)
        names = plan.names
        values = {names[key]: row.values[key] for key in keys if key in names}
        shape = next((each for each in plan.shapes if each.test is None or each.test(values)), None)
        if shape is None:
            self.unknown = self.unknown or self._why_unknown(values)
            yield Problem(row.number, self._why_unknown(values))
            return
        self._note(shape, keys, names)
        if shape.parse is None:
            self.unknown = self.unknown or shape.refusal
            yield Problem(row.number, shape.refusal)
            return
        try:
            for record in shape.parse(row.number, values):
                is_split = record.prompt.messages is None and not _names_prompt(shape, values)
                if record.samples and is_split and (why := self._why_no_prompt(shape, values)):
                    self.unknown = self.unknown or why
                    yield Problem(row.number, why)
                    return
                yield record
        except ValueError as error:
            yield problem_of(row.number, str(error))
        except (TypeError, AttributeError, LookupError):  # such as a number where the format has a list
            yield Problem(
                row.number, f"is not as {FORMATS[shape.format]} writes it: a value is of another kind."
            )
        except RecursionError:
            yield Problem(row.number, "is nested too deeply: write the row as plain columns.")

    def _plan(self, keys: tuple[str, ...]) -> _Plan:
        """How rows with these columns are read: the names they get, and the shapes they may have."""
        names: dict[str, str] = {}
        normal = {key: normalise_name(key) for key in keys}
        mapped = {self.roles[name] for name in normal.values() if name in self.roles}
        for key, name in normal.items():
            role = self.roles.get(name)
            if role is not None:
                names[key] = role
            elif name not in mapped and name not in self.absent and name not in names.values():
                names[key] = name
        if len(self.plans) > MAX_PLANS:
            self.plans.clear()
        plan = _Plan(names, [shape for shape in self.shapes if shape.fits(names.values())])
        self.plans[keys] = plan
        return plan

    def _note(self, shape: Shape, keys: tuple[str, ...], names: Mapping[str, str]) -> None:
        """Keep what the columns of rows are taken for."""
        if (mark := (id(shape), hash(keys))) in self.seen:
            return
        self.seen.add(mark)
        reader = self.reader
        reader.format, reader.shape = reader.format or shape.format, reader.shape or shape.title
        for key in keys:
            role = shape.role_of(names[key]) if key in names else ""
            if role:
                reader.columns_used.setdefault(key, role)
                if key in reader.columns_left_out:
                    reader.columns_left_out.remove(key)
            elif key not in reader.columns_used and key not in reader.columns_left_out:
                reader.columns_left_out.append(key)

    def _why_unknown(self, values: Mapping[str, Any]) -> str:
        """Why rows with these columns are of no shape."""
        if not values:
            return "is empty: write a row, or leave it out."
        listed = ", ".join(f"“{name[:40]}”" for name in list(values)[:12])
        nearly = [
            unmet[0]
            for shape in self.shapes
            if len(unmet := [n for n in shape.needs if not any(re.fullmatch(n, v) for v in values)]) == 1
            and len(shape.needs) > 1
        ]
        if self.format != AUTO:
            return f"not {self.format}: it has the columns {listed}; choose another format, or {AUTO}."
        if other := next((name for name in nearly if name in trl.PAIR), ""):
            return f"no “{other.split('|')[0]}”, which a comparison needs: it has {listed}."
        return (
            f"the columns {listed} are not known: "
            "name them, as in --columns prompt=NAME,chosen=NAME,rejected=NAME."
        )

    def _why_no_prompt(self, shape: Shape, values: Mapping[str, Any]) -> str:
        """Why a record without a prompt cannot be right: a column that was left out may be its prompt."""
        if "prompt" in self.absent:
            return ""
        texts = [
            name
            for name, value in values.items()
            if isinstance(value, str | list | dict)
            and value
            and not shape.role_of(name)
            and not ASIDE.fullmatch(name)
        ]
        if not texts:
            return ""
        return (
            f"no column is taken for the prompt: name it, as in --columns prompt={texts[0]}, "
            "or say with --columns prompt= that there is none."
        )


def _names_prompt(shape: Shape, values: Mapping[str, Any]) -> bool:
    """Whether a column holds the prompt, so that it was not found as the common beginning of the samples."""
    return any("prompt" in role or "messages" in role for role in map(shape.role_of, values))


def parse_columns(text: str) -> dict[str, str]:
    """Columns from an option such as `prompt=question_text,chosen=selected`; raises FileProblem."""
    found: dict[str, str] = {}
    for part in filter(None, (part.strip() for part in text.split(","))):
        role, equals, column = (piece.strip() for piece in part.partition("="))
        if not equals or not role:
            raise FileProblem(
                f"columns: “{part}” is not prompt=NAME; write as prompt=question_text,chosen=selected."
            )
        if role in found:
            raise FileProblem(f"columns: “{role}” is there twice.")
        found[role] = column
    return found


def list_problems(name: str, problems: Iterable[Problem]) -> str:
    """A message with at most MAX_PROBLEMS problems of a file, one a line, and how many more there are."""
    problems = list(problems)
    lines = [
        f"{name}, {problem}" if problem.row else f"{name}: {problem}" for problem in problems[:MAX_PROBLEMS]
    ]
    if len(problems) > MAX_PROBLEMS:
        lines.append(f"… and {len(problems) - MAX_PROBLEMS:,} more.")
    return "\n".join(lines)


def all_records(
    source: str | Path | BinaryIO, *, name: str = "", **options: Any
) -> tuple[RecordReader, list[Record]]:
    """All records of a source that is right in every row, with their reader.

    Raises FileProblem that names the source: at most twenty problems of its rows, and how many more.
    """
    name = name or str(source)
    records: list[Record] = []
    problems: list[Problem] = []
    try:
        reader = read_records(source, **options)
        for each in reader:
            if isinstance(each, Record):
                records.append(each)
            else:
                problems.append(each)
    except FileProblem as error:
        raise FileProblem(f"{name}: {error}") from None
    if problems:
        raise FileProblem(list_problems(name, problems))
    return reader, records
