"""What a person can do about a run that failed: known causes, and one line of advice for each."""

import re
from dataclasses import dataclass

from training.models import Run


@dataclass(frozen=True)
class Cause:
    """A reason for which runs fail: how its error reads, and what helps."""

    pattern: str
    advice: str

    def is_of(self, error: str) -> bool:
        """Whether an error reads like this cause."""
        return re.search(self.pattern, error, re.IGNORECASE) is not None


CAUSES = (
    Cause(
        r"out of memory|more memory than|can't allocate memory|signal 9\b|MemoryError",
        "It needed more memory than the machine has, or was killed from outside. Clone it with a smaller "
        "batch, a shorter context or a smaller model, and let fewer runs go at once.",
    ),
    Cause(
        r"signal \d+|command that executed this run was killed|process of this run (ended|exited)",
        "Its process ended from outside; the log's last lines may say why. Resume it where it saved a state, "
        "otherwise clone it.",
    ),
    Cause(
        r"are not those its run stored|hash differs",
        "The version's files were changed since they were stored, so it is not used. Restore them from a "
        "backup, or clone this run with another version.",
    ),
    Cause(
        r"(gone|missing) from the artifact storage",
        "The version's files are missing. Restore them from a backup, or clone this run with another one.",
    ),
    Cause(
        r"no comparisons yet|nobody preferred anything|nobody wrote an answer|no comparison prefers|"
        r"answers? no more|collect more answers",
        "There is too little to learn from. Let people answer more tasks of the project, then clone it.",
    ),
    Cause(
        r"no such file or folder|corpora that go by a name|holds no text that can be read|"
        r"lacks the train split|cannot be read|\bno such file\b|FileNotFoundError",
        "What it was to read is not there. Put it back where it was on the machine of the worker, or clone "
        "this run with another source.",
    ),
    Cause(
        r"began with another|began with \w+ .* not ",
        "What it reads has changed since, so it cannot go on from its state. Clone it to begin anew.",
    ),
    Cause(
        r"not a whole state|of another version of this program|state kept is of another model",
        "The state it left cannot be used. Clone it to begin anew.",
    ),
    Cause(
        r"tokens are fewer than one context|training tokens are fewer",
        "The corpus is too short for the model's context. Clone it with more text, or a smaller context.",
    ),
    Cause(
        r"became (nan|inf|-inf)|became infinite|loss became|is no number",
        "The training diverged. Clone it with a learning rate of a third, and more warm-up.",
    ),
    Cause(
        r"heldout_prompts: there is none|prompts: there is none|has no prompts|holds no prompts",
        "The project lacks prompts of that kind. Add some, with a share held out, then clone this run.",
    ),
    Cause(
        r"tokenizer does not know|reads its samples otherwise|read its own samples",
        "Policy and reward model do not read text alike. Train a reward model from this policy, then clone "
        "this run with it.",
    ),
    Cause(
        r"score of .* is (nan|inf)|train the reward model again",
        "The reward model gives no usable scores. Train another one, then clone this run with it.",
    ),
    Cause(
        r"both versions wrote the same|nothing to compare",
        "The two versions say the same. Choose another version to compare with, or a higher temperature.",
    ),
    Cause(
        r"cuda is not available|no kernel image|CUDA error|device: ",
        "The device it was to use cannot be used. Clone it with the device “auto”.",
    ),
    Cause(
        r"No space left on device|Errno 28|disk quota",
        "The disk is full. Make room where the site keeps its files, then resume the run, or clone it.",
    ),
    Cause(
        r"OperationalError|connection .* (closed|refused)|server closed the connection",
        "The database could not be reached. See that it runs, then resume the run, or clone it.",
    ),
    Cause(
        r"IntegrityError.*(version|generator|name)|already exists",
        "The name of its version was given to another meanwhile. Resume it: it takes the next free name.",
    ),
)
"""The first that fits counts, so the more particular stand first."""

PLAIN = "Resume it from the state it saved; if it fails again, clone it and change what the reason names."
BEGIN_ANEW = "Clone it, and change what the reason names; its log says more."


def advice(run: Run) -> str:
    """What to do about a run that failed, in a line or two; empty for one that did not fail."""
    if run.status != Run.Status.FAILED:
        return ""
    known = next((cause.advice for cause in CAUSES if cause.is_of(run.error)), None)
    return known or (PLAIN if run.is_resumable else BEGIN_ANEW)
