import math
import resource
from pathlib import Path
from typing import Any

import pytest
import torch

from tests.gpt.tiny_models import shards_of, texts, tiny_model
from tests.gpt.tiny_pretraining import SENTENCES, TOKENIZER, Log, in_a_process, train
from training.gpt.checkpoint import load_checkpoint, read_config
from training.gpt.config import SamplingConfig
from training.gpt.corpus.shards import Shards
from training.gpt.errors import InputError
from training.gpt.evaluation import evaluate

pytestmark = pytest.mark.usefixtures("a_mouse")


def test_it_learns_a_small_corpus_by_heart(shards: Shards, tmp_path: Path) -> None:
    log = Log()
    result = train(shards, tmp_path / "training", log, steps=120)
    first = log.metrics[0]["validation_loss"]
    assert first == pytest.approx(math.log(TOKENIZER.vocab_size), rel=0.05)
    # Which of three sentences comes is chance, the other six of seven tokens are not.
    assert result.best_validation_loss < 0.4
    assert result.perplexity == pytest.approx(math.exp(result.best_validation_loss))
    model, tokenizer = load_checkpoint(tmp_path / "training/model")
    written = texts(
        model, tokenizer, ["the cat", "the bird"], SamplingConfig(temperature=0, max_new_tokens=10)
    )
    assert written == [[" sat on the mat"], [" sang in the tree"]]


def test_every_step_is_reported(shards: Shards, tmp_path: Path) -> None:
    log = Log()
    train(shards, tmp_path, log)
    assert log.steps == list(range(61))
    assert log.progress == sorted(log.progress)
    assert log.progress[0] == 0.0
    assert log.progress[-1] == 1.0
    validated = [
        step for step, metrics in zip(log.steps, log.metrics, strict=True) if "validation_loss" in metrics
    ]
    assert validated == [0, 20, 40, 60]
    assert {"loss", "learning_rate", "gradient_norm", "tokens_per_second"} <= set(log.metrics[7])
    assert {"perplexity", "accuracy", "bits_per_byte"} <= set(log.metrics[20])


def test_the_same_seed_gives_the_same_weights(shards: Shards, tmp_path: Path) -> None:
    one, two, other = Log(), Log(), Log()
    train(shards, tmp_path / "one", one, dropout=0.1)
    torch.rand(5)  # whatever else draws random numbers
    train(shards, tmp_path / "two", two, dropout=0.1)
    train(shards, tmp_path / "other", other, dropout=0.1, seed=1)
    assert one.losses() == two.losses()
    assert one.losses() != other.losses()
    assert (tmp_path / "one/model/model.safetensors").read_bytes() == (
        tmp_path / "two/model/model.safetensors"
    ).read_bytes()


def test_it_leaves_the_random_state_of_others_alone(shards: Shards, tmp_path: Path) -> None:
    before = torch.get_rng_state()
    train(shards, tmp_path, steps=1)
    assert torch.equal(torch.get_rng_state(), before)


def overfit(tmp_path: Path) -> Shards:
    """Learn sentences whose validation split says otherwise: it gets better, then worse and worse."""
    wrong = ["the cat sat on the door", "the bird lay by the tree"]
    return shards_of(TOKENIZER, tmp_path / "corpus", train=SENTENCES * 40, validation=wrong)


def test_the_best_model_by_validation_is_kept(tmp_path: Path) -> None:
    log = Log()
    shards = overfit(tmp_path)
    result = train(shards, tmp_path / "training", log, steps=100, evaluate_every=10)
    losses = [metrics["validation_loss"] for metrics in log.metrics if "validation_loss" in metrics]
    assert min(losses) < losses[-1] - 0.1, "the corpus should make it overfit"
    assert result.best_validation_loss == min(losses)
    assert result.metrics["best_step"] == 10 * losses.index(min(losses))
    model, _ = load_checkpoint(tmp_path / "training/model")
    found = evaluate(model, shards.validation, eos_id=TOKENIZER.eos_id)
    assert found["loss"] == pytest.approx(min(losses), abs=1e-5)
    assert read_config(tmp_path / "training/model")["extra"]["step"] == result.metrics["best_step"]


def test_it_stops_early_when_nothing_gets_better(tmp_path: Path) -> None:
    result = train(overfit(tmp_path), tmp_path / "training", steps=500, evaluate_every=5, patience=3)
    assert result.stop_reason == "patience"
    assert result.steps == result.metrics["best_step"] + 15


def test_it_stops_when_the_minutes_are_over(shards: Shards, tmp_path: Path) -> None:
    log = Log()
    result = train(shards, tmp_path, log, steps=0, minutes=0.01)
    assert result.stop_reason == "minutes"
    assert 0.6 <= result.metrics["seconds"] < 20
    assert log.metrics[-1]["validation_loss"] >= result.best_validation_loss


def test_it_stops_at_once_when_told_to(shards: Shards, tmp_path: Path) -> None:
    log = Log()
    result = train(shards, tmp_path, log, should_stop=lambda: len(log.steps) > 3)
    assert result.stop_reason == "cancelled"
    assert result.steps == 3
    assert load_checkpoint(tmp_path / "model")  # the best so far


def test_the_learning_rate_follows_the_schedule(shards: Shards, tmp_path: Path) -> None:
    log = Log()
    train(shards, tmp_path, log, steps=10, warmup=0.2, decay=0.5, learning_rate=1.0, clip=0.1)
    rates = [metrics["learning_rate"] for metrics in log.metrics if "learning_rate" in metrics]
    assert rates == pytest.approx([0.5, 1, 1, 1, 1, 1, 0.8, 0.6, 0.4, 0.2])


def test_gradients_are_clipped(monkeypatch: pytest.MonkeyPatch, shards: Shards, tmp_path: Path) -> None:
    norms = []
    step = torch.optim.AdamW.step

    def measured(self: torch.optim.AdamW, closure: None = None) -> Any:
        gradients = [w.grad.norm() for group in self.param_groups for w in group["params"]]
        norms.append(float(torch.stack(gradients).norm()))
        return step(self, closure)

    monkeypatch.setattr(torch.optim.AdamW, "step", measured)
    train(shards, tmp_path, optimizer="adamw", steps=5, clip=0.05)
    assert norms == pytest.approx([0.05] * 5, rel=1e-3)


def test_bf16_learns_too(shards: Shards, tmp_path: Path) -> None:
    result = train(shards, tmp_path, steps=30, precision="bf16")
    assert result.best_validation_loss < 1.5


def test_a_corpus_shorter_than_one_context_is_refused(shards: Shards, tmp_path: Path) -> None:
    with pytest.raises(
        InputError, match="corpus: its 841 training tokens are fewer than one context of 900; use"
    ):
        train(shards, tmp_path, context=900)
    assert not (tmp_path / "model").exists()


def test_a_loss_that_is_no_number_says_what_to_change(shards: Shards, tmp_path: Path) -> None:
    with pytest.raises(
        InputError,
        match=r"^learning_rate: the loss became nan at step 2; lower it \(now learning_rate 1e\+38\), or",
    ):
        train(shards, tmp_path, optimizer="adamw", learning_rate=1e38, warmup=0, clip=0)


def test_a_validation_loss_that_is_no_number_says_so_too(shards: Shards, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="learning_rate: the validation loss became nan at step 1; lower it"):
        train(shards, tmp_path, learning_rate=1e38, warmup=0, clip=0, evaluate_every=1)


def test_gradients_that_are_no_numbers_say_what_to_change(shards: Shards, tmp_path: Path) -> None:
    """Each norm of a model that sees almost nothing multiplies gradients by 1e19; the loss is in order."""
    model = tiny_model(vocab_size=TOKENIZER.vocab_size, norm_eps=1e-38, tied=False)
    torch.nn.init.zeros_(model.embedding.weight)
    with pytest.raises(InputError, match=r"learning_rate: the gradient norm became (inf|nan) at step 1"):
        train(shards, tmp_path, model=model)


def train_in_little_memory(shards: Shards, folder: Path, options: dict[str, Any]) -> None:
    torch.set_num_threads(1)
    train(shards, folder / "first", steps=1)
    used = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (used + (80 << 20), resource.RLIM_INFINITY))
    try:
        train(shards, folder / "second", **options)
    except InputError as error:
        (folder / "error").write_text(str(error))


def test_too_little_memory_says_what_to_change(shards: Shards, tmp_path: Path) -> None:
    options = {"batch_size": 4000, "steps": 1}
    assert in_a_process(train_in_little_memory, shards, tmp_path, options) == 0
    assert (tmp_path / "error").read_text() == (
        "batch_size: 4000 sequences of 16 tokens at once need more memory than there is;"
        " raise accumulate (now 1), or take a smaller batch_size, context or preset"
    )
    # And the advice is good.
    (tmp_path / "error").unlink()
    assert in_a_process(train_in_little_memory, shards, tmp_path, {**options, "accumulate": 50}) == 0
    assert not (tmp_path / "error").exists()


@pytest.mark.parametrize("accumulate", [2, 8])
def test_pieces_of_a_batch_give_what_the_batch_gives(shards: Shards, tmp_path: Path, accumulate: int) -> None:
    one, several = Log(), Log()
    train(shards, tmp_path / "one", one, steps=6)
    train(shards, tmp_path / "several", several, steps=6, accumulate=accumulate)
    for name in ("loss", "gradient_norm"):
        of_one, of_several = ([metrics[name] for metrics in log.metrics[1:]] for log in (one, several))
        assert of_several == pytest.approx(of_one, rel=1e-4)


def test_it_stops_when_the_tokens_are_read(shards: Shards, tmp_path: Path) -> None:
    result = train(shards, tmp_path, steps=0, tokens=1000)
    assert result.stop_reason == "tokens"
    assert result.steps == 8, "the last step may read more, none may lack"
    assert result.metrics["tokens"] == 8 * 8 * 16


def test_a_model_given_is_trained_further_and_left_alone(shards: Shards, tmp_path: Path) -> None:
    train(shards, tmp_path / "first", steps=30)
    model, _ = load_checkpoint(tmp_path / "first/model")
    before = {name: weight.clone() for name, weight in model.state_dict().items()}
    log = Log()
    result = train(shards, tmp_path / "second", log, model=model, context=12, dropout=0.1)
    start = evaluate(model, shards.validation, eos_id=TOKENIZER.eos_id)["loss"]
    assert log.metrics[0]["validation_loss"] == pytest.approx(start)
    assert result.best_validation_loss < start
    assert result.metrics["tokens"] == 60 * 8 * 12
    assert all(torch.equal(weight, before[name]) for name, weight in model.state_dict().items())
    trained, _ = load_checkpoint(tmp_path / "second/model")
    assert (trained.config.context, trained.config.dropout) == (16, 0.1)


def test_a_model_given_cannot_read_further_than_it_can(shards: Shards, tmp_path: Path) -> None:
    model = tiny_model(vocab_size=TOKENIZER.vocab_size, context=8)
    with pytest.raises(InputError, match="context: 16 is more than the model's 8; use at most that"):
        train(shards, tmp_path, model=model, context=16)


def test_muon_learns_too(shards: Shards, tmp_path: Path) -> None:
    assert train(shards, tmp_path, steps=120, optimizer="muon").best_validation_loss < 0.4


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # from inside the compiler
def test_a_compiled_model_learns_the_same(shards: Shards, tmp_path: Path) -> None:
    eager, compiled = Log(), Log()
    train(shards, tmp_path / "eager", eager, steps=20)
    train(shards, tmp_path / "compiled", compiled, steps=20, compile="on")
    assert compiled.losses() == pytest.approx(eager.losses(), rel=1e-3)


def test_a_gpu_that_is_not_there_is_refused(
    monkeypatch: pytest.MonkeyPatch, shards: Shards, tmp_path: Path
) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(InputError, match="device: cuda is not available"):
        train(shards, tmp_path, device="cuda")
