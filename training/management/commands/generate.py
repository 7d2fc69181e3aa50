"""`manage.py generate --policy NAME PROMPT…`: let a policy write, on the terminal."""

from argparse import ArgumentParser
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from training.artifacts import ArtifactError
from training.forms import GenerateForm
from training.gpt.config import SamplingConfig
from training.gpt.errors import InputError
from training.management.options import add_options, given, valid


class Command(BaseCommand):
    help = "Let a policy complete prompts, and print what it writes."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("prompts", nargs="*", default=[""], help="What to complete (default: nothing).")
        add_options(parser, GenerateForm())

    def handle(self, *, prompts: list[str], **options: Any) -> None:
        form = valid(GenerateForm(given(GenerateForm(), options)))
        from training.execution.versions import load_policy
        from training.gpt.generate import generate_text

        try:
            model, tokenizer = load_policy(form.cleaned_data["policy"])
            written = generate_text(
                model,
                tokenizer,
                prompts,
                form.config(SamplingConfig),
                samples_per_prompt=form.cleaned_data["samples"],
            )
        except (InputError, ArtifactError) as error:
            raise CommandError(str(error)) from None
        for prompt, completions in zip(prompts, written, strict=True):
            for completion in completions:
                self.stdout.write(prompt + completion)
