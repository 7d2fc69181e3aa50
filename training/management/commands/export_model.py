"""`manage.py export_model NAME FOLDER`, or `--project SLUG FOLDER`: a policy as a Hugging Face folder."""

from argparse import ArgumentParser
from pathlib import Path
from typing import Any

from django.core.management.base import CommandError

from training.artifacts import ArtifactError
from training.forms.language_model import ExportForm
from training.gpt.config import ExportConfig
from training.gpt.errors import InputError
from training.management.options import add_options, given, valid
from training.management.site_command import SiteCommand

PLACES = ["policy", "folder"]


class Command(SiteCommand):
    help = "Write a policy as a folder that transformers reads."

    def add_arguments(self, parser: ArgumentParser) -> None:
        add_options(parser, ExportForm(), arguments=PLACES)

    def handle(self, **options: Any) -> None:
        form = valid(ExportForm(given(ExportForm(), options)), arguments=PLACES)
        policy, folder = form.cleaned_data["policy"], Path(form.cleaned_data["folder"]).expanduser()
        # Torch is loaded only now: a mistyped option must not wait for it.
        from training.execution.huggingface import export_policy

        try:
            family = export_policy(policy, folder, form.config(ExportConfig))
        except (InputError, ArtifactError) as error:
            raise CommandError(str(error)) from None
        self.stdout.write(f"{policy.name} is in {folder}, as a model of the {family} family")
