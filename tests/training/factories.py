"""Factories for the training tests: real files and rows, small enough to be quick."""

import tempfile
from pathlib import Path
from typing import Any

import torch
from django.contrib.auth.models import Group, User
from django.core.files import File
from django.core.files.base import ContentFile
from django.core.files.storage import Storage

from labeling.models import Project
from labeling.prompts import add_prompts
from training import artifacts, runs
from training.execution.executor import execute
from training.gpt.checkpoint import save_checkpoint
from training.gpt.config import ModelConfig, TokenizerConfig
from training.gpt.model import GPT
from training.gpt.tokenizer import Tokenizer
from training.models import ModelVersion, Run
from training.rlhf.reward.reward_model import RewardModel

LETTERS = "abcdefgh"

QUICK_PRETRAIN: dict[str, Any] = {
    "source": "stories",
    "stories": 400,
    "vocab_size": 300,
    "context": 64,
    "batch_size": 4,
    "steps": 4,
    "minutes": 0,
}
"""Options of a pretraining that takes a second or two."""


class ObjectStore(Storage):
    """A storage without local files, as object stores are."""

    def __init__(self) -> None:
        self.files: dict[str, bytes] = {}

    def _open(self, name: str, mode: str = "rb") -> File:
        return ContentFile(self.files[name], name)

    def _save(self, name: str, content: File) -> str:
        self.files[name] = content.read()
        return name

    def exists(self, name: str) -> bool:
        return name in self.files

    def listdir(self, path: str) -> tuple[list[str], list[str]]:
        return [], [name.removeprefix(f"{path}/") for name in self.files if name.startswith(f"{path}/")]


def admin(name: str = "ada") -> User:
    user = User.objects.create_user(name, password="a-long-pass-word", is_staff=True)
    user.groups.add(Group.objects.get(name="admins"))
    return user


def annotator(name: str = "ann") -> User:
    user = User.objects.create_user(name, password="a-long-pass-word")
    user.groups.add(Group.objects.get(name="annotators"))
    return user


def make_project(slug: str = "letters", *, train: int = 24, heldout: int = 6) -> Project:
    """A project whose prompts are short strings of letters."""
    # Without randomly inserted gold tasks and repeats.
    project = Project.objects.create(
        slug=slug, name=slug.title(), samples_per_task=3, gold_percent=0, repeat_percent=0
    )
    words = [f"{a}{b}{c}" for a in LETTERS for b in LETTERS for c in LETTERS]
    add_prompts(project, words[:train], "train")
    add_prompts(project, words[train : train + heldout], "heldout")
    return project


def letter_model(seed: int = 0, *, context: int = 32) -> tuple[GPT, Tokenizer]:
    """A policy of random weights over the letters a to h, each a token."""
    tokenizer = Tokenizer.train([LETTERS] * 2, TokenizerConfig(tokenizer="char", vocab_size=16))
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        config = ModelConfig(vocab_size=tokenizer.vocab_size, context=context, layers=1, heads=2, width=32)
        return GPT(config).eval(), tokenizer


def make_policy(name: str = "base", *, seed: int = 0, context: int = 32) -> ModelVersion:
    """A policy version with its files, as a run would have left it; another seed, other weights."""
    model, tokenizer = letter_model(seed, context=context)
    with tempfile.TemporaryDirectory() as folder:
        save_checkpoint(Path(folder), model, tokenizer)
        place, digest = artifacts.store(Path(folder), name=name)
    return ModelVersion.objects.publish(
        name=name, kind=ModelVersion.Kind.POLICY, artifact=place, artifact_hash=digest
    )


def make_reward(name: str = "taste", *, members: int = 1) -> ModelVersion:
    """A reward model of random weights, or an ensemble of heads."""
    model, tokenizer = letter_model()
    with tempfile.TemporaryDirectory() as folder:
        RewardModel.from_policy(model, tokenizer, seed=1, members=members).save(Path(folder))
        place, digest = artifacts.store(Path(folder), name=name)
    return ModelVersion.objects.publish(
        name=name, kind=ModelVersion.Kind.REWARD, artifact=place, artifact_hash=digest
    )


def queue_run(kind: str, *, detached: bool = False, **parameters: Any) -> Run:
    """Create a queued run with validated parameters."""
    form = runs.form_for(kind, parameters)
    assert form.is_valid(), form.errors
    return runs.start(form, detached=detached)


def begin_run(**fields: object) -> Run:
    """Begin a fine-tune that nobody executes."""
    run = Run.objects.create(kind=Run.Kind.FINETUNE, **fields)
    run.begin()
    return run


def execute_run(kind: str, **parameters: Any) -> Run:
    """Execute a run in this process; it must succeed."""
    run = queue_run(kind, **parameters)
    assert execute(run), run.error
    run.refresh_from_db()
    return run
