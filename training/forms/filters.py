"""The filter of the list of runs."""

from typing import Any
from urllib.parse import urlencode

from django import forms
from django.contrib.auth.models import User
from django.db.models import QuerySet

from labeling.models import Project
from training.models import Run
from training.models.runs import RunQuerySet


class RunFilter(forms.Form):
    """Read from the query string; unknown values are ignored."""

    kind = forms.ChoiceField(choices=[("", "All kinds"), *Run.Kind.choices], required=False)
    status = forms.ChoiceField(choices=[("", "Any status"), *Run.Status.choices], required=False)
    project = forms.ModelChoiceField(
        Project.objects.none(), to_field_name="slug", empty_label="All projects", required=False
    )
    mine = forms.BooleanField(label="Only mine", required=False)

    def __init__(self, data: Any, *, projects: QuerySet[Project]) -> None:
        super().__init__(data)
        self.fields["project"].queryset = projects  # type: ignore[attr-defined]

    def apply(self, runs: RunQuerySet, *, user: User) -> RunQuerySet:
        """The runs that match."""
        selected = self.selected()
        if selected.pop("mine", False):
            selected["owner"] = user
        return runs.filter(**selected)

    def selected(self) -> dict[str, Any]:
        """The selected values by field."""
        self.is_valid()
        return {name: value for name, value in self.cleaned_data.items() if value}

    def query_string(self) -> str:
        """The selected values as a query string, for links to other pages of the list."""
        selected = self.selected()
        if "project" in selected:
            selected["project"] = selected["project"].slug
        return urlencode(selected | ({"mine": "on"} if selected.get("mine") else {}))
