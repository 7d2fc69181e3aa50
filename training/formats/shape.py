"""Shapes: what the columns of a row can be, by which a format is recognised, and records made of it."""

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

from training.formats.prompt_completions import parse_prompt_and_completions
from training.formats.records import Record, RecordJudgement, RecordSample
from training.formats.values import Values, first_of, follow, parse_identity, parse_split

Parse = Callable[[int, Values], Iterable[Record]]

ABOUT: Mapping[str, str] = {
    "split": "split",
    "id|_?id|uid|example_id|prompt_id|question_id|post_id": "id",
    "annotator|annotator_id|user_id|worker|worker_id|judge|labeler|rater": "annotator",
    "group": "group",
}
"""Columns that any shape may have, as patterns, and what each is taken for."""


@dataclass(frozen=True, kw_only=True)
class Shape:
    """One kind of row of a format. Names of columns are patterns, which match whole names."""

    format: str
    """The name of the format, as in `--format`."""
    title: str
    """What a row is, for people."""
    needs: Mapping[str, str]
    """Columns that must be there, and what each is taken for."""
    takes: Mapping[str, str] = field(default_factory=dict)
    """Columns that may be there."""
    without: str = ""
    """A pattern of columns that must not be there."""
    others: str = ""
    """What all further columns are taken for, except those that match `without_role`."""
    without_role: str = ""
    parse: Parse | None = None
    """The records of a row, by its number and its values without nulls, under normalised names."""
    refusal: str = ""
    """Why rows of this shape cannot be used, in place of `parse`."""
    test: Callable[[Values], bool] | None = None
    """Whether the values of a row are of this shape too, where names do not say it."""

    @cached_property
    def _patterns(self) -> list[tuple[re.Pattern[str], str]]:
        named = {**self.needs, **self.takes, **ABOUT}
        return [(re.compile(pattern), role) for pattern, role in named.items()]

    def fits(self, names: Iterable[str]) -> bool:
        """Whether columns of these names are of this shape."""
        names = list(names)
        return all(any(re.fullmatch(pattern, name) for name in names) for pattern in self.needs) and not any(
            self.without and re.fullmatch(self.without, name) for name in names
        )

    def role_of(self, name: str) -> str:
        """What a column is taken for; empty if it is left out."""
        role = next((role for pattern, role in self._patterns if pattern.fullmatch(name)), "")
        return role or ("" if re.fullmatch(self.without_role, name) else self.others)

    def names(self, name: str) -> bool:
        """Whether a column of this name is one of those that the shape names."""
        return any(pattern.fullmatch(name) for pattern, _ in self._patterns)


def about(values: Values) -> dict[str, Any]:
    """The fields of a record that any row may have."""
    id_name, identity = first_of(
        values, "id", "_id", "uid", "example_id", "prompt_id", "question_id", "post_id"
    )
    return {
        "split": parse_split(values.get("split")),
        "group": parse_identity("group", values.get("group")),
        "source_id": parse_identity(id_name, identity) if isinstance(identity, str | int | float) else "",
    }


def annotator_of(values: Values) -> str:
    """Who judged, as the row names them."""
    return parse_identity(
        *first_of(
            values, "annotator", "annotator_id", "user_id", "worker", "worker_id", "judge", "labeler", "rater"
        )
    )


def record_of(
    number: int,
    values: Values,
    *,
    prompt: Any,
    samples: Mapping[str, Any],
    name: str = "prompt",
    generators: Sequence[str] = (),
    judgements: Iterable[RecordJudgement] = (),
    **fields: Any,
) -> Record:
    """A record of a format that keeps a prompt (its column is `name`) and its samples (by theirs) apart."""
    parsed = parse_prompt_and_completions(prompt, samples, name=name, row=values)
    texts = follow(parsed.prompt, parsed.completions)
    writers = list(generators) or [""] * len(texts)
    return Record(
        row=number,
        prompt=parsed.prompt,
        samples=tuple(
            RecordSample(text=text, generator=writer) for text, writer in zip(texts, writers, strict=True)
        ),
        judgements=tuple(judgements),
        **{**about(values), **fields},
    )


def preferred(side: int | None, **fields: Any) -> RecordJudgement:
    """The judgement that of two samples this one (0 or 1) is better; None for a tie."""
    ranks = {0: (1, 2), 1: (2, 1), None: (1, 1)}[side]
    return RecordJudgement(kind="pair", ranks=ranks, **fields)
