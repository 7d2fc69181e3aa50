"""What can be asked of a language model: to be trained, to write, to come in and to go out."""

import dataclasses
import re
from pathlib import Path
from typing import Any

from django import forms
from django.http import QueryDict

from labeling.models import Project
from training.config_form import ConfigForm, NamedChoiceField
from training.forms.base import (
    NamesVersionMixin,
    NewVersionForm,
    OpensTasksMixin,
    RunForm,
    checked_paths,
    next_free,
    require_prompts,
    required_project,
)
from training.forms.production import InsteadOfProjectMixin, ProductionMixin, optional_policy
from training.gpt.config import (
    CorpusConfig,
    ExportConfig,
    HardwareConfig,
    PretrainConfig,
    SamplingConfig,
    TokenizerConfig,
)
from training.models import ModelVersion, Run


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

    @classmethod
    def from_page(cls, data: QueryDict) -> QueryDict:
        data = data.copy()
        for name in cls.brought_by_policy if data.get("policy") else ():
            data.pop(name, None)
        return data

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


class SampleForm(ProductionMixin, RunForm):
    kind = Run.Kind.SAMPLE
    summary = "Let a policy write samples for a project's prompts, and open tasks with them."
    configs = (SamplingConfig, HardwareConfig)

    project = required_project()
    policy = optional_policy("The version that writes (default: the one in production in the project).")
    tasks = forms.IntegerField(
        required=False, min_value=1, max_value=100_000, initial=100, help_text="Tasks to open."
    )

    def clean(self) -> dict[str, Any]:
        cleaned = super().clean()
        project = cleaned.get("project")
        if project is not None:
            require_prompts(self, project)
        return cleaned


class PrepareCorpusForm(ConfigForm):
    """What `manage.py prepare_corpus` can be asked; it is no run."""

    configs = (CorpusConfig, TokenizerConfig)

    def clean_source(self) -> str:
        return checked_paths(self.cleaned_data["source"])


class GenerateForm(InsteadOfProjectMixin, ConfigForm):
    """What `manage.py generate` can be asked; it is no run."""

    configs = (SamplingConfig, HardwareConfig)

    policy = optional_policy("The version that writes (default: the newest policy).")
    samples = forms.IntegerField(
        required=False, min_value=1, max_value=1000, initial=1, help_text="Completions of each prompt."
    )

    def clean(self) -> dict[str, Any]:
        cleaned = super().clean()
        if not self.errors and not cleaned["policy"]:
            cleaned["policy"] = ModelVersion.objects.policies().first()
            if cleaned["policy"] is None:
                self.add_error("policy", "there is no policy yet; `manage.py pretrain` makes the first.")
        return cleaned


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


class ExportForm(InsteadOfProjectMixin, ConfigForm):
    """What `manage.py export_model` can be asked; it is no run."""

    configs = (ExportConfig,)

    policy = NamedChoiceField(
        ModelVersion.objects.all(),
        by="name",
        required=False,
        help_text="The policy to export; left out with --project.",
    )
    folder = forms.CharField(help_text="A new folder, which transformers will be able to read.")

    def clean_policy(self) -> ModelVersion | None:
        version: ModelVersion | None = self.cleaned_data["policy"]
        if version is not None and version.kind != ModelVersion.Kind.POLICY:
            trunk = f"; its policy is “{version.parent}”" if version.parent else ""
            raise forms.ValidationError(
                f"“{version}” is a reward model, whose head has no place in such a folder{trunk}."
            )
        return version

    def clean(self) -> dict[str, Any]:
        cleaned = super().clean()
        if not self.errors and not cleaned["policy"]:
            self.add_error("policy", "name a policy, or with --project the one in production there.")
        return cleaned
