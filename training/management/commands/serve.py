"""`manage.py serve`: an OpenAI-compatible server of this site's versions."""

import argparse
import socket
import sys
from typing import Any

from django.core.management import CommandError

from feedback_site.listener import listener_url, open_listener
from training.forms.serving import ServeForm
from training.management.options import add_options, given_values, require_valid
from training.management.site_command import SiteCommand
from training.models import ModelVersion


class Command(SiteCommand):
    help = "Serve versions to OpenAI-compatible clients until Ctrl-C."

    def add_arguments(self, parser: argparse.ArgumentParser) -> None:
        parser.add_argument("--host", default="127.0.0.1", help="Address to listen on (default: 127.0.0.1).")
        parser.add_argument("--port", type=int, default=8001, help="Port (default: 8001; 0: a free one).")
        parser.add_argument("--fd", type=int, help=argparse.SUPPRESS)  # a socket that `up` listens on
        parser.add_argument(
            "--versions", nargs="+", default=[], metavar="NAME", help="Serve these only (default: all)."
        )
        add_options(parser, ServeForm())

    def handle(self, *, host: str, port: int, fd: int | None, versions: list[str], **options: Any) -> None:
        form = require_valid(ServeForm(given_values(ServeForm(), options)))
        require_policies(versions)
        with open_listener(host, port) if fd is None else socket.socket(fileno=fd) as listener:
            try:
                self.serve(listener, versions, form)
            except KeyboardInterrupt:  # before the server listens
                sys.exit(130)

    def serve(self, listener: socket.socket, versions: list[str], form: ServeForm) -> None:
        """Serve until stopped."""
        # Imports torch only now, so that a mistyped option fails at once.
        from training.gpt.config import HardwareConfig
        from training.serving.model_cache import Limits
        from training.serving.server import serve

        names = ("max_models", "max_batch", "max_waiting")
        serve(
            listener,
            only=versions,
            hardware=form.config(HardwareConfig),
            limits=Limits(**{name: form.cleaned_data[name] for name in names}),
            on_ready=lambda: self.say_ready(listener),
        )

    def say_ready(self, listener: socket.socket) -> None:
        self.stdout.write(f"Serving at {listener_url(listener)}v1 (Ctrl-C stops it)")
        self.stdout.flush()


def require_policies(names: list[str]) -> None:
    """Raise CommandError for a name that is not that of a policy."""
    known = set(ModelVersion.objects.policies().values_list("name", flat=True))
    if unknown := [name for name in names if name not in known]:
        there = f"there are: {', '.join(sorted(known)[:8])}" if known else "there is none yet"
        raise CommandError(f"--versions: there is no policy “{unknown[0]}”; {there}.")
