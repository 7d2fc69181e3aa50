"""What can be asked of each kind of run. A command, the admin and the API all validate through these.

The options of a stage are the fields of its config dataclasses; a form adds what only the database knows:
names of projects and versions.
"""

import dataclasses
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, ClassVar

from django import forms
from django.db.models import Model

from labeling.models import Project
from training.config_form import ConfigForm, NamedChoiceField
from training.gpt.config import (
    CorpusConfig,
    EvaluationConfig,
    ExportConfig,
    HardwareConfig,
    PretrainConfig,
    SamplingConfig,
    TokenizerConfig,
)
from training.gpt.sources import NAMES, names_in
from training.models import ModelVersion, Run, version_name
from training.rlhf.config import (
    ControlConfig,
    DpoConfig,
    FinetuneConfig,
    RewardConfig,
    SupervisedConfig,
    SupervisedControlConfig,
)

STORY_TASTE = "story-taste"
"""The built-in taste: kind, ends well, no repetition."""

PEOPLE = "people"
"""The judge of an evaluation who is asked by blind tasks."""


class RunForm(ConfigForm):
    """Base of the forms of runs."""

    kind: ClassVar[Run.Kind]
    summary: ClassVar[str]

    def relations(self) -> dict[str, Any]:
        """The cleaned values that are rows: columns of the run."""
        return {
            name: self.cleaned_data[name]
            for name in ("project", "policy", "reward")
            if isinstance(self.cleaned_data.get(name), Model)
        }

    def parameters(self) -> dict[str, Any]:
        """All cleaned values in a form that JSON keeps; rows by their names."""
        return {
            name: str(getattr(value, self.fields[name].by)) if isinstance(value, Model) else value  # type: ignore[attr-defined]
            for name, value in self.cleaned_data.items()
        }


def checked_paths(source: str) -> str:
    """A corpus whose files and folders exist, or one that goes by a name."""
    for name in names_in(source):
        if name not in NAMES and not Path(name).expanduser().exists():
            raise forms.ValidationError(
                f"{name}: there is no such file or folder; corpora that go by a name are {', '.join(NAMES)}."
            )
    return source


def required_project() -> NamedChoiceField:
    return NamedChoiceField(
        Project.objects.all(),
        by="slug",
        missing="name a project (its slug).",
        help_text="The project whose prompts are used.",
    )


def required_policy(help_text: str) -> NamedChoiceField:
    return NamedChoiceField(
        ModelVersion.objects.policies(),
        by="name",
        missing="name a policy; `manage.py pretrain` makes the first.",
        help_text=help_text,
    )


class NamesVersionMixin(forms.Form):
    """What makes a model version, and may name it."""

    name = forms.CharField(
        required=False,
        max_length=80,
        validators=[version_name],
        help_text="Name of the new version; left out, one is made from the names there are.",
    )

    def default_name(self) -> str:
        """The name of the new version where none is given."""
        raise NotImplementedError

    def clean_name(self) -> str:
        name: str = self.cleaned_data["name"]
        if name and name_is_taken(name):
            raise forms.ValidationError(f"“{name}” is taken; choose another name for the new version.")
        return name

    def clean(self) -> dict[str, Any]:
        cleaned = super().clean() or {}
        if not self.errors and not cleaned.get("name"):
            cleaned["name"] = next_free(self.default_name())
        return cleaned


class NewVersionForm(NamesVersionMixin, RunForm):
    """A run that makes a model version."""


def name_is_taken(name: str) -> bool:
    return (
        ModelVersion.objects.filter(name=name).exists()
        or Run.objects.active().filter(parameters__name=name).exists()
    )


def next_free(name: str) -> str:
    """`name` if it is free, else with the first free number behind it: stories, stories-2, stories-3."""
    stem, _, tail = name.rpartition("-")
    number = int(tail) if stem and tail.isdigit() else 1
    base = stem if stem and tail.isdigit() else name
    while name_is_taken(name):
        number += 1
        name = f"{base}-{number}"
    return name


class OpensTasksMixin(forms.Form):
    """A run after which the new version's samples go to the annotators."""

    tasks = forms.IntegerField(
        required=False,
        min_value=0,
        max_value=100_000,
        initial=0,
        help_text="When it is done, open this many tasks in the project with the new version's samples.",
    )


class PretrainForm(OpensTasksMixin, NewVersionForm):
    kind = Run.Kind.PRETRAIN
    summary = "Train a language model on a corpus: from scratch, or from a policy."
    configs = (CorpusConfig, TokenizerConfig, PretrainConfig)
    brought_by_policy = ("preset", *(option.name for option in dataclasses.fields(TokenizerConfig)))

    policy = NamedChoiceField(
        ModelVersion.objects.policies(),
        by="name",
        required=False,
        help_text="Go on training this policy, with its own tokenizer, in place of a new model.",
    )
    project = NamedChoiceField(
        Project.objects.all(), by="slug", required=False, help_text="Where --tasks are opened."
    )

    def clean_source(self) -> str:
        return checked_paths(self.cleaned_data["source"])

    def default_name(self) -> str:
        if policy := self.cleaned_data.get("policy"):
            return next_free(policy.name)
        return "stories" if self.cleaned_data.get("source") == "stories" else "base"

    def clean(self) -> dict[str, Any]:
        cleaned = super().clean()
        if cleaned.get("tasks") and not cleaned.get("project"):
            self.add_error("project", "say in which project the tasks are to be opened.")
        if cleaned.get("policy"):
            for name in self.brought_by_policy:
                if cleaned.get(name) != self.fields[name].initial:
                    self.add_error(name, f"leave it out: “{cleaned['policy']}” brings its own.")
        return cleaned

    def parameters(self) -> dict[str, Any]:
        brought = self.brought_by_policy if self.cleaned_data.get("policy") else ()
        return {name: value for name, value in super().parameters().items() if name not in brought}


class SampleForm(RunForm):
    kind = Run.Kind.SAMPLE
    summary = "Let a policy write samples for a project's prompts, and open tasks with them."
    configs = (SamplingConfig, HardwareConfig)

    project = required_project()
    policy = required_policy("The version that writes.")
    tasks = forms.IntegerField(
        required=False, min_value=1, max_value=100_000, initial=100, help_text="Tasks to open."
    )

    def clean(self) -> dict[str, Any]:
        cleaned = super().clean()
        project = cleaned.get("project")
        if project is not None:
            require_prompts(self, project)
        return cleaned


def require_prompts(form: forms.Form, project: Project) -> None:
    if not project.prompts.filter(split="train").exists():
        form.add_error(
            "project",
            f"“{project.slug}” has no prompts to train on; add some with `manage.py add_prompts "
            f"{project.slug} --file FILE` or in the admin.",
        )


class TrainRewardForm(NewVersionForm):
    kind = Run.Kind.TRAIN_REWARD
    summary = "Train a reward model from a project's annotations, or from a file of preferences."
    configs = (RewardConfig,)

    policy = required_policy("The policy whose weights the reward model begins from.")
    project = NamedChoiceField(
        Project.objects.all(), by="slug", required=False, help_text="Learn from this project's annotations."
    )
    preferences = forms.CharField(
        required=False,
        help_text='Learn from a JSON Lines file instead: {"prompt", "chosen", "rejected"}, or '
        '{"prompt", "completion", "score"}, on each line.',
    )
    gold = forms.CharField(
        required=False,
        help_text="Measure held-out accuracy against this taste as well: a reward model's name, "
        f"or {STORY_TASTE}.",
    )

    def clean_preferences(self) -> str:
        return checked_file(self.cleaned_data["preferences"])

    def clean_gold(self) -> str:
        return checked_taste(self.cleaned_data["gold"])

    def default_name(self) -> str:
        project = self.cleaned_data.get("project")
        return f"{project.slug}-reward" if project else "reward"

    def clean(self) -> dict[str, Any]:
        cleaned = super().clean()
        if not self.errors and bool(cleaned.get("project")) == bool(cleaned.get("preferences")):
            self.add_error(
                "preferences",
                "give either a project (its annotations) or a file of preferences, and not both.",
            )
        return cleaned


def judges_in(names: str) -> list[str]:
    """The judges of an evaluation, each once, from their names joined by commas."""
    return list(dict.fromkeys(name.strip() for name in names.split(",") if name.strip()))


def checked_taste(name: str) -> str:
    """The name of a taste that exists; raises ValidationError with those that do."""
    if name and name != STORY_TASTE and not ModelVersion.objects.rewards().filter(name=name).exists():
        names = [STORY_TASTE, *ModelVersion.objects.rewards().values_list("name", flat=True)[:7]]
        raise forms.ValidationError(f"there is no reward model “{name}”; there are: {', '.join(names)}.")
    return name


class TuningForm(OpensTasksMixin, NewVersionForm):
    """A run that tunes a policy, watched on the project's held-out prompts."""

    project = required_project()
    policy = required_policy("The policy to tune; it is also the reference that KL is measured from.")
    gold = forms.CharField(
        required=False,
        help_text="Measure the held-out completions by this taste as well, and choose the best version by "
        f"it: a reward model's name, or {STORY_TASTE}.",
    )

    def clean_gold(self) -> str:
        return checked_taste(self.cleaned_data["gold"])

    def default_name(self) -> str:
        return next_free(self.cleaned_data["policy"].name)

    def clean(self) -> dict[str, Any]:
        cleaned = super().clean()
        project = cleaned.get("project")
        if project is not None:
            require_prompts(self, project)
            if not project.prompts.filter(split="heldout").exists():
                self.add_error(
                    "project",
                    f"“{project.slug}” has no held-out prompts to evaluate on; add some with "
                    f"`manage.py add_prompts {project.slug} --file FILE --heldout 0.2`.",
                )
        return cleaned


class FinetuneForm(TuningForm):
    kind = Run.Kind.FINETUNE
    summary = "Tune a policy against a reward model by policy gradient."
    configs = (FinetuneConfig, ControlConfig, HardwareConfig)

    reward = NamedChoiceField(
        ModelVersion.objects.rewards(),
        by="name",
        missing="name a reward model; `manage.py train_reward` makes one from people's answers.",
        help_text="The reward model to tune against.",
    )


def measuring_reward() -> NamedChoiceField:
    return NamedChoiceField(
        ModelVersion.objects.rewards(),
        by="name",
        required=False,
        help_text="Measure the held-out completions by this reward model, and choose the best version by it.",
    )


class AnswersMixin(forms.Form):
    """A run that learns from a project's answers: as they are now, or as they were frozen before."""

    snapshot = forms.CharField(
        required=False,
        help_text="Learn from this snapshot of the project's answers (its hash or the beginning of it, as "
        "another run shows it) instead of the answers there are now.",
    )

    def clean(self) -> dict[str, Any]:
        cleaned = super().clean() or {}
        project, given = cleaned.get("project"), cleaned.get("snapshot")
        if project is not None and given:
            hashes = list(project.snapshots.filter(hash__startswith=given).values_list("hash", flat=True)[:2])
            if len(hashes) == 1:
                cleaned["snapshot"] = hashes[0]
            else:
                known = ", ".join(each[:12] for each in project.snapshots.values_list("hash", flat=True)[:5])
                problem = "more than one begins so" if hashes else "there is no such snapshot"
                there = f"there are: {known}" if known else f"“{project.slug}” has none yet"
                self.add_error("snapshot", f"“{given}”: {problem}; {there}.")
        return cleaned


class DpoForm(AnswersMixin, TuningForm):
    kind = Run.Kind.DPO
    summary = "Tune a policy on people's comparisons directly, without a reward model."
    configs = (DpoConfig, ControlConfig, HardwareConfig)

    preferences = forms.CharField(
        required=False,
        help_text='Learn from a JSON Lines file instead: {"prompt", "chosen", "rejected"} on each line.',
    )
    reward = measuring_reward()

    def clean_preferences(self) -> str:
        return checked_file(self.cleaned_data["preferences"])

    def clean(self) -> dict[str, Any]:
        cleaned = super().clean()
        if cleaned.get("preferences") and cleaned.get("snapshot"):
            self.add_error("snapshot", "give either a file of preferences or a snapshot, and not both.")
        return cleaned


class SupervisedForm(AnswersMixin, TuningForm):
    kind = Run.Kind.SUPERVISED
    summary = "Tune a policy to write as demonstrations do: people's favourites, a file's, or its own best."
    configs = (SupervisedConfig, SupervisedControlConfig, HardwareConfig)

    demonstrations = forms.CharField(
        required=False,
        help_text='Learn from a JSON Lines file, {"prompt", "completion"} on each line, instead of the '
        "samples that people ranked best.",
    )
    best_of = forms.IntegerField(
        required=False,
        min_value=0,
        max_value=1000,
        initial=0,
        help_text="Learn instead from the best of so many completions that the policy writes to each "
        "training prompt, as the reward model judges them.",
    )
    prompts = forms.IntegerField(
        required=False, min_value=1, initial=1000, help_text="With --best-of: training prompts used, at most."
    )
    reward = measuring_reward()

    def clean_demonstrations(self) -> str:
        return checked_file(self.cleaned_data["demonstrations"])

    def clean(self) -> dict[str, Any]:
        cleaned = super().clean()
        sources = [name for name in ("demonstrations", "best_of", "snapshot") if cleaned.get(name)]
        if len(sources) > 1:
            self.add_error(sources[1], f"leave it out, or {sources[0]}: one source of demonstrations only.")
        if cleaned.get("best_of") == 1:
            self.add_error("best_of", "the best of one is that one: give 2 or more.")
        if cleaned.get("best_of") and not cleaned.get("reward") and not self.errors:
            self.add_error("reward", "name the reward model that chooses among the --best-of completions.")
        return cleaned


def checked_file(name: str) -> str:
    """The name of a file that exists."""
    if name and not Path(name).is_file():
        raise forms.ValidationError(f"{name}: there is no such file.")
    return name


class EvaluateForm(RunForm):
    kind = Run.Kind.EVALUATE
    summary = "Measure a policy: perplexity on a corpus, or its win rate over another version."
    configs = (CorpusConfig, EvaluationConfig, HardwareConfig)

    policy = required_policy("The version to measure.")
    source = forms.CharField(
        required=False, help_text="Measure perplexity on this corpus: files, folders, or “stories”."
    )
    split = forms.ChoiceField(
        required=False,
        initial="test",
        choices=[(name, name) for name in ("train", "validation", "test", "all")],
        help_text="Which part of the corpus, as pretraining split it",
    )
    against = NamedChoiceField(
        ModelVersion.objects.policies(),
        by="name",
        required=False,
        help_text="Measure the win rate over this version, on the project's held-out prompts.",
    )
    project = NamedChoiceField(
        Project.objects.all(), by="slug", required=False, help_text="The project whose prompts are used."
    )
    judge = forms.CharField(
        required=False,
        help_text=f"Who decides: names of reward models, {STORY_TASTE}, or {PEOPLE} (what they answered to "
        "blind tasks); several are joined by commas.",
    )
    tasks = forms.IntegerField(
        required=False,
        min_value=0,
        max_value=100_000,
        initial=0,
        help_text=f"With {PEOPLE} as a judge: open so many blind tasks, with one sample of each version.",
    )
    best_of = forms.IntegerField(
        required=False,
        min_value=1,
        max_value=1000,
        initial=1,
        help_text="Let --policy write so many completions of each prompt, of which --reward chooses one.",
    )
    reward = NamedChoiceField(
        ModelVersion.objects.rewards(),
        by="name",
        required=False,
        help_text="With --best-of: the reward model that chooses.",
    )
    prompts = forms.IntegerField(
        required=False, min_value=1, initial=200, help_text="Held-out prompts used, at most."
    )
    max_new_tokens = forms.IntegerField(
        required=False, min_value=1, initial=64, help_text="Longest completion, in tokens."
    )
    temperature = forms.FloatField(required=False, min_value=0, initial=1.0, help_text="Of sampling.")

    def configs_in_use(self, cleaned: dict[str, Any]) -> tuple[type[Any], ...]:
        return self.configs if cleaned.get("source") else (HardwareConfig,)

    def clean_source(self) -> str:
        return checked_paths(self.cleaned_data["source"])

    def clean_judge(self) -> str:
        names = judges_in(self.cleaned_data["judge"])
        for name in names:
            if name != PEOPLE:
                checked_taste(name)
        return ",".join(names)

    def clean(self) -> dict[str, Any]:
        cleaned = super().clean()
        if self.errors:
            return cleaned
        for name, message in [*self.missing(cleaned), *self.clashes(cleaned)]:
            self.add_error(name, message)
        return cleaned

    def missing(self, cleaned: dict[str, Any]) -> Iterator[tuple[str, str]]:
        """A field that was left empty, and what to put there."""
        if not cleaned["source"] and not cleaned["against"]:
            yield "source", "say what to measure: a corpus (--source) or another version (--against)."
        if cleaned["against"]:
            for name, what in (("project", "whose held-out prompts to use"), ("judge", "who decides")):
                if not cleaned[name]:
                    yield name, f"say {what}."
            project = cleaned["project"]
            if project and not project.prompts.filter(split="heldout").exists():
                yield "project", f"“{project.slug}” has no held-out prompts."
        if cleaned["best_of"] > 1 and not cleaned["reward"]:
            yield "reward", "name the reward model that chooses among the --best-of completions."
        if cleaned["best_of"] > 1 and not cleaned["against"]:
            yield "against", "name the version to compare with; it may be --policy itself."
        if cleaned["reward"] and cleaned["best_of"] == 1:
            yield "best_of", "say among how many completions the reward model chooses (2 or more)."

    def clashes(self, cleaned: dict[str, Any]) -> Iterator[tuple[str, str]]:
        """A field that does not go with another, and what to do."""
        people = PEOPLE in judges_in(cleaned["judge"])
        if cleaned["tasks"] and not people:
            yield "tasks", f"blind tasks are for people to answer: give --judge {PEOPLE} as well."
        if people and cleaned["policy"] == cleaned["against"]:
            yield "against", "people compare two versions: name another one than --policy."
        if people and cleaned["best_of"] > 1:
            yield "best_of", f"{PEOPLE} read what versions write unaided: leave out one of the two."


class PrepareCorpusForm(ConfigForm):
    """What `manage.py prepare_corpus` can be asked; it is no run."""

    configs = (CorpusConfig, TokenizerConfig)

    def clean_source(self) -> str:
        return checked_paths(self.cleaned_data["source"])


class GenerateForm(ConfigForm):
    """What `manage.py generate` can be asked; it is no run."""

    configs = (SamplingConfig, HardwareConfig)

    policy = NamedChoiceField(
        ModelVersion.objects.policies(),
        by="name",
        required=False,
        help_text="The version that writes (default: the newest policy).",
    )
    samples = forms.IntegerField(
        required=False, min_value=1, max_value=1000, initial=1, help_text="Completions of each prompt."
    )

    def clean_policy(self) -> ModelVersion:
        policy = self.cleaned_data["policy"] or ModelVersion.objects.policies().first()
        if policy is None:
            raise forms.ValidationError("there is no policy yet; `manage.py pretrain` makes the first.")
        return policy


class ImportForm(NamesVersionMixin, ConfigForm):
    """What `manage.py import_model` can be asked; it is no run."""

    folder = forms.CharField(help_text="A Hugging Face folder of the GPT-2, Llama, Qwen2 or Qwen3 family.")
    context = forms.IntegerField(
        required=False, min_value=2, help_text="Longest sequence in tokens, if shorter than the model's."
    )

    def default_name(self) -> str:
        """The folder's name, as far as it can be a version's."""
        name = Path(self.cleaned_data["folder"]).resolve().name
        return re.sub(r"[^A-Za-z0-9._-]+", "-", name)[:70].strip("._-") or "imported"


class ExportForm(ConfigForm):
    """What `manage.py export_model` can be asked; it is no run."""

    configs = (ExportConfig,)

    policy = NamedChoiceField(
        ModelVersion.objects.all(), by="name", missing="name a policy.", help_text="The policy to export."
    )
    folder = forms.CharField(help_text="A new folder, which transformers will be able to read.")

    def clean_policy(self) -> ModelVersion:
        version: ModelVersion = self.cleaned_data["policy"]
        if version.kind != ModelVersion.Kind.POLICY:
            trunk = f"; its policy is “{version.parent}”" if version.parent else ""
            raise forms.ValidationError(
                f"“{version}” is a reward model, whose head has no place in such a folder{trunk}."
            )
        return version


FORMS: dict[str, type[RunForm]] = {
    form.kind: form
    for form in (
        PretrainForm, SampleForm, TrainRewardForm, FinetuneForm, SupervisedForm, DpoForm, EvaluateForm
    )
}  # fmt: skip
