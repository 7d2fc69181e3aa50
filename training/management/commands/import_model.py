"""`manage.py import_model FOLDER --name NAME`: import a policy from a Hugging Face folder."""

from argparse import ArgumentParser
from pathlib import Path
from typing import Any

from django.core.management.base import CommandError

from training.artifacts import has_chat_template
from training.forms.language_model import ImportForm
from training.gpt.errors import InputError
from training.management.options import add_options, given_values, require_valid
from training.management.site_command import SiteCommand


class Command(SiteCommand):
    help = "Import a Hugging Face folder (config.json, model.safetensors, tokenizer.json) as a policy."

    def add_arguments(self, parser: ArgumentParser) -> None:
        add_options(parser, ImportForm(), arguments=["folder"])

    def handle(self, **options: Any) -> None:
        form = require_valid(ImportForm(given_values(ImportForm(), options)), arguments=["folder"])
        cleaned = form.cleaned_data
        # Imports torch only now, so that a mistyped option fails at once.
        from training.execution.huggingface import import_policy

        try:
            version = import_policy(
                Path(cleaned["folder"]).expanduser(),
                name=cleaned["name"],
                context=cleaned["context"] or 0,
                chat_template=cleaned["chat_template"],
            )
        except InputError as error:
            raise CommandError(str(error)) from None
        found = version.metrics
        self.stdout.write(
            f"{version.name}: {found['family']} model, {found['parameters']:,} parameters,"
            f" vocabulary {found['vocab_size']:,}, context {found['context']:,}"
            + (", with a chat template" if has_chat_template(version) else "")
        )
