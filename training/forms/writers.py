"""Fields that choose who writes completions: a policy version, or an endpoint."""

from collections.abc import Callable
from typing import Any

from django import forms
from django.db.models import Model, QuerySet
from django.http import QueryDict

from training.config_form import NamedChoiceField
from training.models import Endpoint, ModelVersion


class WriterChoiceField(NamedChoiceField):
    """A choice of a policy version or an endpoint by its name, which no two of them share."""

    def __init__(self, **options: Any) -> None:
        super().__init__(ModelVersion.objects.policies(), by="name", **options)
        self.endpoints: QuerySet[Endpoint] = Endpoint.objects.all()

    def limit(self, visible: Callable[[Any], QuerySet[Any]]) -> None:
        super().limit(visible)
        self.endpoints = visible(self.endpoints)

    def find(self, value: Any) -> Model | None:
        return super().find(value) or self.endpoints.filter(name=value).first()

    def known_names(self) -> list[str]:
        return [*super().known_names(), *self.endpoints.values_list("name", flat=True)[:8]]

    def to_python(self, value: Any) -> Model | None:
        if value not in self.empty_values and (endpoint := self.endpoints.filter(name=value).first()):
            return endpoint
        return super().to_python(value)

    def validate(self, value: Any) -> None:
        forms.Field.validate(self, value)  # not that it is a version


class EndpointMixin(forms.Form):
    """A form in which an endpoint can be named instead of a policy."""

    vars()["from"] = NamedChoiceField(
        Endpoint.objects.all(),
        by="name",
        required=False,
        label="Endpoint",
        help_text="Instead of a policy: the endpoint that writes.",
    )

    @classmethod
    def normalise_page_data(cls, data: QueryDict) -> QueryDict:
        """A page has a policy selected already: an endpoint that somebody selects replaces it."""
        data = super().normalise_page_data(data).copy()  # type: ignore[misc]
        if data.get("from"):
            data.pop("policy", None)
        return data

    def clean(self) -> dict[str, Any]:
        if self.cleaned_data.get("from") and self.cleaned_data.get("policy"):
            self.add_error("from", "name either a policy or an endpoint, not both.")
        cleaned = super().clean() or {}
        if cleaned.get("from") and cleaned.get("beams", 1) > 1:
            self.add_error("beams", "leave it out: endpoints have no beam search.")
        if cleaned.get("from") and cleaned.get("chat"):
            self.add_error("chat", "leave it out: an endpoint has a chat template of its own.")
        return cleaned
