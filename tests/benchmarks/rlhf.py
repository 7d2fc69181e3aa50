"""Learning from people against TRL: a step of each in turn, of the same Llama on data of the same shape.

TRL runs in a process and an environment of its own, with as many threads, and waits while we work.
"""

import json
import random
import string
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from statistics import median
from typing import Any

import torch

from tests.benchmarks.interleaved import Row, progress
from training.gpt.config import HardwareConfig, ModelConfig, TokenizerConfig
from training.gpt.huggingface.import_export import export_folder
from training.gpt.model import GPT
from training.gpt.tokenizer import Tokenizer
from training.gpt.training_loop import Callbacks
from training.rlhf.config import EarlyStoppingConfig, FinetuneConfig, RewardConfig
from training.rlhf.feedback.preferences import Comparison
from training.rlhf.reward.trainer import train_reward_model
from training.rlhf.tuning.policy_gradient import finetune

PYTHON = Path(".venv-bench/bin/python")
STEPS, WARM_UP = 12, 2
PROMPT, NEW, GROUP, BATCH = 16, 48, 8, 64
PAIRS = 32
RATE = 1e-5

# A Llama's layout, which both sides have.
SHAPE: dict[str, Any] = {
    "vocab_size": 4096,
    "context": 128,
    "layers": 4,
    "heads": 4,
    "width": 256,
    "norm": "rms",
    "activation": "swiglu",
    "qk_norm": False,
    "tied": False,
}

LOGGED = {
    "rloo": {
        "reward",
        "reward_std",
        "frac_reward_zero_std",
        "kl",
        "entropy",
        "completions/mean_length",
        "completions/clipped_ratio",
        "num_tokens",
        "learning_rate",
    },
    "reward": {"loss", "accuracy", "margin", "learning_rate"},
}
"""What both sides say of each step."""


def rows() -> Iterator[Row]:
    """`rloo-step` and `reward-step`, in seconds."""
    with tempfile.TemporaryDirectory(prefix="hone-bench-") as name:
        folder = Path(name)
        torch.manual_seed(0)
        model = GPT(ModelConfig(**SHAPE)).eval()
        # Every letter is a token, so that the length of a text in tokens is known.
        tokenizer = Tokenizer.train(["a"], TokenizerConfig(vocab_size=260))
        export_folder(folder / "model", model, tokenizer)
        yield rloo_step(model, tokenizer, folder)
        yield reward_step(model, tokenizer, folder)


def rloo_step(model: GPT, tokenizer: Tokenizer, folder: Path) -> Row:
    """Sampling, reference, rewards and one update; the reward is the length of the text."""
    rng = random.Random(0)
    # Ours puts the token before it that begins a text; TRL reads the same number of letters.
    prompts = [letters(rng, PROMPT) for _ in range(STEPS * BATCH // GROUP)]

    def lengths(_: Sequence[str], completions: Sequence[str], /) -> list[float]:
        return [float(len(completion)) for completion in completions]

    def ours(callbacks: Callbacks) -> None:
        finetune(
            policy=model,
            tokenizer=tokenizer,
            scorer=lengths,
            prompts=[prompt[1:] for prompt in prompts],
            heldout_prompts=["a"],
            config=FinetuneConfig(
                steps=STEPS,
                prompts_per_step=BATCH // GROUP,
                samples_per_prompt=GROUP,
                max_new_tokens=NEW,
                learning_rate=RATE,
                kl_coefficient=0.05,
                kl_horizon=0,
                missing_eos_penalty=0,
            ),
            early_stopping=EarlyStoppingConfig(evaluate_every=STEPS),
            hardware=HardwareConfig(precision="fp32"),
            callbacks=callbacks,
        )

    settings = {"batch": BATCH, "group": GROUP, "new": NEW}
    seconds = timed("rloo", ours, folder, data=[{"prompt": prompt} for prompt in prompts], settings=settings)
    return row(
        "rloo-step", f"{BATCH} completions of {PROMPT} + {NEW} tokens in groups of {GROUP}, fp32", seconds
    )


def reward_step(model: GPT, tokenizer: Tokenizer, folder: Path) -> Row:
    """One update of trunk and head by pairs of texts that begin alike, as comparisons do."""
    rng = random.Random(0)
    size = PROMPT + NEW
    # A token begins our texts and one ends them; the end is the only one that TRL adds.
    prompts = [letters(rng, PROMPT) for _ in range(STEPS * PAIRS)]
    pairs = [[letters(rng, size - PROMPT - 1) for _ in range(2)] for _ in prompts]

    def ours(callbacks: Callbacks) -> None:
        train_reward_model(
            trunk=model,
            tokenizer=tokenizer,
            comparisons=[
                Comparison(prompt=prompt[1:], chosen=chosen, rejected=rejected)
                for prompt, (chosen, rejected) in zip(prompts, pairs, strict=True)
            ],
            config=RewardConfig(
                epochs=1,
                batch_size=2 * PAIRS,
                heldout=0,
                learning_rate=RATE,
                evaluate_every=STEPS,
                precision="fp32",
            ),
            reference_samples=[("a", "b"), ("a", "c")],
            callbacks=callbacks,
        )

    data = [
        {"prompt": prompt, "chosen": chosen, "rejected": rejected}
        for prompt, (chosen, rejected) in zip(prompts, pairs, strict=True)
    ]
    seconds = timed("reward", ours, folder, data=data, settings={"batch": PAIRS})
    return row(
        "reward-step",
        f"{PAIRS} pairs of {size} tokens, {PROMPT} of them the prompt, whole trunk, fp32",
        seconds,
    )


def timed(
    kind: str,
    ours: Callable[[Callbacks], None],
    folder: Path,
    *,
    data: list[dict[str, str]],
    settings: dict[str, int],
) -> tuple[float, float]:
    """Median seconds of a step of each side; after each of ours, one of TRL's."""
    own: list[float] = []
    others: list[float] = []
    (folder / "rows.json").write_text(json.dumps(data))
    common = {"threads": torch.get_num_threads(), "steps": STEPS + 1, "learning_rate": RATE}
    (folder / "settings.json").write_text(json.dumps(settings | common))
    with peer(kind, folder) as step_of_peer:
        begun = time.perf_counter()

        def on_step(step: int, share: float, metrics: dict[str, float]) -> None:
            nonlocal begun
            seconds = time.perf_counter() - begun
            if step:
                logged = step_of_peer()
                missing = [LOGGED[kind] - each.keys() for each in (metrics, logged)]
                assert missing == [set(), set()], f"{kind}: not logged by us, by TRL: {missing}"
                if step > WARM_UP and step < STEPS:  # the last one of ours is evaluated as well
                    own.append(seconds)
                    others.append(logged["seconds"])
                progress(f"{kind}-step", step, STEPS)
            begun = time.perf_counter()

        ours(Callbacks(on_step=on_step))
    return median(own), median(others)


@contextmanager
def peer(kind: str, folder: Path) -> Iterator[Callable[[], dict[str, float]]]:
    """TRL's trainer at the other end of a pipe, as a function that makes one step and says what it logged."""
    script = Path(__file__).with_name("trl_peer.py")
    with (
        (folder / "peer.log").open("w+") as log,
        subprocess.Popen(
            [PYTHON, script, kind, folder],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=log,
            text=True,
        ) as process,
    ):
        assert process.stdin
        assert process.stdout
        requests, answers = process.stdin, process.stdout

        def answer() -> dict[str, float]:
            line = answers.readline()
            if not line:
                log.seek(0)
                raise RuntimeError(f"TRL ended early:\n{log.read()[-2000:]}")
            metrics: dict[str, float] = json.loads(line)
            return metrics

        def step() -> dict[str, float]:
            begun = time.perf_counter()
            requests.write("\n")
            requests.flush()
            return {**answer(), "seconds": time.perf_counter() - begun}

        answer()  # it is ready
        yield step
        process.kill()


def row(name: str, what: str, seconds: tuple[float, float]) -> Row:
    return Row(name=name, what=what, unit="s/step", ours=seconds[0], peer=seconds[1], less_is_better=True)


def letters(rng: random.Random, count: int) -> str:
    return "".join(rng.choices(string.ascii_lowercase, k=count))
