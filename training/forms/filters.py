"""What a list of runs is narrowed by."""

from typing import Any
from urllib.parse import urlencode

from django import forms
from django.contrib.auth.models import User
from django.db.models import QuerySet

from labeling.models import Project
from training.models import Run
from training.models.runs import RunQuerySet


class RunFilter(forms.Form):
    """Read from the address; whatever names nothing narrows nothing."""

    kind = forms.ChoiceField(choices=[("", "All kinds"), *Run.Kind.choices], required=False)
    status = forms.ChoiceField(choices=[("", "Any status"), *Run.Status.choices], required=False)
    project = forms.ModelChoiceField(
        Project.objects.none(), to_field_name="slug", empty_label="All projects", required=False
    )
    mine = forms.BooleanField(label="Only mine", required=False)

    def __init__(self, data: Any, *, projects: QuerySet[Project]) -> None:
        super().__init__(data)
        self.fields["project"].queryset = projects  # type: ignore[attr-defined]

    def of(self, found: RunQuerySet, *, user: User) -> RunQuerySet:
        """The runs that the filter leaves."""
        wanted = self.wanted()
        if wanted.pop("mine", False):
            wanted["owner"] = user
        return found.filter(**wanted)

    def wanted(self) -> dict[str, Any]:
        """What was chosen, by field."""
        self.is_valid()
        return {name: value for name, value in self.cleaned_data.items() if value}

    def query(self) -> str:
        """The same as the end of an address, for the links to other pages."""
        wanted = self.wanted()
        if "project" in wanted:
            wanted["project"] = wanted["project"].slug
        return urlencode(wanted | ({"mine": "on"} if wanted.get("mine") else {}))
