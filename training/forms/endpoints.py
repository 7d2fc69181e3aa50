"""The form of an endpoint, for the command and the admin."""

from typing import Any

from django import forms

from training.endpoints.errors import EndpointError
from training.forms.base import name_is_taken
from training.models import Endpoint
from training.models.endpoints import EXAMPLE_URL

MISSING = {
    "name": "name the endpoint.",
    "url": f"give the base URL of the server, such as {EXAMPLE_URL}.",
    "model": "give the name of the model on that server.",
}
"""What is said of a field that must not be empty."""


class EndpointForm(forms.ModelForm):
    """Adds an endpoint, or changes one: who writes (name, model, API) stays the same from then on."""

    check = forms.BooleanField(
        required=False,
        initial=True,
        label="Check that it answers",
        help_text="Ask it for one token before it is saved.",
    )

    class Meta:
        model = Endpoint
        fields = (
            "name", "url", "model", "api", "api_key_variable", "concurrency", "requests_per_minute",
            "timeout", "retries", "extra_parameters",
        )  # fmt: skip

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self.fields["extra_parameters"].initial = {}  # the model's default is a function
        for name, field in self.fields.items():
            field.required = field.required and name in MISSING
            if name in MISSING:
                field.error_messages["required"] = MISSING[name]

    def clean_name(self) -> str:
        name: str = self.cleaned_data["name"]
        if self.instance.pk is None and name_is_taken(name):
            raise forms.ValidationError(f"“{name}” is taken; choose another name.")
        return name

    def clean_url(self) -> str:
        url: str = self.cleaned_data["url"]
        return url.rstrip("/")

    def clean_extra_parameters(self) -> dict[str, Any]:
        return self.cleaned_data["extra_parameters"] or {}

    def clean(self) -> dict[str, Any]:
        cleaned: dict[str, Any] = super().clean() or {}
        for name, field in self.fields.items():
            if cleaned.get(name) in (None, "") and name in self.Meta.fields and field.initial is not None:
                cleaned[name] = field.initial
        return cleaned

    def _post_clean(self) -> None:
        super()._post_clean()  # type: ignore[misc]
        if not self.errors and self.cleaned_data["check"]:
            # Imports the HTTP client only now: pages that check nothing do without it.
            from training.endpoints.client import check

            try:
                check(self.instance)
            except EndpointError as error:
                self.add_error(None, str(error))
