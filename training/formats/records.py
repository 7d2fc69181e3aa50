"""What the rows of a file mean, whatever its format: prompts, samples, and how people judged them.

A format gives records from rows; imports, training files and exports work with records only.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

from training.formats.prompt_completions import ParsedPrompt

JudgementKind = Literal["pair", "rank", "best", "score", "label", "demonstration"]
"""How samples were judged: graded pair, ranks, one best, scores, good or bad, or a text that was written."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RecordSample:
    """A completion of the prompt."""

    text: str
    """Exactly what follows the text of the prompt, as in `prompt_completions`."""
    generator: str = ""
    """The model or person that wrote it, as the file says; empty if it does not."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RecordJudgement:
    """What one person (or program) said about the samples of a record."""

    kind: JudgementKind
    annotator: str = ""
    """As the file names them; empty if it does not."""
    ranks: tuple[int, ...] | None = None
    """A rank for each sample, 1 is best, equal ranks are ties: for pairs, ranks and one best (1 and 2s)."""
    scores: tuple[float | None, ...] | None = None
    """A score for each sample, on the scale of the file, higher is better; None where it was not scored."""
    scale: tuple[float, float] | None = None
    """The lowest and the highest score, if known."""
    margin: float = 0.0
    """Pair: how much better, in units of reward, 0 if unknown; at most 1 in Hone's own exports."""
    criteria: tuple[Mapping[str, float], ...] | None = None
    """For each sample, its scores by criterion, on the scale of the file."""
    text: str = ""
    """Demonstration: the text that was written; exactly what follows the prompt."""
    all_bad: bool = False
    skipped: str = ""
    """The reason, if the person skipped the task."""
    flagged: bool = False
    comment: str = ""
    seconds: float | None = None
    choice: str = "random"
    """Why the task was chosen, as in `labeling.models.Task.Choice`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Record:
    """A prompt with its samples, and what people said about them."""

    row: int
    """Where it stands in the file: line, array element or table row, from 1."""
    prompt: ParsedPrompt
    samples: tuple[RecordSample, ...] = ()
    judgements: tuple[RecordJudgement, ...] = ()
    split: Literal["", "train", "heldout"] = ""
    group: str = ""
    """What belongs together across rows, such as the pairs of one ranking; empty if the file does not say."""
    source_id: str = ""
    """The identity of the row in the tool that wrote the file."""
    gold: object = None
    """The expected answer as written, if there is one (`labeling.imports.gold_answers`)."""
    is_training: bool = False
    """Whether the expected answer is for a training task, not for gold."""
    explanation: str = ""
    weight: float = 1.0
    """How much a demonstration counts."""
    all_turns: bool = False
    """Whether a demonstration teaches every turn of the assistant, not only the last."""
    is_text: bool = False
    """Whether the prompt is all there is, and may just as well be a whole text to learn."""
    extra: Mapping[str, object] = field(default_factory=dict)
    """The row as it was, of formats that an import reads whole (`answers`)."""
