"""What to do about a failed run: known causes of errors, with a hint for each."""

import re
from dataclasses import dataclass

from training.models import Run


@dataclass(frozen=True)
class Cause:
    """A known cause of failures: a pattern of its error, and what helps."""

    pattern: str
    hint: str

    def matches(self, error: str) -> bool:
        """Whether an error matches the pattern."""
        return re.search(self.pattern, error, re.IGNORECASE) is not None


CAUSES = (
    Cause(
        r"out of memory|more memory than|can't allocate memory|signal 9\b|MemoryError",
        "It needed more memory than the machine has, or was killed from outside. Clone it with a smaller "
        "batch, a shorter context or a smaller model, or run fewer at the same time.",
    ),
    Cause(
        r"signal \d+|command that executed this run was killed|process of this run (ended|exited)",
        "Its process was ended from outside; the last lines of the log may say why. Resume it if it saved "
        "its state, otherwise clone it.",
    ),
    Cause(
        r"are not those its run stored|hash differs",
        "The files of the version have changed since they were stored, so it is not used. Restore them from "
        "a backup, or clone this run with another version.",
    ),
    Cause(
        r"\bendpoint \S+[,:]",
        "Resume it once that is mended: prompts that have their samples are not asked for again. Without any "
        "samples yet, clone it.",
    ),
    Cause(
        r"(gone|missing) from the artifact storage",
        "The files of the version are missing. Restore them from a backup, or clone this run with another "
        "version.",
    ),
    Cause(
        r"no (comparisons|demonstrations) yet|nobody preferred anything|nobody wrote an answer|"
        r"no comparison prefers|what would teach a preference|"
        r"answers? no more|collect more answers",
        "There is too little data. Collect more annotations in the project, then clone it.",
    ),
    Cause(
        r"no such file or folder|corpora that go by a name|holds no text that can be read|"
        r"lacks the train split|cannot be read|\bno such file\b|FileNotFoundError",
        "A file that it reads is missing. Put it back on the machine of the worker, or clone this run with "
        "another source.",
    ),
    Cause(
        r"began with another|began with \w+ .* not ",
        "Its data has changed since it saved its state, so it cannot be resumed. Clone it to start over.",
    ),
    Cause(
        r"not a whole state|of another version of this program|state kept is of another model",
        "Its saved state cannot be used. Clone it to start over.",
    ),
    Cause(
        r"tokens are fewer than one context|training tokens are fewer",
        "The corpus is shorter than the context length. Clone it with more text, or a shorter context.",
    ),
    Cause(
        r"became (nan|inf|-inf)|became infinite|loss became|is no number",
        "The training diverged. Clone it with a third of the learning rate, or a longer warm-up.",
    ),
    Cause(
        r"heldout_prompts: there is none|prompts: there is none|has no prompts|holds no prompts",
        "The project has no such prompts. Add some, with a held-out share, then clone this run.",
    ),
    Cause(
        r"tokenizer does not know|reads its samples otherwise|read its own samples",
        "The policy and the reward model have different tokenizers. Train a reward model from this policy, "
        "then clone this run with it.",
    ),
    Cause(
        r"score of .* is (nan|inf)|train the reward model again",
        "The reward model gives no valid scores. Train another one, then clone this run with it.",
    ),
    Cause(
        r"both versions wrote the same|nothing to compare",
        "The two versions write the same. Choose another version to compare with, or a higher temperature.",
    ),
    Cause(
        r"cuda is not available|no kernel image|CUDA error|device: ",
        "The device is not available. Clone it with the device “Automatic”.",
    ),
    Cause(
        r"No space left on device|Errno 28|disk quota|disk is full",
        "The disk is full. Free space where the site stores its files, then resume or clone the run.",
    ),
    Cause(
        r"OperationalError|connection .* (closed|refused)|server closed the connection",
        "The database could not be reached. Make sure that it runs, then resume or clone the run.",
    ),
    Cause(
        r"IntegrityError.*(version|generator|name)|already exists",
        "The name of its version was taken in the meantime. Resume it: it uses the next free name.",
    ),
)
"""The first match counts: more specific causes come first."""

RESUME_HINT = "Resume it from its saved state; if it fails again, clone it and change what the error names."
CLONE_HINT = "Clone it and change what the error names; the log has details."


def failure_hint(run: Run) -> str:
    """What to do about a failed run, in a line or two; empty for other runs."""
    if run.status != Run.Status.FAILED:
        return ""
    known = next((cause.hint for cause in CAUSES if cause.matches(run.error)), None)
    return known or (RESUME_HINT if run.is_resumable else CLONE_HINT)
