"""A training small enough to take a second: what the tests of pretraining share."""

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from tests.gpt.tiny_models import shards_of, tiny_tokenizer
from tests.two_processes import PROCESSES
from training.gpt.config import PRESETS, PretrainConfig
from training.gpt.corpus.shards import Shards
from training.gpt.generation.generate import never_stop
from training.gpt.model import GPT
from training.gpt.pretraining import PretrainResult, pretrain
from training.gpt.tokenizer import Tokenizer
from training.gpt.training_loop import Callbacks

SENTENCES = ["the cat sat on the mat", "the dog lay by the door", "the bird sang in the tree"]
TOKENIZER = tiny_tokenizer(*SENTENCES, kind="word")
MOUSE: dict[str, Any] = {"layers": 2, "heads": 2, "width": 32, "context": 16}


def shards_in(folder: Path) -> Shards:
    """The sentences, forty times over."""
    return shards_of(TOKENIZER, folder, train=SENTENCES * 40, validation=SENTENCES)


@dataclass
class Log:
    """The arguments of all calls of ``on_step`` and ``on_resume``."""

    steps: list[int] = field(default_factory=list)
    progress: list[float] = field(default_factory=list)
    metrics: list[dict[str, float]] = field(default_factory=list)
    resumed: list[int] = field(default_factory=list)

    def __call__(self, step: int, progress: float, metrics: dict[str, float]) -> None:
        self.steps.append(step)
        self.progress.append(progress)
        self.metrics.append(metrics)

    def losses(self) -> list[float]:
        return [metrics["loss"] for metrics in self.metrics if "loss" in metrics]


def train(
    shards: Shards,
    folder: Path,
    log: Log | None = None,
    should_stop: Callable[[], bool] = never_stop,
    tokenizer: Tokenizer = TOKENIZER,
    model: GPT | None = None,
    **options: Any,
) -> PretrainResult:
    """Pretrain the preset "tiny", made as small as a mouse."""
    config = PretrainConfig(
        **{"minutes": 0, "steps": 60, "batch_size": 8, "learning_rate": 1e-2, "evaluate_every": 20, **options}
    )
    log = log or Log()
    with pytest.MonkeyPatch.context() as patch:  # other tests in this process train the real preset
        patch.setitem(PRESETS, "tiny", MOUSE)
        return pretrain(
            splits=shards,
            tokenizer=tokenizer,
            config=config,
            folder=folder,
            callbacks=Callbacks(on_step=log, should_stop=should_stop, on_resume=log.resumed.append),
            model=model,
        )


def in_a_process(target: Callable[..., None], *args: object) -> int:
    """Run to its end, or its kill; gives the exit code."""
    process = PROCESSES.Process(target=target, args=args)
    process.start()
    process.join()
    assert process.exitcode is not None
    return process.exitcode
