"""Forms in which a project can be named instead of the policy that is in production there."""

from typing import Any

from django import forms

from labeling.models import Project
from training.config_form import NamedChoiceField
from training.models import ModelVersion


def optional_policy_field(help_text: str) -> NamedChoiceField:
    return NamedChoiceField(ModelVersion.objects.policies(), by="name", required=False, help_text=help_text)


class ProductionPolicyMixin(forms.Form):
    """A form whose policy defaults to the one in production in its project."""

    def clean(self) -> dict[str, Any]:
        cleaned = super().clean() or {}
        project = cleaned.get("project")
        chosen = cleaned.get("policy") or cleaned.get("from")
        if project is not None and not chosen and not {"policy", "from"} & set(self.errors):
            cleaned["policy"] = ModelVersion.objects.production(project)
            if cleaned["policy"] is None:
                self.add_error(
                    "policy",
                    f"nothing is in production in “{project.slug}” yet: promote a version, or name a policy.",
                )
        return cleaned


class PolicyOrProjectMixin(ProductionPolicyMixin):
    """A form that takes a policy or a project, not both."""

    project = NamedChoiceField(
        Project.objects.all(),
        by="slug",
        required=False,
        help_text="Instead of a policy: use the one in production in this project.",
    )

    def clean(self) -> dict[str, Any]:
        if self.cleaned_data.get("policy") and self.cleaned_data.get("project"):
            self.add_error("project", "name either a policy or a project, not both.")
        return super().clean()
