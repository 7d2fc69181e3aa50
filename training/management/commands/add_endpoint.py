"""`manage.py add_endpoint NAME --url URL --model MODEL`: add a model that lives elsewhere."""

from argparse import ArgumentParser
from typing import Any

from training.forms.endpoints import EndpointForm
from training.management.options import add_options, given_values, require_valid
from training.management.site_command import SiteCommand

ARGUMENTS = ["name"]


class Command(SiteCommand):
    help = "Add a model behind an OpenAI-compatible server, which then writes samples as a version does."

    def add_arguments(self, parser: ArgumentParser) -> None:
        add_options(parser, EndpointForm(), arguments=ARGUMENTS)

    def handle(self, **options: Any) -> None:
        values = {"check": True} | given_values(EndpointForm(), options)
        form = require_valid(EndpointForm(values), arguments=ARGUMENTS)
        endpoint = form.save()
        answers = " answers, and" if form.cleaned_data["check"] else ""
        self.stdout.write(
            f"{endpoint}{answers} is added; `manage.py sample --project PROJECT --from {endpoint}` writes "
            "samples with it."
        )
