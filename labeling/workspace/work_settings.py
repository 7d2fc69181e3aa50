"""The form for an annotator's own settings: a daily goal and the keyboard shortcuts."""

from typing import Any

from django import forms
from django.contrib.auth.models import User
from django.core.exceptions import ValidationError
from django.forms import BoundField

from labeling.models import WorkSettings
from labeling.workspace.keyboard_shortcuts import ACTIONS, key_labels, keys_for, validate_keys

MAX_DAILY_GOAL = 10_000
KEY_FIELD_PREFIX = "key-"


class WorkSettingsForm(forms.Form):
    """The daily goal and one key per action; an empty field means the default."""

    daily_goal = forms.IntegerField(
        required=False,
        min_value=1,
        max_value=MAX_DAILY_GOAL,
        error_messages={
            "invalid": "Enter a whole number, or leave it empty.",
            "min_value": "Enter at least 1, or leave it empty for no personal goal.",
            "max_value": f"Enter at most {MAX_DAILY_GOAL:,}.",
        },
    )

    def __init__(self, annotator: User, data: Any = None) -> None:
        super().__init__(data)
        self.stored = WorkSettings.objects.filter(pk=annotator.pk).first() or WorkSettings(
            annotator=annotator
        )
        self.initial["daily_goal"] = self.stored.daily_goal
        self.fields["daily_goal"].widget.attrs["inputmode"] = "numeric"
        keys = key_labels(keys_for(annotator))
        for action, (_, label) in ACTIONS.items():
            # `validate_keys` reports a space or a word; stripping or truncating would hide the mistake.
            field = forms.CharField(required=False, strip=False, label=label)
            field.widget.attrs |= {"maxlength": 1, "autocapitalize": "none", "spellcheck": "false"}
            self.fields[KEY_FIELD_PREFIX + action] = field
            self.initial[KEY_FIELD_PREFIX + action] = keys[action]

    @property
    def key_fields(self) -> list[BoundField]:
        """The key fields in the order of the actions."""
        return [self[KEY_FIELD_PREFIX + action] for action in ACTIONS]

    def clean(self) -> dict[str, Any]:
        """Check the keys together; errors are attached to their fields."""
        keys = {action: self.cleaned_data.get(KEY_FIELD_PREFIX + action, "") for action in ACTIONS}
        try:
            self.cleaned_data["keys"] = validate_keys(keys)
        except ValidationError as error:
            for action, problems in error.message_dict.items():
                for problem in problems:
                    self.add_error(KEY_FIELD_PREFIX + action, problem)
        return self.cleaned_data

    def save(self) -> None:
        """Store the goal and the keys."""
        self.stored.daily_goal = self.cleaned_data["daily_goal"]
        self.stored.keys = self.cleaned_data["keys"]
        self.stored.save()
