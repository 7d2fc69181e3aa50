"""`manage.py serve` with 32 clients at once, against the same requests one at a time."""

import asyncio
import atexit
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from statistics import median
from typing import Any

import django
import psutil
import torch
from openai import AsyncOpenAI

from tests.benchmarks.interleaved import Row, progress
from training.gpt.checkpoint import save_checkpoint
from training.gpt.config import ModelConfig, TokenizerConfig
from training.gpt.corpus.stories import write_stories
from training.gpt.model import GPT
from training.gpt.tokenizer import Tokenizer

CLIENTS, NEW, ROUNDS = 32, 64, 3
PROJECT = Path(__file__).resolve().parents[2]
PROMPTS = ["Once upon a time there was", "The little dog", "Anna went to the river and", "It was"]
PARAMETERS: dict[str, Any] = {"layers": 6, "heads": 6, "width": 384, "context": 256}


def rows() -> Iterator[Row]:
    """`serve-32`, `serve-32-stream`, and the server's memory (RSS)."""
    home = Path(tempfile.mkdtemp(prefix="hone-bench-"))
    atexit.register(shutil.rmtree, home)  # after the database has stopped, which also happens at exit
    with served(home) as (process, url, key):
        client = AsyncOpenAI(base_url=url, api_key=key, timeout=600)
        memory = psutil.Process(process.pid).memory_info
        runner = asyncio.Runner()
        runner.run(answer_all(client, at_once=1, stream=False, count=2))  # loads the model
        idle, busy = memory().rss, 0
        for label, stream in (("serve-32", False), ("serve-32-stream", True)):
            together: list[float] = []
            apart: list[float] = []
            for number in range(ROUNDS):
                together.append(runner.run(answer_all(client, at_once=CLIENTS, stream=stream)))
                busy = max(busy, memory().rss)
                apart.append(runner.run(answer_all(client, at_once=1, stream=stream)))
                progress(label, number + 1, ROUNDS)
            yield Row(
                name=label,
                what=f"{CLIENTS} clients at once, and the same {CLIENTS} requests of {NEW} tokens in turn",
                unit="tokens/s",
                ours=median(together),
                peer=median(apart),
            )
        yield Row(
            name="serve-memory",
            what=f"RSS of the server with {CLIENTS} clients, and with the model loaded before them",
            unit="MB",
            ours=busy / 1e6,
            peer=idle / 1e6,
            less_is_better=True,
        )
        runner.run(client.close())
        runner.close()


async def answer_all(client: AsyncOpenAI, *, at_once: int, stream: bool, count: int = CLIENTS) -> float:
    """Tokens per second of `count` requests, so many of them at once."""
    slots = asyncio.Semaphore(at_once)

    async def answer(number: int) -> int:
        async with slots:
            if not stream:
                whole = await client.completions.create(
                    model="bench", prompt=PROMPTS[number % 4], max_tokens=NEW, seed=number
                )
                assert whole.usage
                return whole.usage.completion_tokens
            chunks = await client.completions.create(
                model="bench",
                prompt=PROMPTS[number % 4],
                max_tokens=NEW,
                seed=number,
                stream=True,
                stream_options={"include_usage": True},
            )
            usage = [chunk.usage async for chunk in chunks][-1]
            assert usage
            return usage.completion_tokens

    begun = time.perf_counter()
    tokens: Sequence[int] = await asyncio.gather(*map(answer, range(count)))
    return sum(tokens) / (time.perf_counter() - begun)


@contextmanager
def served(home: Path) -> Iterator[tuple["subprocess.Popen[str]", str, str]]:
    """A server of the version `bench` on a database of its own; its process, base URL and a key."""
    os.environ |= {"HONE_HOME": str(home), "DJANGO_SETTINGS_MODULE": "feedback_site.settings"}
    django.setup()
    from django.contrib.auth.models import User
    from rest_framework.authtoken.models import Token

    from training import artifacts
    from training.management.site_command import set_up_database
    from training.models import ModelVersion

    set_up_database()
    tokenizer = Tokenizer.train(write_stories(2000, seed=0), TokenizerConfig(vocab_size=8192))
    torch.manual_seed(0)
    model = GPT(ModelConfig(vocab_size=tokenizer.vocab_size, **PARAMETERS)).eval()
    with tempfile.TemporaryDirectory() as folder:
        save_checkpoint(Path(folder), model, tokenizer)
        place, digest = artifacts.store(Path(folder), name="bench")
    ModelVersion.objects.publish(
        name="bench", kind=ModelVersion.Kind.POLICY, artifact=place, artifact_hash=digest
    )
    key = Token.objects.create(user=User.objects.create_superuser("bench")).key
    command = [sys.executable, str(PROJECT / "manage.py"), "serve", "--port", "0"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env={**os.environ}) as process:
        assert process.stdout
        found = re.search(r"(http\S+)", process.stdout.readline())
        assert found, "the server did not start"
        try:
            yield process, found[1], key
        finally:
            process.terminate()
            assert process.wait(60) == 0
