"""Options of `manage.py serve`, which is no run."""

from django import forms

from training.config_form import ConfigForm
from training.gpt.config import HardwareConfig


class ServeForm(ConfigForm):
    """How much the server takes on, and where its models compute."""

    configs = (HardwareConfig,)

    max_models = forms.IntegerField(
        required=False, min_value=1, initial=3, help_text="Models in memory; the least recently used goes."
    )
    max_batch = forms.IntegerField(
        required=False, min_value=1, initial=32, help_text="Completions that a model generates at once."
    )
    max_waiting = forms.IntegerField(
        required=False,
        min_value=0,
        initial=256,
        help_text="Completions that wait for a model; more requests are answered with 429.",
    )
