"""A server of versions in a process of its own, which the tests of this folder share."""

import os
import re
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from django.conf import settings as site_settings
from django.contrib.auth.models import User
from openai import OpenAI
from pytest_django import Settings
from rest_framework.authtoken.models import Token

from labeling.models import Project
from tests.processes import environment
from tests.training.factories import admin
from training import artifacts
from training.gpt.chat_template import ChatTemplate
from training.gpt.checkpoint import save_checkpoint
from training.gpt.config import ModelConfig, TokenizerConfig
from training.gpt.model import GPT
from training.gpt.tokenizer import Tokenizer
from training.models import ModelVersion

CONTEXT = 4096


class RunningServer:
    """`manage.py serve` on the test's database, listening on a free port."""

    def __init__(self, home: Path, *options: str) -> None:
        self.process = subprocess.Popen(
            [sys.executable, str(site_settings.BASE_DIR / "manage.py"), "serve", "--port", "0", *options],
            env={**environment(home), "SECRET_KEY": site_settings.SECRET_KEY, "PYTHONUNBUFFERED": "1"},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        assert self.process.stdout
        self.output = ""
        for line in self.process.stdout:
            self.output += line
            if found := re.search(r"Serving at (http\S+)/v1 ", line):
                self.url = found[1]
                return
        raise AssertionError(self.output)

    def stop(self, number: int = signal.SIGTERM) -> int:
        """Send a signal, and wait for its end; returns the exit status."""
        self.process.send_signal(number)
        return self.end()

    def end(self) -> int:
        """Read the rest of its output and wait; returns the exit status."""
        with self.process as process:
            assert process.stdout
            self.output += process.stdout.read()
            return process.wait(60)


@pytest.fixture(scope="session")
def serving_home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("serving")


@pytest.fixture(scope="session")
def server(django_db_setup: None, serving_home: Path) -> Iterator[RunningServer]:
    """A server with one model in memory, four completions at once and eight that wait."""
    running = RunningServer(serving_home, "--max-models", "1", "--max-batch", "4", "--max-waiting", "8")
    yield running
    assert running.stop() == 0
    assert "Traceback" not in running.output


@pytest.fixture
def artifacts_of_the_server(settings: Settings, serving_home: Path) -> None:
    settings.STORAGES = {
        **settings.STORAGES,
        "artifacts": {
            "BACKEND": "django.core.files.storage.FileSystemStorage",
            "OPTIONS": {"location": serving_home / "artifacts"},
        },
    }


def tiny_writer(seed: int = 0) -> tuple[GPT, Tokenizer]:
    """A model of random weights that can read and write any text."""
    tokenizer = Tokenizer.train(["the cat sat on the mat. " * 3], TokenizerConfig(vocab_size=280))
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        config = ModelConfig(vocab_size=tokenizer.vocab_size, context=CONTEXT, layers=1, heads=2, width=32)
        return GPT(config).eval(), tokenizer


def publish(
    name: str,
    *,
    seed: int = 0,
    project: Project | None = None,
    stage: str = "candidate",
    template: ChatTemplate | None = None,
) -> ModelVersion:
    """A version of `tiny_writer` with its files."""
    model, tokenizer = tiny_writer(seed)
    if template:
        tokenizer = tokenizer.with_chat(always=True, template=template)
    with tempfile.TemporaryDirectory() as folder:
        save_checkpoint(Path(folder), model, tokenizer)
        place, digest = artifacts.store(Path(folder), name=name)
    return ModelVersion.objects.publish(
        name=name,
        kind=ModelVersion.Kind.POLICY,
        artifact=place,
        artifact_hash=digest,
        project=project,
        stage=stage,
    )


def client(server: RunningServer, user: User | str, *, retries: int = 0) -> OpenAI:
    """The official client, with the token of a person or another key."""
    key = user if isinstance(user, str) else Token.objects.get_or_create(user=user)[0].key
    return OpenAI(base_url=f"{server.url}/v1", api_key=key, max_retries=retries, timeout=60)


@pytest.fixture
def openai(transactional_db: None, artifacts_of_the_server: None, server: RunningServer) -> Iterator[OpenAI]:
    """The client of an admin; the version `base` is there, and no project."""
    publish("base")
    with client(server, admin()) as opened:
        yield opened


@pytest.fixture(autouse=True)
def _no_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in list(os.environ):
        if name.lower().endswith("_proxy"):
            monkeypatch.delenv(name)
