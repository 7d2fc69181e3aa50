"""Forms of a language model: pretraining, sampling, generation, import, export, and preparing a corpus."""

import dataclasses
import re
from pathlib import Path
from typing import Any

from django import forms
from django.http import QueryDict

from labeling.models import Project
from training.config_form import ConfigForm, NamedChoiceField
from training.forms.base import (
    ChatMixin,
    NewVersionForm,
    OpensTasksMixin,
    RunForm,
    VersionNameMixin,
    next_free_name,
    require_prompts,
    required_project_field,
    validate_paths,
)
from training.forms.production_policy import (
    PolicyOrProjectMixin,
    ProductionPolicyMixin,
    optional_policy_field,
)
from training.forms.writers import EndpointMixin
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
    inherited_options = ("preset", *(option.name for option in dataclasses.fields(TokenizerConfig)))

    policy = NamedChoiceField(
        ModelVersion.objects.policies(),
        by="name",
        required=False,
        help_text="Continue training this policy, with its tokenizer, instead of a new model.",
    )
    project = NamedChoiceField(
        Project.objects.all(), by="slug", required=False, help_text="Where --tasks are opened."
    )

    @classmethod
    def normalise_page_data(cls, data: QueryDict) -> QueryDict:
        data = data.copy()
        for name in cls.inherited_options if data.get("policy") else ():
            data.pop(name, None)
        return data

    def clean_source(self) -> str:
        return validate_paths(self.cleaned_data["source"])

    def default_name(self) -> str:
        if policy := self.cleaned_data.get("policy"):
            return next_free_name(policy.name)
        return "stories" if self.cleaned_data.get("source") == "stories" else "base"

    def clean(self) -> dict[str, Any]:
        cleaned = super().clean()
        if cleaned.get("tasks") and not cleaned.get("project"):
            self.add_error("project", "name the project in which the tasks are opened.")
        if cleaned.get("policy"):
            for name in self.inherited_options:
                if cleaned.get(name) != self.fields[name].initial:
                    self.add_error(name, f"leave it out: “{cleaned['policy']}” has its own.")
        return cleaned

    def parameters(self) -> dict[str, Any]:
        inherited = self.inherited_options if self.cleaned_data.get("policy") else ()
        return {name: value for name, value in super().parameters().items() if name not in inherited}


class SampleForm(EndpointMixin, ChatMixin, ProductionPolicyMixin, RunForm):
    kind = Run.Kind.SAMPLE
    summary = (
        "Generate samples for a project's prompts with a policy or an endpoint, and open tasks with them."
    )
    configs = (SamplingConfig, HardwareConfig)

    project = required_project_field()
    policy = optional_policy_field(
        "The version that generates (default: the one in production in the project)."
    )
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
    """Options of `manage.py prepare_corpus`, which is no run."""

    configs = (CorpusConfig, TokenizerConfig)

    def clean_source(self) -> str:
        return validate_paths(self.cleaned_data["source"])


class GenerateForm(ChatMixin, PolicyOrProjectMixin, ConfigForm):
    """Options of `manage.py generate`, which is no run."""

    configs = (SamplingConfig, HardwareConfig)

    policy = optional_policy_field("The version that generates (default: the newest policy).")
    samples = forms.IntegerField(
        required=False, min_value=1, max_value=1000, initial=1, help_text="Completions per prompt."
    )

    def clean(self) -> dict[str, Any]:
        cleaned = super().clean()
        if not self.errors and not cleaned["policy"]:
            cleaned["policy"] = ModelVersion.objects.policies().first()
            if cleaned["policy"] is None:
                self.add_error("policy", "there is no policy yet; `manage.py pretrain` makes the first.")
        return cleaned


class ImportForm(VersionNameMixin, ConfigForm):
    """Options of `manage.py import_model`, which is no run."""

    folder = forms.CharField(help_text="A Hugging Face folder of the GPT-2, Llama, Qwen2 or Qwen3 family.")
    context = forms.IntegerField(
        required=False, min_value=2, help_text="Context length in tokens, if shorter than the model's."
    )
    chat_template = forms.NullBooleanField(
        required=False, initial=True, help_text="Keep the folder's chat template, if it has one."
    )

    def default_name(self) -> str:
        """The name of the folder, without characters that a version name cannot have."""
        name = Path(self.cleaned_data["folder"]).resolve().name
        return re.sub(r"[^A-Za-z0-9._-]+", "-", name)[:70].strip("._-") or "imported"


class ExportForm(PolicyOrProjectMixin, ConfigForm):
    """Options of `manage.py export_model`, which is no run."""

    configs = (ExportConfig,)

    policy = NamedChoiceField(
        ModelVersion.objects.all(),
        by="name",
        required=False,
        help_text="The policy to export; not with --project.",
    )
    folder = forms.CharField(help_text="A new folder, which transformers can load.")

    def clean_policy(self) -> ModelVersion | None:
        version: ModelVersion | None = self.cleaned_data["policy"]
        if version is not None and version.kind != ModelVersion.Kind.POLICY:
            trunk = f"; the policy it is based on is “{version.parent}”" if version.parent else ""
            raise forms.ValidationError(
                f"“{version}” is a reward model, and its head cannot be exported{trunk}."
            )
        return version

    def clean(self) -> dict[str, Any]:
        cleaned = super().clean()
        if not self.errors and not cleaned["policy"]:
            self.add_error(
                "policy", "name a policy, or a --project to export the policy in production there."
            )
        return cleaned
