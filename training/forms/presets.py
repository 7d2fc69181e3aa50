"""Ready answers to "how long" and "how strong", for each kind of run."""

from dataclasses import dataclass
from typing import Any

from training.models import Run

Kind = Run.Kind


@dataclass(frozen=True)
class Preset:
    """Values of some options under one name. What the other presets of the kind set is as usual here."""

    name: str
    label: str
    effect: str
    values: dict[str, Any]

    @property
    def element(self) -> str:
        """The id of the element of a page that holds the values."""
        return f"preset-{self.name}"


def presets_of(kind: str, usual: dict[str, Any]) -> list[Preset]:
    """The presets of a kind, each with a value for every option that any of them sets.

    `usual` has the form's own values by name.
    """
    ours = PRESETS[Kind(kind)]
    names = dict.fromkeys(name for preset in ours for name in preset.values)
    return [
        Preset(each.name, each.label, each.effect, {name: usual[name] for name in names} | each.values)
        for each in ours
    ]


PRESETS: dict[Kind, tuple[Preset, ...]] = {
    Kind.PRETRAIN: (
        Preset("try", "A try: 2 minutes", "The smallest model, enough to see it write.", {"minutes": 2.0}),
        Preset(
            "usual",
            "Usual: 20 minutes",
            "A small model that tells a whole story.",
            {"preset": "small", "minutes": 20.0},
        ),
        Preset(
            "thorough",
            "Thorough: 3 hours",
            "A medium model; better with a GPU.",
            {"preset": "medium", "minutes": 180.0, "patience": 20},
        ),
    ),
    Kind.SAMPLE: (
        Preset("try", "A try", "20 tasks: an evening for one person.", {"tasks": 20}),
        Preset("usual", "Usual", "100 tasks.", {}),
        Preset("thorough", "Thorough", "500 tasks: enough for a reward model.", {"tasks": 500}),
    ),
    Kind.TRAIN_REWARD: (
        Preset("try", "A try", "The head alone: quick, judges less well.", {"trunk": "frozen"}),
        Preset("usual", "Usual", "The whole model.", {}),
        Preset(
            "thorough",
            "Thorough",
            "Four judge together, careless annotators count less.",
            {"members": 4, "reliability": True},
        ),
    ),
    Kind.ORDER_TASKS: (
        Preset("usual", "Usual", "As the project's settings have it.", {}),
        Preset("gentle", "Gentle", "A quarter chosen, the rest at random.", {"share": 25}),
        Preset("bold", "Bold", "Four in five chosen.", {"share": 80}),
    ),
    Kind.FINETUNE: (
        Preset(
            "try",
            "A try",
            "20 steps, to see where it goes.",
            {"steps": 20, "evaluate_every": 5, "heldout_prompts": 32},
        ),
        Preset("usual", "Usual", "100 steps.", {}),
        Preset(
            "thorough",
            "Thorough",
            "400 steps, measured more closely.",
            {"steps": 400, "evaluate_every": 20, "heldout_prompts": 128},
        ),
        Preset(
            "close",
            "Stays close",
            "100 steps, half as far: the least to go wrong.",
            {"kl_target": 3.0, "kl_budget": 8.0},
        ),
    ),
    Kind.SUPERVISED: (
        Preset("try", "A try", "One pass.", {"epochs": 1.0}),
        Preset("usual", "Usual", "Three passes.", {}),
        Preset("thorough", "Thorough", "Up to eight passes, as long as it helps.", {"epochs": 8.0}),
    ),
    Kind.DPO: (
        Preset("try", "A try", "One pass.", {"epochs": 1.0}),
        Preset("usual", "Usual", "Three passes.", {}),
        Preset(
            "thorough", "Thorough", "Up to eight passes, as long as it helps.", {"epochs": 8.0, "patience": 5}
        ),
        Preset("close", "Stays close", "Three passes, distance costs twice as much.", {"beta": 0.3}),
    ),
    Kind.EVALUATE: (
        Preset("try", "A try", "50 prompts: within some 14 points.", {"prompts": 50}),
        Preset("usual", "Usual", "200 prompts: within some 7 points.", {}),
        Preset("thorough", "Thorough", "1,000 prompts: within some 3 points.", {"prompts": 1000}),
    ),
}
