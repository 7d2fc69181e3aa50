"""A form of a run as a page shows it: what decides most in groups at once, the rest folded, all in words."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

from django import forms
from django.forms.boundfield import BoundField, BoundWidget
from django.utils import formats, timezone

from training.config_form import NamedChoiceField
from training.forms.base import RunForm
from training.forms.defaults import of_project, usual
from training.forms.error_messages import chosen_project, spoken, standing
from training.forms.judges import PEOPLE, STORY_TASTE, judges_in
from training.forms.labels import Words, words_for
from training.gpt.corpus.sources import NAMES
from training.models import ModelVersion, Run

Kind = Run.Kind

MOST_JUDGES = 8

GROUPS: dict[Kind, dict[str, tuple[str, ...]]] = {
    Kind.PRETRAIN: {
        "From what": ("source", "policy"),
        "How large": ("preset",),
        "How long": ("minutes",),
        "When it is done": ("project", "tasks", "name"),
    },
    Kind.SAMPLE: {
        "What": ("project", "policy"),
        "How much": ("tasks", "max_new_tokens"),
        "How freely": ("temperature",),
    },
    Kind.TRAIN_REWARD: {
        "From what": ("project", "preferences", "policy"),
        "How strong": ("trunk", "members", "reliability"),
        "How long": ("epochs", "minutes"),
        "When it is done": ("gold", "name"),
    },
    Kind.ORDER_TASKS: {
        "What": ("project", "reward"),
        "How strong": ("by", "share"),
    },
    Kind.FINETUNE: {
        "What": ("project", "policy"),
        "From what": ("reward", "gold"),
        "How long": ("steps", "minutes"),
        "How strong": ("kl_target", "kl_budget", "estimator"),
        "When it is done": ("tasks", "name"),
    },
    Kind.SUPERVISED: {
        "What": ("project", "policy"),
        "From what": ("snapshot", "demonstrations", "best_of", "reward"),
        "How long": ("epochs", "minutes"),
        "When it is done": ("tasks", "name"),
    },
    Kind.DPO: {
        "What": ("project", "policy"),
        "From what": ("snapshot", "preferences", "reward"),
        "How long": ("epochs", "minutes"),
        "How strong": ("beta", "kl_budget"),
        "When it is done": ("tasks", "name"),
    },
    Kind.EVALUATE: {
        "What": ("project", "policy", "against"),
        "By whom": ("judge", "tasks"),
        "How much": ("prompts", "max_new_tokens"),
        "On a text": ("source", "split"),
    },
}
"""What a form shows at once, in groups: what, from what, how long, how strong."""

FOLDS: dict[str, tuple[str, ...]] = {
    "The text": (
        "source", "stories", "encoding", "field", "documents", "normalise", "drop_duplicates", "min_length",
        "holdout", "shares", "split", "stride", "tokenizer", "vocab_size", "vocabulary_megabytes",
    ),
    "The answers": ("loss", "criteria", "heldout", "learning_curve", "label_smoothing", "prompts"),
    "How it writes": (
        "temperature", "max_new_tokens", "best_of", "reward", "top_k", "top_p", "min_p", "repetition_penalty",
        "stop", "beams", "length_penalty", "missing_eos_penalty",
    ),
    "How it learns": (
        "steps", "tokens", "context", "dropout", "batch_size", "prompts_per_step", "samples_per_prompt",
        "accumulate", "optimizer", "learning_rate", "embedding_learning_rate", "matrix_learning_rate",
        "schedule", "warmup", "decay", "final_rate", "weight_decay", "beta2", "clip", "ensemble", "epochs",
        "ratio_clip", "grpo_divisor", "gae_decay", "value_clip", "value_learning_rate",
    ),
    "How far it moves": ("kl_coefficient", "kl_target", "kl_horizon", "kl_in", "kl_budget"),
    "Watching and stopping": (
        "gold", "evaluate_every", "heldout_prompts", "evaluation_tokens", "patience", "stop_window",
        "stop_certainty", "win_rate_limit", "disagreement_limit", "length_limit", "repetition_limit",
        "save_every",
    ),
    "The machine": ("device", "precision", "compile", "parallel", "seed"),
}  # fmt: skip
"""What is folded, by subject; what a kind's groups show already, or its form does not have, is left out."""

CARDS = frozenset({"preset", "trunk", "estimator", "by"})
"""Choices that are shown side by side, each with its effect."""


OWN = frozenset({"name", "judge", "gold", "snapshot", "source", "preferences", "demonstrations"})
"""What is of each run itself: no value of it is the usual one."""

TYPED = {"source": {"list": "source-names"}, "name": {"placeholder": "the next free name"}}


class PlainNumberInput(forms.NumberInput):
    """A whole number without a point, of whatever kind."""

    def format_value(self, value: Any) -> str | None:
        whole = int(value) if isinstance(value, float) and value.is_integer() else value
        shown: str | None = super().format_value(whole)
        return shown


class NamesInput(forms.CheckboxSelectMultiple):
    """Several names, in one text with commas between them."""

    def value_from_datadict(self, data: Any, files: Any, name: str) -> str:
        return ",".join(super().value_from_datadict(data, files, name) or ())

    def format_value(self, value: Any) -> list[str]:
        return judges_in(value) if isinstance(value, str) else []


@dataclass(frozen=True)
class PageField:
    """One field of a form, with its words."""

    form: RunForm
    bound: BoundField
    words: Words

    @property
    def is_check(self) -> bool:
        return isinstance(self.bound.field.widget, forms.CheckboxInput)

    @property
    def is_group(self) -> bool:
        """Whether it is several controls under one label."""
        several: bool = self.bound.field.widget.use_fieldset
        return several

    @property
    def cards(self) -> Iterator[tuple[BoundWidget, str]]:
        """Each choice with its effect."""
        for choice in self.bound.subwidgets:
            described = self.words.choices.get(str(choice.data["value"]))
            yield choice, described.effect if described else ""

    @property
    def problems(self) -> list[str]:
        return [spoken(str(problem), self.form) for problem in self.bound.errors]

    @property
    def suggestions(self) -> list[str]:
        """What is often typed here."""
        return [*NAMES] if self.bound.name == "source" else []


@dataclass(frozen=True)
class Group:
    """Fields of one subject."""

    title: str
    fields: list[PageField]

    @property
    def has_problems(self) -> bool:
        return any(field.bound.errors for field in self.fields)


class StartPage:
    """A form in words, its versions sorted by how near they are to the project that is chosen."""

    def __init__(self, form: RunForm) -> None:
        self.form = form
        self.usual = usual(type(form))
        self.project = chosen_project(form)
        self.fields = {name: self.dressed(name) for name in form.fields}
        shown = GROUPS[form.kind]
        self.groups = [self.group(title, names) for title, names in shown.items()]
        at_once = {name for names in shown.values() for name in names}
        folds = [
            self.group(title, (name for name in names if name not in at_once and name in form.fields))
            for title, names in FOLDS.items()
        ]
        self.folds = [fold for fold in folds if fold.fields]

    def group(self, title: str, names: Iterable[str]) -> Group:
        return Group(title, [self.fields[name] for name in names])

    def dressed(self, name: str) -> PageField:
        """A field with its words, and with the control that suits it."""
        field = self.form.fields[name]
        words = words_for(self.form.kind, name)
        field.label, field.help_text, field.label_suffix = words.label, words.effect, ""
        field.widget = self.control(name, field, words)
        usually = self.usual[name]
        plain = "" if usually is None else str(usually)
        if isinstance(usually, bool):
            plain = plain.lower()
        if name not in OWN and not isinstance(field, NamedChoiceField):
            field.widget.attrs["data-usual"] = plain
        # Not `form[name]`: that of a form already checked keeps the label that it had then.
        return PageField(self.form, field.get_bound_field(self.form, name), words)

    def control(self, name: str, field: forms.Field, words: Words) -> forms.Widget:  # noqa: PLR0911
        """What a field is filled in with."""
        if isinstance(field, NamedChoiceField):
            return forms.Select(choices=self.rows(field))
        if isinstance(field, forms.ChoiceField):
            choices = [(value, words.choices[value].label) for value in map(str, dict(_choices(field)))]
            return (forms.RadioSelect if name in CARDS else forms.Select)(choices=choices)
        if isinstance(field, forms.FloatField):
            return PlainNumberInput(attrs={"step": "any"})
        if name == "judge":
            return NamesInput(choices=self.judges())
        if name == "gold":
            return forms.Select(choices=[("", "Nothing"), *self.tastes()])
        if name == "snapshot":
            return forms.Select(choices=self.snapshots())
        if isinstance(field, forms.CharField):
            return forms.TextInput(attrs={"autocomplete": "off", **TYPED.get(name, {})})
        widget: forms.Widget = field.widget
        return widget

    def rows(self, field: NamedChoiceField) -> list[Any]:
        """Projects by name; versions, those of the chosen project before the others, archived ones last."""
        empty = ("", "None" if not field.required else "Choose one")
        if field.by == "slug":
            return [empty, *((project.slug, project.name) for project in field.rows)]
        versions = list(of_project(field.rows, None).select_related("project"))
        near = [each for each in versions if self.project and each.project_id == self.project.pk]
        far = [each for each in versions if each not in near]
        put_away = field.rows.filter(stage=ModelVersion.Stage.ARCHIVED)
        groups = (
            (f"In {self.project.name}" if self.project else "", near),
            ("Others" if near else "All", far),
            ("Archived", list(put_away)),
        )
        return [
            empty,
            *((title, [(each.name, described(each)) for each in some]) for title, some in groups if some),
        ]

    def judges(self) -> list[tuple[str, str]]:
        """People first, then tastes; those that are ticked are always there."""
        ticked = judges_in(str(standing(self.form, "judge") or ""))
        tastes = self.tastes()
        shown = [taste for place, taste in enumerate(tastes) if place < MOST_JUDGES or taste[0] in ticked]
        return [(PEOPLE, "People, by blind tasks"), *shown]

    def tastes(self) -> list[tuple[str, str]]:
        rewards = of_project(self.form.rewards(), None)
        return [
            (STORY_TASTE, "The built-in taste for stories"),
            *((each.name, described(each)) for each in rewards),
        ]

    def snapshots(self) -> list[tuple[str, str]]:
        """The answers as they are now, and the chosen project's snapshots, newest first."""
        frozen = self.project.snapshots.order_by("-pk").defer("content") if self.project else ()
        return [
            ("", "As they are now"),
            *((each.hash, f"{day(each.created)}: {each.count:,} comparisons") for each in frozen),
        ]


def described(version: ModelVersion) -> str:
    """A version in a list to choose from."""
    stage = f", {version.get_stage_display().lower()}" if version.stage != version.Stage.CANDIDATE else ""
    return f"{version.name}{stage}, {day(version.created_at)}"


def day(moment: Any) -> str:
    return formats.date_format(timezone.localtime(moment), "j M Y, H:i")


def _choices(field: forms.ChoiceField) -> list[tuple[Any, Any]]:
    return list(field.choices)  # type: ignore[arg-type]
