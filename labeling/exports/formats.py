"""The formats of exports."""

from dataclasses import dataclass
from typing import Literal

from training.formats.writer import CONTAINERS

Source = Literal["comparisons", "labels", "completions", "prompts", "tasks", "answers"]
"""What the rows are made from: pairs of samples, good and bad samples, the best texts, prompts, tasks with
all their answers, or single answers."""
Split = Literal["train", "heldout", "all"]


@dataclass(frozen=True, kw_only=True)
class ExportFormat:
    """A format of exports."""

    name: str
    description: str
    source: Source
    containers: tuple[str, ...] = CONTAINERS
    split: Split = "train"
    """The default: held-out prompts are not for training. Other tools get all, each row with its split."""
    has_ties: bool = False
    """Whether a row can say that neither sample is better."""
    can_aggregate: bool = True


_JSON = ("jsonl", "jsonl.gz", "jsonl.zst", "json")

FORMATS = {
    each.name: each
    for each in (
        ExportFormat(
            name="trl-preference",
            description="TRL: a prompt with a chosen and a rejected completion (RewardTrainer, DPOTrainer)",
            source="comparisons",
            has_ties=True,
        ),
        ExportFormat(
            name="trl-unpaired",
            description="TRL: a prompt with a completion that is good or bad (KTOTrainer)",
            source="labels",
        ),
        ExportFormat(
            name="prompt-completion",
            description="TRL: a prompt with the text to learn, written or chosen as the best (SFTTrainer)",
            source="completions",
        ),
        ExportFormat(
            name="prompt-only",
            description="TRL: prompts alone (GRPOTrainer)",
            source="prompts",
            can_aggregate=False,
        ),
        ExportFormat(
            name="answers",
            description="everything: a row for each answer of each person; imported again without loss",
            source="answers",
            split="all",
            can_aggregate=False,
        ),
        ExportFormat(
            name="label-studio",
            description="Label Studio: tasks with the annotations of each person",
            source="tasks",
            containers=_JSON,
            split="all",
            can_aggregate=False,
        ),
        ExportFormat(
            name="argilla",
            description="Argilla 2: records with the responses of each person",
            source="tasks",
            containers=_JSON,
            split="all",
            can_aggregate=False,
        ),
        ExportFormat(
            name="llama-factory",
            description="LLaMA-Factory: Alpaca or ShareGPT, for preferences or for supervised training",
            source="comparisons",
        ),
        ExportFormat(
            name="openai",
            description="OpenAI fine-tuning: preferences, or chats to learn from",
            source="comparisons",
            containers=_JSON,
        ),
    )
}
"""By name. `llama-factory` and `openai` take the texts of rewrite projects, which have no comparisons."""
