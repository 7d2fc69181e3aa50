"""How one person likes to work, as a form: a daily goal, and the keys of the page."""

from typing import Any

from django import forms
from django.contrib.auth.models import User
from django.core.exceptions import ValidationError
from django.forms import BoundField

from labeling.models import WorkSettings
from labeling.workspace.keyboard_shortcuts import ACTIONS, check_keys, keys_of, printed

MOST_A_DAY = 10_000
PREFIX = "key-"


class WorkSettingsForm(forms.Form):
    """The daily goal, and a key for each action; an empty field means the usual."""

    daily_goal = forms.IntegerField(
        required=False,
        min_value=1,
        max_value=MOST_A_DAY,
        error_messages={
            "invalid": "Enter a whole number, or leave it empty.",
            "min_value": "Enter at least 1, or leave it empty for no personal goal.",
            "max_value": f"At most {MOST_A_DAY:,}.",
        },
    )

    def __init__(self, annotator: User, data: Any = None) -> None:
        super().__init__(data)
        self.stored = WorkSettings.objects.filter(pk=annotator.pk).first() or WorkSettings(
            annotator=annotator
        )
        self.initial["daily_goal"] = self.stored.daily_goal
        self.fields["daily_goal"].widget.attrs["inputmode"] = "numeric"
        keys = printed(keys_of(annotator))
        for action, (_, label) in ACTIONS.items():
            # Told by `check_keys`, not cut off: a space or a word is a mistake to hear of.
            field = forms.CharField(required=False, strip=False, label=label)
            field.widget.attrs |= {"maxlength": 1, "autocapitalize": "none", "spellcheck": "false"}
            self.fields[PREFIX + action] = field
            self.initial[PREFIX + action] = keys[action]

    @property
    def keys(self) -> list[BoundField]:
        """The fields of the keys, in the order of the actions."""
        return [self[PREFIX + action] for action in ACTIONS]

    def clean(self) -> dict[str, Any]:
        """Check the keys together, and say beside each field what is wrong with it."""
        given = {action: self.cleaned_data.get(PREFIX + action, "") for action in ACTIONS}
        try:
            self.cleaned_data["keys"] = check_keys(given)
        except ValidationError as error:
            for action, problems in error.message_dict.items():
                for problem in problems:
                    self.add_error(PREFIX + action, problem)
        return self.cleaned_data

    def save(self) -> None:
        """Store both."""
        self.stored.daily_goal = self.cleaned_data["daily_goal"]
        self.stored.keys = self.cleaned_data["keys"]
        self.stored.save()
