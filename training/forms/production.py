"""Forms in which a project stands for the policy that is in production there."""

from typing import Any

from django import forms

from labeling.models import Project
from training.config_form import NamedChoiceField
from training.models import ModelVersion


def optional_policy(help_text: str) -> NamedChoiceField:
    return NamedChoiceField(ModelVersion.objects.policies(), by="name", required=False, help_text=help_text)


class ProductionMixin(forms.Form):
    """A form whose policy, where none is named, is the one in production in the project that is."""

    def clean(self) -> dict[str, Any]:
        cleaned = super().clean() or {}
        project = cleaned.get("project")
        if project is not None and not cleaned.get("policy") and "policy" not in self.errors:
            cleaned["policy"] = ModelVersion.objects.production(project)
            if cleaned["policy"] is None:
                self.add_error(
                    "policy",
                    f"nothing is in production in “{project.slug}” yet: promote a version, or name a policy.",
                )
        return cleaned


class InsteadOfProjectMixin(ProductionMixin):
    """A form that takes a policy or a project, not both."""

    project = NamedChoiceField(
        Project.objects.all(),
        by="slug",
        required=False,
        help_text="In place of a policy: the one that is in production in this project.",
    )

    def clean(self) -> dict[str, Any]:
        if self.cleaned_data.get("policy") and self.cleaned_data.get("project"):
            self.add_error("project", "leave it out where a policy is named, or the other way round.")
        return super().clean()
