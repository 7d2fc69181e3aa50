"""Presets of the form that starts a run: Quick, Standard, Thorough, and some of single kinds of run."""

from dataclasses import dataclass
from typing import Any

from training.models import Run

Kind = Run.Kind

FORMER_NAMES = {
    "try": "quick",
    "usual": "standard",
    "gentle": "mostly_random",
    "bold": "mostly_selected",
    "close": "conservative",
}
"""Names that presets had in addresses: accepted for one release."""


@dataclass(frozen=True)
class Preset:
    """Values of some options. An option that only other presets of the kind set has its default."""

    name: str
    label: str
    effect: str
    values: dict[str, Any]

    @property
    def element_id(self) -> str:
        """The id of the page element that holds the values."""
        return f"preset-{self.name}"


def presets_for(kind: str, defaults: dict[str, Any]) -> list[Preset]:
    """The presets of a kind of run, each with a value for every option that any of them sets.

    `defaults` has the default values of the form by name.
    """
    presets = PRESETS[Kind(kind)]
    names = dict.fromkeys(name for preset in presets for name in preset.values)
    return [
        Preset(each.name, each.label, each.effect, {name: defaults[name] for name in names} | each.values)
        for each in presets
    ]


PRESETS: dict[Kind, tuple[Preset, ...]] = {
    Kind.PRETRAIN: (
        Preset("quick", "Quick: 2 minutes", "Tiny model, to see it work.", {"minutes": 2.0}),
        Preset(
            "standard",
            "Standard: 20 minutes",
            "Small model that tells complete stories.",
            {"preset": "small", "minutes": 20.0},
        ),
        Preset(
            "thorough",
            "Thorough: 3 hours",
            "Medium model; a GPU is recommended.",
            {"preset": "medium", "minutes": 180.0, "patience": 20},
        ),
    ),
    Kind.SAMPLE: (
        Preset("quick", "Quick", "20 tasks: under an hour for one annotator.", {"tasks": 20}),
        Preset("standard", "Standard", "100 tasks.", {}),
        Preset("thorough", "Thorough", "500 tasks: enough for a reward model.", {"tasks": 500}),
    ),
    Kind.TRAIN_REWARD: (
        Preset("quick", "Quick", "Reward head only: fast, less accurate.", {"trunk": "frozen"}),
        Preset("standard", "Standard", "Full model.", {}),
        Preset(
            "thorough",
            "Thorough",
            "Ensemble of four; annotators weighted by reliability.",
            {"members": 4, "reliability": True},
        ),
    ),
    Kind.ORDER_TASKS: (
        Preset("standard", "Standard", "Selected share as in the project's settings.", {}),
        Preset("mostly_random", "Mostly random", "25 % selected, the rest at random.", {"share": 25}),
        Preset("mostly_selected", "Mostly selected", "80 % selected.", {"share": 80}),
    ),
    Kind.FINETUNE: (
        Preset(
            "quick",
            "Quick",
            "20 steps, to see the direction.",
            {"steps": 20, "evaluate_every": 5, "heldout_prompts": 32},
        ),
        Preset("standard", "Standard", "100 steps.", {}),
        Preset(
            "thorough",
            "Thorough",
            "400 steps, larger evaluations.",
            {"steps": 400, "evaluate_every": 20, "heldout_prompts": 128},
        ),
        Preset(
            "conservative",
            "Conservative",
            "100 steps, half the KL: lowest risk.",
            {"kl_target": 3.0, "kl_budget": 8.0},
        ),
    ),
    Kind.SUPERVISED: (
        Preset("quick", "Quick", "1 epoch.", {"epochs": 1.0}),
        Preset("standard", "Standard", "3 epochs.", {}),
        Preset("thorough", "Thorough", "Up to 8 epochs, with early stopping.", {"epochs": 8.0}),
    ),
    Kind.DPO: (
        Preset("quick", "Quick", "1 epoch.", {"epochs": 1.0}),
        Preset("standard", "Standard", "3 epochs.", {}),
        Preset(
            "thorough", "Thorough", "Up to 8 epochs, with early stopping.", {"epochs": 8.0, "patience": 5}
        ),
        Preset("conservative", "Conservative", "3 epochs, twice the KL penalty.", {"beta": 0.3}),
    ),
    Kind.EVALUATE: (
        Preset("quick", "Quick", "50 prompts: about ±14 points.", {"prompts": 50}),
        Preset("standard", "Standard", "200 prompts: about ±7 points.", {}),
        Preset("thorough", "Thorough", "1,000 prompts: about ±3 points.", {"prompts": 1000}),
    ),
}
