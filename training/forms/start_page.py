"""The page of a form that starts a run: the main fields in groups, the rest folded, all with labels."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

from django import forms
from django.db.models import QuerySet
from django.forms.boundfield import BoundField, BoundWidget
from django.utils import formats, timezone

from training.config_form import NamedChoiceField
from training.forms.base import RunForm
from training.forms.defaults import default_values, ranked_versions
from training.forms.error_messages import current_value, page_message, selected_project
from training.forms.judges import PEOPLE, STORY_REWARD_FUNCTION, STORY_REWARD_FUNCTION_LABEL, parse_judges
from training.forms.labels import OptionLabel, option_label
from training.forms.writers import WriterChoiceField
from training.gpt.corpus.sources import NAMED_CORPORA
from training.models import Endpoint, ModelVersion, Run

Kind = Run.Kind

MAX_JUDGES = 8
"""Scorers offered as judges; selected ones are always offered."""

GROUPS: dict[Kind, dict[str, tuple[str, ...]]] = {
    Kind.PRETRAIN: {
        "Data and base model": ("source", "chat", "policy"),
        "Model": ("preset",),
        "Training length": ("minutes",),
        "Output": ("project", "tasks", "name"),
    },
    Kind.SAMPLE: {
        "Project and policy": ("project", "policy", "from", "chat"),
        "Tasks": ("tasks", "max_new_tokens"),
        "Sampling": ("temperature",),
    },
    Kind.TRAIN_REWARD: {
        "Data and base model": ("project", "preferences", "policy", "chat"),
        "Model": ("trunk", "members", "reliability"),
        "Training length": ("epochs", "minutes"),
        "Evaluation and output": ("gold", "name"),
    },
    Kind.ORDER_TASKS: {
        "Project and reward model": ("project", "reward"),
        "Selection": ("by", "share"),
    },
    Kind.FINETUNE: {
        "Project and policy": ("project", "policy", "chat"),
        "Reward": ("reward", "gold"),
        "Training length": ("steps", "minutes"),
        "Method": ("kl_target", "kl_budget", "estimator"),
        "Output": ("tasks", "name"),
    },
    Kind.SUPERVISED: {
        "Project and policy": ("project", "policy", "chat"),
        "Data": ("snapshot", "demonstrations", "best_of", "reward"),
        "Training length": ("epochs", "minutes"),
        "Output": ("tasks", "name"),
    },
    Kind.DPO: {
        "Project and policy": ("project", "policy", "chat"),
        "Data": ("snapshot", "preferences", "reward"),
        "Training length": ("epochs", "minutes"),
        "Method": ("beta", "kl_budget"),
        "Output": ("tasks", "name"),
    },
    Kind.EVALUATE: {
        "Versions": ("project", "policy", "from", "against", "chat"),
        "Win rate": ("judge", "tasks"),
        "Completions": ("prompts", "max_new_tokens"),
        "Perplexity": ("source", "split"),
    },
}
"""Groups of fields that are always visible: the options that matter most for a kind of run."""

FOLDED_GROUPS: dict[str, tuple[str, ...]] = {
    "Corpus and tokenizer": (
        "source", "stories", "documents", "normalise", "drop_duplicates", "min_length",
        "holdout", "shares", "split", "stride", "tokenizer", "vocab_size", "vocabulary_megabytes",
    ),
    "Files": ("format", "columns", "encoding", "field"),
    "Preference data": ("loss", "criteria", "heldout", "learning_curve", "label_smoothing", "prompts"),
    "Generation": (
        "temperature", "max_new_tokens", "best_of", "reward", "top_k", "top_p", "min_p", "repetition_penalty",
        "stop", "beams", "length_penalty", "missing_eos_penalty",
    ),
    "Optimisation": (
        "steps", "tokens", "context", "dropout", "batch_size", "prompts_per_step", "samples_per_prompt",
        "accumulate", "optimizer", "learning_rate", "embedding_learning_rate", "matrix_learning_rate",
        "schedule", "warmup", "decay", "final_rate", "weight_decay", "beta2", "clip", "ensemble", "epochs",
        "ratio_clip", "grpo_divisor", "gae_decay", "value_clip", "value_learning_rate",
    ),
    "KL control": ("kl_coefficient", "kl_target", "kl_horizon", "kl_in", "kl_budget"),
    "Evaluation and early stopping": (
        "gold", "evaluate_every", "heldout_prompts", "evaluation_tokens", "patience", "stop_window",
        "stop_certainty", "win_rate_limit", "disagreement_limit", "length_limit", "repetition_limit",
        "save_every",
    ),
    "Hardware and seed": ("device", "precision", "compile", "parallel", "seed"),
}  # fmt: skip
"""Groups of fields that are folded at first. Fields that are visible already are left out."""

CARD_FIELDS = frozenset({"preset", "trunk", "estimator", "by"})
"""Choices that are shown side by side, each with its effect."""

FIELDS_WITHOUT_DEFAULT = frozenset(
    {"name", "judge", "gold", "snapshot", "source", "preferences", "demonstrations", "columns"}
)
"""Fields that are different in every run: their values are never marked as changed."""

INPUT_ATTRIBUTES = {"source": {"list": "source-names"}, "name": {"placeholder": "the next free name"}}


class PlainNumberInput(forms.NumberInput):
    """Shows whole numbers without a decimal point, also those of float fields."""

    def format_value(self, value: Any) -> str | None:
        whole = int(value) if isinstance(value, float) and value.is_integer() else value
        text: str | None = super().format_value(whole)
        return text


class CheckboxListInput(forms.CheckboxSelectMultiple):
    """Checkboxes whose value is one string, with commas between the names."""

    def value_from_datadict(self, data: Any, files: Any, name: str) -> str:
        return ",".join(super().value_from_datadict(data, files, name) or ())

    def format_value(self, value: Any) -> list[str]:
        return parse_judges(value) if isinstance(value, str) else []


@dataclass(frozen=True)
class PageField:
    """One field of a form, with its label."""

    form: RunForm
    bound: BoundField
    option: OptionLabel

    @property
    def is_checkbox(self) -> bool:
        return isinstance(self.bound.field.widget, forms.CheckboxInput)

    @property
    def is_group(self) -> bool:
        """Whether it has several controls under one label."""
        use_fieldset: bool = self.bound.field.widget.use_fieldset
        return use_fieldset

    @property
    def cards(self) -> Iterator[tuple[BoundWidget, str]]:
        """Each choice with its effect."""
        for choice in self.bound.subwidgets:
            label = self.option.choices.get(str(choice.data["value"]))
            yield choice, label.effect if label else ""

    @property
    def errors(self) -> list[str]:
        return [page_message(str(error), self.form) for error in self.bound.errors]

    @property
    def suggestions(self) -> list[str]:
        """Values to suggest."""
        return [*NAMED_CORPORA] if self.bound.name == "source" else []


@dataclass(frozen=True)
class FieldGroup:
    """Fields under one title."""

    title: str
    fields: list[PageField]

    @property
    def has_errors(self) -> bool:
        return any(field.bound.errors for field in self.fields)


class StartPage:
    """A form with labels and suitable controls; versions of the selected project are listed first."""

    def __init__(self, form: RunForm) -> None:
        self.form = form
        self.defaults = default_values(type(form))
        self.project = selected_project(form)
        self.fields = {name: self.page_field(name) for name in form.fields}
        groups = GROUPS[form.kind]
        self.groups = [self.group(title, names) for title, names in groups.items()]
        visible = {name for names in groups.values() for name in names}
        folded = [
            self.group(title, (name for name in names if name not in visible and name in form.fields))
            for title, names in FOLDED_GROUPS.items()
        ]
        self.folded_groups = [group for group in folded if group.fields]

    def group(self, title: str, names: Iterable[str]) -> FieldGroup:
        return FieldGroup(title, [self.fields[name] for name in names])

    def page_field(self, name: str) -> PageField:
        """A field with its label and the control that suits it."""
        field = self.form.fields[name]
        option = option_label(self.form.kind, name)
        field.label, field.help_text, field.label_suffix = option.label, option.effect, ""
        field.widget = self.widget(name, field, option)
        default = self.defaults[name]
        text = "" if default is None else str(default)
        if isinstance(default, bool):
            text = text.lower()
        if name not in FIELDS_WITHOUT_DEFAULT and not isinstance(field, NamedChoiceField):
            field.widget.attrs["data-default"] = text
        # Not `form[name]`: after validation it keeps the label from then.
        return PageField(self.form, field.get_bound_field(self.form, name), option)

    def widget(self, name: str, field: forms.Field, option: OptionLabel) -> forms.Widget:  # noqa: PLR0911
        """The control of a field."""
        if isinstance(field, NamedChoiceField):
            return forms.Select(choices=self.row_choices(field))
        if isinstance(field, forms.ChoiceField):
            choices = [(value, option.choices[value].label) for value in map(str, dict(_choices(field)))]
            return (forms.RadioSelect if name in CARD_FIELDS else forms.Select)(choices=choices)
        if isinstance(field, forms.FloatField):
            return PlainNumberInput(attrs={"step": "any"})
        if name == "judge":
            return CheckboxListInput(choices=self.judge_choices())
        if name == "gold":
            return forms.Select(choices=[("", "None"), *self.scorer_choices()])
        if name == "snapshot":
            return forms.Select(choices=self.snapshot_choices())
        if isinstance(field, forms.CharField):
            return forms.TextInput(attrs={"autocomplete": "off", **INPUT_ATTRIBUTES.get(name, {})})
        widget: forms.Widget = field.widget
        return widget

    def row_choices(self, field: NamedChoiceField) -> list[Any]:
        """Projects by name; versions of the selected project first, archived ones last."""
        empty = ("", "None" if not field.required else "Select one")
        if field.by == "slug":
            return [empty, *((project.slug, project.name) for project in field.rows)]
        if issubclass(field.rows.model, Endpoint):
            return [empty, *endpoint_choices(field.rows)]
        versions = list(ranked_versions(field.rows, None).select_related("project"))
        own = [each for each in versions if self.project and each.project_id == self.project.pk]
        others = [each for each in versions if each not in own]
        archived = field.rows.filter(stage=ModelVersion.Stage.ARCHIVED)
        groups = (
            (f"In {self.project.name}" if self.project else "", own),
            ("Others" if own else "All", others),
            ("Archived", list(archived)),
        )
        choices: list[Any] = [
            (title, [(each.name, version_choice_label(each)) for each in some])
            for title, some in groups
            if some
        ]
        if isinstance(field, WriterChoiceField) and (endpoints := endpoint_choices(field.endpoints)):
            choices.append(("Endpoints", endpoints))
        return [empty, *choices]

    def judge_choices(self) -> list[tuple[str, str]]:
        """People first, then scorers; those that are checked are always there."""
        checked = parse_judges(str(current_value(self.form, "judge") or ""))
        scorers = [
            scorer
            for index, scorer in enumerate(self.scorer_choices())
            if index < MAX_JUDGES or scorer[0] in checked
        ]
        return [(PEOPLE, "People, in blind tasks"), *scorers]

    def scorer_choices(self) -> list[tuple[str, str]]:
        reward_models = ranked_versions(self.form.reward_models(), None)
        return [
            (STORY_REWARD_FUNCTION, STORY_REWARD_FUNCTION_LABEL),
            *((each.name, version_choice_label(each)) for each in reward_models),
        ]

    def snapshot_choices(self) -> list[tuple[str, str]]:
        """The current annotations, and the snapshots of the selected project, newest first."""
        snapshots = self.project.snapshots.order_by("-pk").defer("content") if self.project else ()
        return [
            ("", "Current annotations"),
            *(
                (each.hash, f"Snapshot of {date_and_time(each.created)}: {each.count:,} comparisons")
                for each in snapshots
            ),
        ]


def version_choice_label(version: ModelVersion) -> str:
    """A version in a select: its name, stage and date."""
    stages = {str(version.Stage.PRODUCTION): ", in production", str(version.Stage.ARCHIVED): ", archived"}
    return f"{version.name}{stages.get(version.stage, '')}, {date_and_time(version.created_at)}"


def endpoint_choices(endpoints: QuerySet[Endpoint]) -> list[tuple[str, str]]:
    """Endpoints in a select: the name, and the model where that says something else."""
    return [
        (each.name, each.name if each.model == each.name else f"{each.name} ({each.model})")
        for each in endpoints
    ]


def date_and_time(moment: Any) -> str:
    return formats.date_format(timezone.localtime(moment), "j M Y, H:i")


def _choices(field: forms.ChoiceField) -> list[tuple[Any, Any]]:
    return list(field.choices)  # type: ignore[arg-type]
