"""The language model against `transformers`: the same weights, the same machine, in turns."""

import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from statistics import median
from typing import Any

import torch
from transformers import AutoModelForCausalLM
from transformers.utils import logging

from tests.benchmarks.interleaved import Row, in_turns, progress
from training.gpt.config import CorpusConfig, ModelConfig, PretrainConfig, SamplingConfig, TokenizerConfig
from training.gpt.corpus.prepare import prepare
from training.gpt.devices import autocast, choose_device, choose_precision
from training.gpt.generation.generate import generate
from training.gpt.huggingface.import_export import export_folder
from training.gpt.model import GPT
from training.gpt.pretraining import pretrain
from training.gpt.tokenizer import Tokenizer
from training.gpt.training_loop import Callbacks

PROMPT, NEW = 16, 48
BATCH, CONTEXT, STEPS, WARM_UP = 8, 256, 24, 4
NEVER = -1
"""An end token that no model can write: every completion has its full length."""

# GPT-2's layout, which both sides have, at a size for which two cores are enough.
SHAPE: dict[str, Any] = {
    "vocab_size": 8192,
    "context": CONTEXT,
    "layers": 6,
    "heads": 6,
    "width": 384,
    "norm": "layer",
    "positions": "learned",
    "activation": "gelu_tanh",
    "qk_norm": False,
    "bias": "all",
}
NAMES = {torch.float32: "fp32", torch.bfloat16: "bf16"}


def rows() -> Iterator[Row]:
    """All comparisons: `train`, `generate-64`, `generate-1`; of the latter two also like for like in fp32."""
    logging.set_verbosity_error()
    logging.disable_progress_bar()
    device = choose_device("auto")
    with tempfile.TemporaryDirectory(prefix="hone-bench-") as name:
        folder = Path(name)
        torch.manual_seed(0)
        model = GPT(ModelConfig(**SHAPE)).eval()
        export_folder(folder / "model", model, Tokenizer.train(["a"], TokenizerConfig(vocab_size=260)))
        peer = AutoModelForCausalLM.from_pretrained(folder / "model", dtype=torch.float32).to(device)
        yield training(model, peer, folder)
        fast = choose_precision("auto", device)
        for batch, rounds in ((64, 7), (1, 15)):
            yield writing(f"generate-{batch}", model, peer, batch=batch, rounds=rounds, precision=fast)
            exact = torch.float32
            yield writing(f"generate-{batch}-fp32", model, peer, batch=batch, rounds=rounds, precision=exact)


def training(model: GPT, peer: Any, folder: Path) -> Row:
    """Tokens per second of `pretrain`, and of a plain loop around the peer: a step of each in turn.

    Both move the same weights by AdamW in the same precision, batches of the same size, gradients clipped.
    """
    device = choose_device("auto")
    precision = choose_precision("auto", device)
    optimizer = torch.optim.AdamW(peer.parameters(), lr=1e-4)
    ours: list[float] = []
    theirs: list[float] = []

    def step_of_peer() -> None:
        tokens = torch.randint(SHAPE["vocab_size"], (BATCH, CONTEXT), device=device)
        with autocast(device, precision):
            loss = peer(input_ids=tokens, labels=tokens, use_cache=False).loss
        loss.backward()
        torch.nn.utils.clip_grad_norm_(peer.parameters(), 1.0)
        optimizer.step()
        optimizer.zero_grad()
        loss.item()

    def on_step(step: int, share: float, metrics: dict[str, float]) -> None:
        if "loss" not in metrics:
            return
        begun = time.perf_counter()
        step_of_peer()
        seconds = time.perf_counter() - begun
        if step > WARM_UP:
            ours.append(BATCH * CONTEXT / metrics["tokens_per_second"])
            theirs.append(seconds)
        progress("train", step, STEPS)

    corpus = prepare(
        CorpusConfig(source="stories", stories=4000), TokenizerConfig(vocab_size=8192), folder / "corpora"
    )
    peer.train()
    pretrain(
        splits=corpus.shards,
        tokenizer=corpus.tokenizer,
        config=PretrainConfig(
            steps=STEPS,
            minutes=0,
            batch_size=BATCH,
            optimizer="adamw",
            learning_rate=1e-4,
            evaluate_every=STEPS,
            evaluation_tokens=CONTEXT,
        ),
        folder=folder / "run",
        callbacks=Callbacks(on_step=on_step),
        model=model,
    )
    peer.eval()
    tokens = BATCH * CONTEXT
    return Row(
        name="train",
        what=f"AdamW steps of {BATCH} x {CONTEXT} tokens, both {NAMES[precision]}",
        unit="tokens/s",
        ours=tokens / median(ours),
        peer=tokens / median(theirs),
    )


def writing(name: str, model: GPT, peer: Any, *, batch: int, rounds: int, precision: torch.dtype) -> Row:
    """Tokens per second of sampling from the whole distribution; the peer computes in fp32, its default."""
    device = choose_device("auto")
    drawn = torch.randint(SHAPE["vocab_size"], (batch, PROMPT), generator=torch.Generator().manual_seed(1))
    prompts, theirs = drawn.tolist(), drawn.to(device)
    mask = torch.ones_like(theirs)
    writer = model.to(device, precision)
    sampling = SamplingConfig(max_new_tokens=NEW)

    def ours() -> None:
        written = generate(writer, prompts, sampling, eos_id=NEVER, pad_id=0)
        assert bool(written.mask.all())
        assert written.tokens.shape == (batch, NEW)

    @torch.inference_mode()
    def of_peer() -> None:
        written = peer.generate(
            theirs,
            attention_mask=mask,
            do_sample=True,
            top_k=0,
            max_new_tokens=NEW,
            eos_token_id=None,
            pad_token_id=0,
        )
        assert written.shape == (batch, PROMPT + NEW)

    seconds_ours, seconds_peer = in_turns(name, ours=ours, peer=of_peer, rounds=rounds)
    model.to(torch.float32)
    return Row(
        name=name,
        what=f"{batch} x ({PROMPT} + {NEW}) tokens, ours {NAMES[precision]}, peer fp32",
        unit="tokens/s",
        ours=batch * NEW / seconds_ours,
        peer=batch * NEW / seconds_peer,
    )
