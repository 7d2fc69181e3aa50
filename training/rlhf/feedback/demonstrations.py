"""Demonstrations for supervised fine-tuning, from a file or from the best of each ranking. Torch-free."""

from collections import defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from training.formats.conversation import as_prompt, messages_of
from training.formats.messages import Message
from training.formats.prompt_completions import ParsedPrompt
from training.formats.reader import AUTO, list_problems
from training.formats.records import Record, RecordJudgement, RecordSample
from training.formats.rows import Problem, problem_of
from training.gpt.errors import InputError
from training.rlhf.feedback.preference_files import OWN_FORMATS, FileNotes, read_file, scaled
from training.rlhf.feedback.preferences import Comparison

_EXAMPLE = '{"prompt": "...", "completion": "..."}'
MIDDLE = 0.5
"""A completion with a higher share of its scale is a demonstration."""


@dataclass(frozen=True)
class Demonstration:
    """A completion of a prompt as it should be written; it carries its own leading space.

    `messages` are those of the prompt, if it is a conversation: `prompt` is then its text. With `all_turns`,
    what the assistant says earlier in the conversation is learned too.
    """

    prompt: str
    completion: str
    weight: float = 1.0
    messages: tuple[Message, ...] | None = field(default=None, hash=False, repr=False)
    all_turns: bool = field(default=False, repr=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "prompt", as_prompt(self.prompt, self.messages))
        object.__setattr__(self, "messages", messages_of(self.prompt))

    @property
    def split_key(self) -> str:
        """Demonstrations with equal keys stay in one split: the prompt, if there is one."""
        return self.prompt or self.completion

    @property
    def texts(self) -> tuple[tuple[str, str], ...]:
        """The prompt with its completion."""
        return ((self.prompt, self.completion),)


def demonstrations_from_rankings(comparisons: Iterable[Comparison]) -> list[Demonstration]:
    """The best completions of each ranking: preferred to another one, and no other one preferred to them.

    Several of one ranking share its weight of 1. A ranking that has only ties gives none.
    """
    rankings: dict[tuple[str, str, str], list[Comparison]] = defaultdict(list)
    for number, pair in enumerate(comparisons):
        rankings[pair.prompt, pair.group or f"#{number}", pair.annotator].append(pair)
    demonstrations = []
    for (prompt, _, _), pairs in rankings.items():
        beaten = {pair.rejected for pair in pairs if not pair.tie}
        best = dict.fromkeys(pair.chosen for pair in pairs if not pair.tie and pair.chosen not in beaten)
        demonstrations += [
            Demonstration(prompt, completion, 1 / len(best), pairs[0].messages) for completion in best
        ]
    return demonstrations


def read_demonstrations(
    path: str | Path,
    *,
    format: str = AUTO,  # noqa: A002 - as in the option
    columns: str = "",
    encoding: str = "",
) -> list[Demonstration]:
    """The demonstrations of a file, without its held-out rows; see `demonstrations_and_notes`."""
    return demonstrations_and_notes(path, format=format, columns=columns, encoding=encoding)[0]


def demonstrations_and_notes(
    path: str | Path,
    *,
    format: str = AUTO,  # noqa: A002 - as in the option
    columns: str = "",
    encoding: str = "",
) -> tuple[list[Demonstration], FileNotes]:
    """The demonstrations of a file of any format, and what was made of it.

    These are texts that people wrote, completions that nobody judged, those labelled good or scored above
    the middle of their scale, and the best of several. Completions labelled bad, scored low or rejected are
    none. Of `messages`, a policy with a chat template learns every turn of the assistant. Raises InputError
    that names the file, its rows and their columns.
    """
    notes, records = read_file(path, format=format, columns=columns, encoding=encoding)
    found: list[Demonstration] = []
    problems: list[Problem] = []
    for record in records:
        try:
            own = list(_of_record(record))
        except ValueError as error:
            problems.append(problem_of(record.row, str(error)))
            continue
        if not own and not record.judgements and notes.reader.format in OWN_FORMATS:
            problems.append(Problem(record.row, f"no completion to learn: write {_EXAMPLE}."))
        elif not own:
            notes.left_out["rows without a text to learn: bad, scored low, tied or not answered"] += 1
        found += own
    if problems:
        raise InputError(list_problems(str(path), problems))
    if not found:
        why = f": {notes.left_out.total():,} rows are bad, scored low or not answered" if records else ""
        raise InputError(f"{path}: no demonstration in it{why}; give rows such as {_EXAMPLE}.")
    return found, notes


def _of_record(record: Record) -> Iterator[Demonstration]:
    """What a policy is to learn from a record."""
    prompt = record.prompt
    texts: dict[str, float] = {}
    written = [each.text for each in record.judgements if each.kind == "demonstration"]
    judged = [each for each in record.judgements if each.kind != "demonstration"]
    if written:
        texts = dict.fromkeys(written, 1.0)
    elif record.is_text:
        prompt, texts = ParsedPrompt(""), {prompt.text: 1.0}
    elif len(record.samples) == 1:
        scores = [
            scaled("score", score, judgement.scale)
            for judgement in judged
            for score in judgement.scores or ()
            if score is not None
        ]
        is_liked = not judged or (scores and sum(scores) / len(scores) > MIDDLE)
        texts = {record.samples[0].text: 1.0} if is_liked else {}
    else:
        best = {sample.text for judgement in judged for sample in _best(record, judgement)}
        texts = {text: 1 / len(best) for text in sorted(best)}
    for text, weight in texts.items():
        if not text.strip():
            raise ValueError('"completion" is empty: write the text to learn, or leave the row out.')
        yield Demonstration(
            prompt.text, text, weight * record.weight, prompt.messages, all_turns=record.all_turns
        )


def _best(record: Record, judgement: RecordJudgement) -> list[RecordSample]:
    """The samples that a judgement puts above another one."""
    if judgement.skipped or judgement.all_bad:
        return []
    values = [-rank for rank in judgement.ranks] if judgement.ranks else list(judgement.scores or ())
    given = [value for value in values if value is not None]
    if not given or min(given) == max(given):
        return []
    return [sample for sample, value in zip(record.samples, values, strict=True) if value == max(given)]
