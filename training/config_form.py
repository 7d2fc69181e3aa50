"""Forms generated from config dataclasses, so that each option is described and validated in one place."""

import dataclasses
from collections.abc import Callable
from typing import Any, ClassVar, TypeVar

from django import forms
from django.db.models import Model, QuerySet

from training.gpt.errors import InputError

Config = TypeVar("Config")


def config_field(option: "dataclasses.Field[Any]") -> forms.Field:
    """The form field of one field of a config dataclass. Left empty, it takes the dataclass's default."""
    help_text = option.metadata.get("help", "")
    common = {"required": False, "initial": option.default, "help_text": help_text}
    if choices := option.metadata.get("choices"):
        unknown = {"invalid_choice": f"“%(value)s” is unknown; choose one of {', '.join(map(str, choices))}."}
        return forms.ChoiceField(
            choices=[(choice, choice) for choice in choices], error_messages=unknown, **common
        )
    if isinstance(option.default, bool):
        return forms.BooleanField(**common)
    if isinstance(option.default, int):
        return forms.IntegerField(**common)
    if isinstance(option.default, float):
        return forms.FloatField(**common)
    return forms.CharField(strip=option.metadata.get("strip", True), **common)


class NamedChoiceField(forms.ModelChoiceField):
    """A choice of a row by its name; the error for an unknown name lists the known ones."""

    def __init__(self, queryset: QuerySet[Any], *, by: str, missing: str = "", **options: Any) -> None:
        super().__init__(queryset, to_field_name=by, blank=True, **options)
        self.by = by
        if missing:
            self.error_messages["required"] = missing

    @property
    def rows(self) -> QuerySet[Any]:
        """The rows to choose from."""
        assert self.queryset is not None
        return self.queryset

    def limit(self, visible: Callable[[Any], QuerySet[Any]]) -> None:
        """Offer only rows that are `visible`, a function from all rows to those."""
        self.queryset = visible(self.queryset)

    def find(self, value: Any) -> Model | None:
        """The row of that name; None if there is none."""
        row: Model | None = self.rows.filter(**{self.by: value}).first()
        return row

    def known_names(self) -> list[str]:
        """Some names that can be chosen."""
        return list(self.rows.values_list(self.by, flat=True)[:8])

    def to_python(self, value: Any) -> Model | None:
        try:
            return super().to_python(value)
        except forms.ValidationError:
            names = self.known_names()
            there = f"there are: {', '.join(names)}" if names else "there is none yet"
            raise forms.ValidationError(f"there is no “{value}”; {there}.") from None


class ConfigForm(forms.Form):
    """A form with the fields of the dataclasses in `configs`, and any fields declared as usual."""

    configs: ClassVar[tuple[type[Any], ...]] = ()

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        for config in self.configs:
            for option in dataclasses.fields(config):
                if option.name not in self.fields:
                    self.fields[option.name] = config_field(option)

    def clean(self) -> dict[str, Any]:
        """Fill in the defaults, and validate with the dataclasses."""
        cleaned = super().clean() or {}
        for name, field in self.fields.items():
            if name in cleaned and cleaned[name] in (None, "") and field.initial is not None:
                cleaned[name] = field.initial
        for config in self.configs_in_use(cleaned):
            if all(option.name in cleaned for option in dataclasses.fields(config)):
                try:
                    self.config(config)
                except InputError as error:
                    name, _, message = str(error).partition(": ")
                    self.add_error(name if name in self.fields and message else None, message or str(error))
        return cleaned

    def configs_in_use(self, cleaned: dict[str, Any]) -> tuple[type[Any], ...]:  # noqa: ARG002
        """The dataclasses that apply to these values."""
        return self.configs

    def config(self, kind: type[Config]) -> Config:
        """An instance of the dataclass `kind`, filled from the cleaned values."""
        names = [option.name for option in dataclasses.fields(kind)]  # type: ignore[arg-type]
        return kind(**{name: self.cleaned_data[name] for name in names})
