"""`manage.py export_model NAME FOLDER` or `--project SLUG FOLDER`: export a policy for transformers."""

from argparse import ArgumentParser
from pathlib import Path
from typing import Any

from django.core.management.base import CommandError

from training.artifacts import ArtifactError
from training.forms.language_model import ExportForm
from training.gpt.config import ExportConfig
from training.gpt.errors import InputError
from training.management.options import add_options, given_values, require_valid
from training.management.site_command import SiteCommand

ARGUMENTS = ["policy", "folder"]


class Command(SiteCommand):
    help = "Export a policy as a folder that transformers can load."

    def add_arguments(self, parser: ArgumentParser) -> None:
        add_options(parser, ExportForm(), arguments=ARGUMENTS)

    def handle(self, **options: Any) -> None:
        form = require_valid(ExportForm(given_values(ExportForm(), options)), arguments=ARGUMENTS)
        policy, folder = form.cleaned_data["policy"], Path(form.cleaned_data["folder"]).expanduser()
        # Imports torch only now, so that a mistyped option fails at once.
        from training.execution.huggingface import export_policy

        try:
            family = export_policy(policy, folder, form.config(ExportConfig))
        except (InputError, ArtifactError) as error:
            raise CommandError(str(error)) from None
        self.stdout.write(f"{policy.name} exported to {folder} as a {family} model")
