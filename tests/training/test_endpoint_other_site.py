"""`sample --from` against `serve` of another Hone, which has a home and a database of its own."""

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from django.conf import settings
from django.core.management import call_command

from labeling.models import Prompt, Sample, Task
from tests.training.endpoint_server import EndpointServer
from tests.training.factories import QUICK_PRETRAIN, make_project
from training.models import Run

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.slow]

MAKE_TOKEN = """
from django.contrib.auth.models import User
from rest_framework.authtoken.models import Token
print(Token.objects.create(user=User.objects.create_superuser("root")).key)
"""


class OtherSite:
    """A site with its own home, embedded database included."""

    def __init__(self, home: Path) -> None:
        self.environment = {**os.environ, "HONE_HOME": str(home), "PYTHONUNBUFFERED": "1"}
        self.environment.pop("DATABASE_URL", None)

    def command(self, *arguments: str) -> list[str]:
        return [sys.executable, str(settings.BASE_DIR / "manage.py"), *arguments]

    def run(self, *arguments: str) -> str:
        """What a command prints."""
        ended = subprocess.run(
            self.command(*arguments), env=self.environment, capture_output=True, text=True, check=False
        )
        assert ended.returncode == 0, ended.stderr
        return ended.stdout

    @contextmanager
    def serving(self) -> Iterator[str]:
        """`manage.py serve` on a free port; gives the base URL."""
        with subprocess.Popen(
            self.command("serve", "--port", "0"), env=self.environment, stdout=subprocess.PIPE, text=True
        ) as process:
            try:
                assert process.stdout
                line = next(line for line in process.stdout if line.startswith("Serving at "))
                yield line.split()[2]
            finally:
                process.send_signal(signal.SIGTERM)


def test_a_version_of_another_site_writes_samples_here(
    server: EndpointServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    other = OtherSite(tmp_path / "other")
    options = [f"--{name.replace('_', '-')}={value}" for name, value in QUICK_PRETRAIN.items()]
    other.run("pretrain", "--name", "teller", *options)
    monkeypatch.setenv("OTHER_SITE_API_KEY", other.run("shell", "--no-imports", "-c", MAKE_TOKEN).split()[-1])
    project = make_project(train=6)
    messages = [{"role": "user", "content": "Tell me a story."}]
    Prompt.objects.create(
        project=project, text="\n\nHuman: Tell me a story.\n\nAssistant:", messages=messages
    )
    with other.serving() as url:
        for name, api in (("there", "completions"), ("chat", "chat")):
            call_command(
                "add_endpoint", name, "--url", url, "--model", "teller", "--api", api,
                "--api-key-variable", "OTHER_SITE_API_KEY",
            )  # fmt: skip
            call_command(
                "sample", "--from", name, "--project", "letters", "--tasks", "100", "--max-new-tokens", "5",
                "--seed", "3",
            )  # fmt: skip
    for run in Run.objects.all():
        assert run.status == Run.Status.SUCCEEDED
        assert run.metrics["tasks"] == 7, run.metrics
        assert 0 < run.metrics["completion_tokens"] <= 5 * 21
    assert Task.objects.count() == 14
    assert {each.parameters["model"] for each in Sample.objects.all()} == {"teller"}
